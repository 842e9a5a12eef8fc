"""The shift example: its weights are powers of two, its outputs the reference's, and its hardware has no multiplier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from lutwright import flow
from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Conv, Dense
from lutwright.frontend.planning import Smallest

FOLDER = Path(__file__).parents[2] / "examples" / "shift"
LARGEST = {"3": 4, "4": 64}  # code bits to the largest code
SHAPES = {"conv1": (8, 3, 3, 1), "conv2": (16, 3, 3, 8), "conv3": (16, 3, 3, 16), "dense4": (10, 64)}
DEVICE = "ecp5-25k"
ENGINES = dict.fromkeys(SHAPES, "shift")
Arrays = dict[str, NDArray[Any]]

bits = pytest.mark.parametrize("bits", LARGEST)


def model_file(bits: str) -> Path:
    return FOLDER / f"shift{bits}.onnx"


def samples_file(bits: str) -> Path:
    return FOLDER / f"test{bits}.npz"


def split(bits: str) -> Arrays:
    with np.load(samples_file(bits)) as data:
        return dict(data)


def quiet(*_: Any) -> None:
    """No progress."""


@bits
def test_split_is_whole_and_the_other_examples(bits: str) -> None:
    found = split(bits)
    assert found["inputs"].shape == (360, 1, 8, 8)
    assert found["outputs"].shape == (360, 10)
    with np.load(FOLDER.parent / "digits" / "test.npz") as digits:
        np.testing.assert_array_equal(found["inputs"].reshape(360, 64), digits["inputs"])
        np.testing.assert_array_equal(found["labels"], digits["labels"])


@bits
def test_accuracy_is_at_least_95_percent(bits: str) -> None:
    found = split(bits)
    assert (found["outputs"].argmax(axis=1) == found["labels"]).mean() >= 0.95


@bits
def test_outputs_are_the_reference_executors(bits: str) -> None:
    model, data = ModelWrapper(str(model_file(bits))), split(bits)
    found = [execute_onnx(model, {"pixels": sample[np.newaxis]})["scores"] for sample in data["inputs"]]
    np.testing.assert_array_equal(np.concatenate(found), data["outputs"])


@bits
def test_golden_equals_reference_on_every_sample(bits: str) -> None:
    model, data = load(model_file(bits)), split(bits)
    mismatches, first = compare_reference(model, model.graph.evaluate(model.encode(data["inputs"])), data["outputs"])
    assert mismatches == 0, first


@bits
def test_weights_are_zero_or_powers_of_two(bits: str) -> None:
    layers = {node.name: node.weight for node in load(model_file(bits)).graph if isinstance(node, Conv | Dense)}
    assert {name: weight.shape for name, weight in layers.items()} == SHAPES
    codes = {0} | {sign * 2**e for e in range(LARGEST[bits].bit_length()) for sign in (1, -1)}
    for name, weight in layers.items():
        assert set(np.unique(weight).tolist()) <= codes, name
    assert max(np.abs(weight).max() for weight in layers.values()) == LARGEST[bits]


@bits
def test_model_carries_no_traces_of_the_machine_that_trained(bits: str) -> None:
    model = onnx.load(model_file(bits))
    parts = (model, model.graph, *model.graph.node, *model.graph.value_info)
    assert not [part.metadata_props for part in parts if part.metadata_props]
    assert b".py" not in model_file(bits).read_bytes()


def test_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 200_000


@bits
def test_verilog_has_no_multiplier(bits: str, tmp_path: Path) -> None:
    facts = flow.compile_model(model_file(bits), flow.Options(device=DEVICE, engines=ENGINES), tmp_path / "out", quiet)
    text = Path(facts["verilog"]).read_text()
    assert "MULT18X18D" not in text
    assert " * " not in text


@pytest.mark.slow
@bits
def test_synthesis_takes_no_dsp(bits: str) -> None:
    options = flow.Options(device=DEVICE, engines=ENGINES, goal=Smallest())
    assert flow.synth(model_file(bits), options, quiet)["dsp"] == 0


@pytest.mark.slow
@bits
def test_verilog_equals_golden(bits: str) -> None:
    options = flow.Options(device=DEVICE, engines=ENGINES)
    facts = flow.simulate(model_file(bits), options, samples_file(bits), 60, "verilator", quiet)
    assert facts["failed"] is None
    assert facts["mismatches"] == facts["reference_mismatches"] == facts["cycle_mismatches"] == 0
