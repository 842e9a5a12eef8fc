"""Random networks of the QONNX dialect: the golden model equals the reference executor at every quantized tensor."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from lutwright.frontend.model import load
from lutwright.testbenches.reference import mismatches, prepared

from .networks import mlp


def check(seed: int, folder: Path) -> None:
    model, grid, samples = mlp(seed)
    onnx.save(model, folder / "model.onnx")
    imported = load(folder / "model.onnx", grid)
    compared, found = mismatches(imported, prepared(model), samples)
    assert compared >= len(samples)
    assert not found, f"seed {seed}: " + "\n".join(map(str, found))


@pytest.mark.parametrize("seed", range(80))
def test_random_networks_equal_the_reference(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_random_networks_equal_the_reference(block: int, tmp_path: Path) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        check(seed, tmp_path)
