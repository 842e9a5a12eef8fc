"""The VGG example: exact in the golden model, with Winograd in a plan too, and in the Verilog of such a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from lutwright import flow
from lutwright.frontend.device import device
from lutwright.frontend.model import Model, load
from lutwright.frontend.nodes import Conv
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.search import Search
from lutwright.hdl.engines.base import Cost, Folding

FOLDER = Path(__file__).parents[2] / "examples" / "vgg"
MODEL, SAMPLES = FOLDER / "vgg.onnx", FOLDER / "test.npz"
DEVICE, WINOGRAD = "ecp5-85k", "winograd:m=2"
SHAPES = {
    "conv1": (16, 3, 3, 3), "conv2": (16, 3, 3, 16), "conv3": (32, 3, 3, 16), "conv4": (32, 3, 3, 32),
    "conv5": (64, 3, 3, 32), "conv6": (64, 3, 3, 64),
}  # fmt: skip
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def samples() -> Arrays:
    with np.load(SAMPLES) as data:
        return dict(data)


@pytest.fixture(scope="module")
def model() -> Model:
    return load(MODEL)


def test_the_network_is_what_its_readme_says(model: Model, samples: Arrays) -> None:
    assert {node.name: node.weight.shape for node in model.graph if isinstance(node, Conv)} == SHAPES
    assert samples["inputs"].shape == (20, 3, 32, 32)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 200_000
    assert b".py" not in MODEL.read_bytes()


def test_outputs_are_the_references(samples: Arrays) -> None:
    inputs = samples["inputs"].astype(np.float32)
    (outputs,) = session(onnx.load(MODEL), optimize=True).run(["scores"], {"pixels": inputs})
    np.testing.assert_array_equal(outputs, samples["outputs"])
    assert (outputs.argmax(axis=1) == samples["labels"]).mean() >= 0.9


def test_golden_equals_the_reference(model: Model, samples: Arrays) -> None:
    scores = model.decode(model.graph.evaluate(model.encode(samples["inputs"])))["scores"]
    np.testing.assert_array_equal(scores, samples["outputs"])


def test_a_choice_with_winograd_evaluates_to_the_same(model: Model, samples: Arrays) -> None:
    engines = dict.fromkeys(SHAPES, "multiply_dsp") | {"conv2": WINOGRAD, "gemm1": "multiply_dsp"}
    search = Search(model.graph, device(DEVICE), engines, dict.fromkeys(engines, Folding(1, 1)), Cost(0, 0, 0, 0, 0))
    solution = search.solve(search.longest)
    assert solution is not None
    assert solution.nodes["conv2"].engine == WINOGRAD
    x = model.encode(samples["inputs"])
    np.testing.assert_array_equal(solution.graph.evaluate(x), model.graph.evaluate(x))


@pytest.mark.slow
def test_verilog_of_a_plan_with_winograd_equals_golden() -> None:
    options = flow.Options(device=DEVICE, engines=dict.fromkeys(list(SHAPES)[1:], WINOGRAD))
    facts = flow.simulate(MODEL, options, SAMPLES, 2, "verilator", lambda *_: None)
    assert facts["failed"] is None
    assert facts["mismatches"] == facts["reference_mismatches"] == facts["cycle_mismatches"] == 0
