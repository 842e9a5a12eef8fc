"""Quantized files through the importer: the golden model equals the reference at every quantizer and at the output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from lutwright.frontend.compare import compare_reference, compare_tensor
from lutwright.frontend.model import load
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.quantization import quantize
from lutwright.frontend.quantize.settings import Settings
from lutwright.testbenches.reference import contexts, prepared

from .networks import CASES, Case

SETTINGS = [
    Settings(),
    Settings(weights=3, activations=4),
    Settings(weights=4, activations=5, power_of_two=True),
]
BY_SETTINGS = pytest.mark.parametrize("settings", SETTINGS, ids=["8bit", "narrow", "power_of_two"])
BY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@BY_SETTINGS
@BY_CASE
def test_qdq_golden_equals_onnxruntime(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    quantized = quantize(path, x, settings).model
    onnx.save(quantized, tmp_path / "quantized.onnx")
    model = load(tmp_path / "quantized.onnx")
    (outputs,) = session(quantized, optimize=True).run(None, {"x": x})
    count, first = compare_reference(model, model.graph.evaluate(model.encode(x)), outputs)
    assert count == 0, first


@BY_SETTINGS
@BY_CASE
def test_qonnx_golden_equals_qonnx(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    result = quantize(path, x, replace(settings, format="qonnx"))
    onnx.save(result.model, tmp_path / "quantized.onnx")
    model, values = load(tmp_path / "quantized.onnx"), contexts(prepared(result.model), x)
    trace = model.graph.trace(model.encode(x))
    quantized = {f"{name}::dequantized" for name in result.activations}
    for tensor in (tensor for name, tensor in model.tensors.items() if name in quantized):  # passes drop some nodes
        reference = values[tensor.name].reshape(trace[tensor.node].shape)
        count, first = compare_tensor(tensor, trace[tensor.node], reference)
        assert count == 0, first
    count, first = compare_reference(model, trace[model.graph.output], values[model.output_names[0]])
    assert count == 0, first
