"""The digits example: the committed outputs are the reference's, the golden model's too, and they are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Dense

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
MODEL = FOLDER / "digits.onnx"
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def split() -> Arrays:
    with np.load(FOLDER / "test.npz") as data:
        return dict(data)


def test_split_is_whole(split: Arrays) -> None:
    assert split["inputs"].shape == (360, 64)
    assert split["inputs"].dtype == np.float32
    assert set(np.unique(split["inputs"])) == set(range(17))
    assert split["outputs"].shape == (360, 10)
    assert np.bincount(split["labels"]).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_accuracy_is_at_least_96_percent(split: Arrays) -> None:
    assert (split["outputs"].argmax(axis=1) == split["labels"]).mean() >= 0.96


def test_outputs_are_the_reference_executors(split: Arrays) -> None:
    model = ModelWrapper(str(MODEL))
    (entry,), (out,) = model.graph.input, model.graph.output
    found = [execute_onnx(model, {entry.name: sample[np.newaxis]})[out.name] for sample in split["inputs"]]
    np.testing.assert_array_equal(np.concatenate(found), split["outputs"])


def test_golden_equals_reference_on_every_sample(split: Arrays) -> None:
    model = load(MODEL)
    mismatches, first = compare_reference(model, model.graph.evaluate(model.encode(split["inputs"])), split["outputs"])
    assert mismatches == 0, first


def test_weights_are_bits_that_fit_the_smallest_board() -> None:
    layers = [node for node in load(MODEL).graph if isinstance(node, Dense)]
    assert [layer.weight.shape for layer in layers] == [(256, 64), (128, 256), (10, 128)]
    assert sum(layer.weight.size for layer in layers) == 50432 < 30 * 4096


def test_model_carries_no_traces_of_the_machine_that_trained() -> None:
    model = onnx.load(MODEL)
    parts = (model, model.graph, *model.graph.node, *model.graph.value_info)
    assert not [part.metadata_props for part in parts if part.metadata_props]
    assert b".py" not in MODEL.read_bytes()
