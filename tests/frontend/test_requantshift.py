"""RequantShift: integers as the formula gives them, and the public integer networks that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load

from .onnx_graphs import Builder, imported

RNG = np.random.default_rng(3)
X = RNG.integers(-128, 128, (200, 3)).astype(np.int64)
W = RNG.integers(-40, 41, (3, 4))


def network(
    mul: Any, add: Any, div: float, levels: float, signed: float, domain: str, numbers: bool
) -> onnx.ModelProto:
    """`numbers`: the attributes as they are, else as tensors of shape [1]."""
    values = {"div": div, "n_levels_out": levels, "signed": signed}
    attributes = values if numbers else {
        name: numpy_helper.from_array(np.array([value], np.float32)) for name, value in values.items()
    }  # fmt: skip
    b = Builder((1, 3), PACTOps=1)
    acc = b.op("MatMul", "x", W.astype(np.float32))
    return b.model(b.op("RequantShift", acc, np.float32(mul), np.float32(add), domain=domain, **attributes))


@pytest.mark.parametrize("domain", ["", "PACTOps"])
@pytest.mark.parametrize(("levels", "signed"), [(256, 0), (256, 1), (16, 1), (15, 1), (2, 0)])
@pytest.mark.parametrize(
    ("mul", "add", "div"),
    [
        ([5, 77, -31, 0], [1000, -9, 4321, 12345], 4096),
        (3, 7, 65536),
        ([1000, 2000, 3000, 4000], 0, 999),
        (1, 0, 1),
        ([2.0**30, -(2.0**30), 2.0**24 + 2, 1], [2.0**33, 0, 0, 0], 2.0**36),
    ],
    ids=str,
)
def test_requant_shift(mul: Any, add: Any, div: int, levels: int, signed: int, domain: str, tmp_path: Path) -> None:
    found = imported(network(mul, add, div, levels, signed, domain, domain == ""), tmp_path, "int8")
    exact = [[int(m) for m in np.broadcast_to(np.float32(part), 4)] for part in (mul, add)]
    low, high = (-(levels // 2), (levels + 1) // 2 - 1) if signed else (0, levels - 1)
    wanted = [
        [
            min(max((2 * (int(v) * m + a) + int(div)) // (2 * int(div)), low), high)
            for v, m, a in zip(row, *exact, strict=True)
        ]
        for row in X @ W
    ]
    ours = found.decode(found.graph.evaluate(found.encode(X)))[found.output_names[0]]
    assert np.array_equal(ours, np.array(wanted))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mul": 0.5}, "its mul must hold integers"),
        ({"div": 0}, "its div 0 must be above 0"),
        ({"mul": 2e18}, "its products go up to"),
    ],
    ids=str,
)
def test_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    settings = {"mul": 1, "add": 0, "div": 16, "levels": 256, "signed": 1, "domain": "", "numbers": False} | change
    with pytest.raises(ImportRefused, match=reason):
        imported(network(**settings), tmp_path, "int8")


def test_operators_of_deeploy_that_have_no_definition_are_refused(tmp_path: Path) -> None:
    b = Builder((1, 3))
    with pytest.raises(ImportRefused, match="before Deeploy fuses it"):
        imported(b.model(b.op("RequantizedConv", "x", W.astype(np.float32))), tmp_path, "int8")


@pytest.mark.parametrize(
    ("case", "grid"),
    [("deeploy_CNN_Linear1", "int8"), ("deeploy_KeywordSpotting", "uint8"), ("deeploy_miniMobileNet", "uint8")],
)
def test_public_integer_networks(case: str, grid: str, models: Path) -> None:
    data = np.load(models / case / "case.npz")
    found = load(models / case / "model.onnx", grid)
    ours = found.decode(found.graph.evaluate(found.encode(data["inputs"])))[found.output_names[0]]
    assert np.array_equal(ours, data["outputs"])
