"""Rung 0 on third-party networks: the golden model equals the reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lutwright.frontend.model import Model, compare_reference, load
from lutwright.testbenches.reference import mismatches, prepared

CASES = ["tfc_1w1a", "tfc_2w2a", "kwsmlp_w3a3", "jettag_qkeras_6b", "hls4ml_bnn_fc"]


def loaded(folder: Path) -> Model:
    case = folder / "case.json"
    return load(folder / "model.onnx", json.loads(case.read_text())["input"] if case.exists() else None)


@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_the_reference(models: Path, name: str) -> None:
    model, data = loaded(models / name), np.load(models / name / "case.npz")
    q = model.graph.evaluate(model.encode(data["inputs"]))
    assert compare_reference(model, q, data["outputs"]) == (0, None)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("samples", [20, pytest.param(None, marks=pytest.mark.slow)])
def test_every_quantized_tensor_equals_the_reference(models: Path, name: str, samples: int | None) -> None:
    model, inputs = loaded(models / name), np.load(models / name / "case.npz")["inputs"][:samples]
    compared, found = mismatches(model, prepared(models / name / "model.onnx"), inputs)
    assert compared >= len(inputs) * len(model.tensors)
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_integer_is_found(models: Path, name: str, seed: int) -> None:
    model, data = loaded(models / name), np.load(models / name / "case.npz")
    q = model.graph.evaluate(model.encode(data["inputs"]))
    rng = np.random.default_rng(seed)
    place = tuple(int(rng.integers(size)) for size in q.shape)
    q[place] += 1 if q[place] < model.graph[model.graph.output].type.hi else -1
    count, first = compare_reference(model, q, data["outputs"])
    assert count >= 1
    assert first is not None and first.sample == place[0]


def test_samples_may_carry_the_batch_axis(models: Path) -> None:
    model, data = loaded(models / "kwsmlp_w3a3"), np.load(models / "kwsmlp_w3a3" / "case.npz")
    assert np.array_equal(model.encode(data["inputs"][:, np.newaxis]), model.encode(data["inputs"]))


def test_accuracy_on_all_of_mnist(models: Path) -> None:
    """The published accuracy of the network, from the golden model."""
    model, data = loaded(models / "tfc_1w1a"), np.load(models / "mnist_t10k.npz")
    inputs = (data["images"].reshape(-1, 1, 28, 28) / np.float32(255)).astype(np.float32)
    outputs = model.decode(model.graph.evaluate(model.encode(inputs)))[model.output_names[0]]
    assert (outputs.argmax(axis=1) == data["labels"]).sum() == 9296
