"""The float example: what its README says holds, at every width, and the quantized files are exact in lutwright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.quantization import measured, quantize
from lutwright.frontend.quantize.settings import Settings
from lutwright.testbenches.reference import contexts, prepared

FOLDER = Path(__file__).parents[2] / "examples" / "quantize"
MODEL = FOLDER / "digits_float.onnx"
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def calibration() -> Arrays:
    return dict(np.load(FOLDER / "calib.npz"))


@pytest.fixture(scope="module")
def test_split() -> Arrays:
    return dict(np.load(FOLDER / "test.npz"))


def test_files_are_small_and_the_splits_apart(calibration: Arrays, test_split: Arrays) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 200_000
    assert calibration["inputs"].shape == (256, 1, 8, 8)
    assert test_split["inputs"].shape == (360, 1, 8, 8)
    images = {x.tobytes() for x in calibration["inputs"]} & {x.tobytes() for x in test_split["inputs"]}
    assert images == set()


def test_the_float_model_is_what_its_recipe_says() -> None:
    model = onnx.load(MODEL)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == kinds.count("BatchNormalization") == 3
    assert kinds.count("Add") == kinds.count("Gemm") == 1
    assert b".py" not in MODEL.read_bytes()


@pytest.mark.parametrize(
    ("bits", "options", "least"),
    [
        (8, {}, 0.99), (8, {"power_of_two": True}, 0.99), (6, {}, 0.99), (4, {}, 0.99), (3, {}, 0.98), (2, {}, 0.8),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["qdq", "qonnx"])
def test_accuracy(
    bits: int, options: dict[str, Any], least: float, name: str, calibration: Arrays, test_split: Arrays
) -> None:
    model = quantize(MODEL, calibration["inputs"], Settings(bits, bits, format=name, **options)).model
    (row,) = measured(MODEL, model, test_split["inputs"], test_split["labels"])
    assert row["accuracy_float"] == 358 / 360
    assert row["accuracy_quantized"] >= least


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["qdq", "qonnx"])
def test_golden_equals_the_reference(
    bits: int, name: str, calibration: Arrays, test_split: Arrays, tmp_path: Path
) -> None:
    quantized = quantize(MODEL, calibration["inputs"], Settings(bits, bits, format=name)).model
    onnx.save(quantized, tmp_path / "quantized.onnx")
    model, x = load(tmp_path / "quantized.onnx"), test_split["inputs"]
    if name == "qdq":
        (outputs,) = session(quantized, optimize=True).run(None, {"pixels": x})
    else:
        x = x[:60]
        outputs = contexts(prepared(quantized), x)["scores"]
    mismatches, first = compare_reference(model, model.graph.evaluate(model.encode(x)), outputs)
    assert mismatches == 0, first
