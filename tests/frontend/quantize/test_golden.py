"""Quantized files through the importer: the golden model equals the reference.

Where onnxruntime fuses a QDQ layer to integers, for any scales; where the reference sums in float32 (all of QONNX, and
what onnxruntime has no integer operator for), for scales that are powers of two: then its sums are exact on every
processor, and no tie is left to their order.
"""

from __future__ import annotations

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

BITS = [(8, 8), (3, 4)]
SUMMED_IN_FLOAT = {"conv_transposed", "conv_transposed_grouped", "matmul_left", "reducemean"}
QDQ = [
    pytest.param(case, Settings(*bits, power_of_two=power_of_two), id=f"{case.name}-{bits[0]}-{power_of_two}")
    for case in CASES
    for bits in BITS
    for power_of_two in (False, True)
    if power_of_two or case.name not in SUMMED_IN_FLOAT
]
QONNX = [
    pytest.param(case, Settings(*bits, power_of_two=True, format="qonnx"), id=f"{case.name}-{bits[0]}")
    for case in CASES
    for bits in BITS
]


@pytest.mark.parametrize(("case", "settings"), QDQ)
def test_qdq_golden_equals_onnxruntime(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    quantized = quantize(path, x, settings).model
    onnx.save(quantized, tmp_path / "quantized.onnx")
    model = load(tmp_path / "quantized.onnx")
    (outputs,) = session(quantized, optimize=True).run(None, {"x": x})
    count, first = compare_reference(model, model.graph.evaluate(model.encode(x)), outputs)
    assert count == 0, first


@pytest.mark.parametrize(("case", "settings"), QONNX)
def test_qonnx_golden_equals_qonnx_at_every_quantizer(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    result = quantize(path, x, settings)
    onnx.save(result.model, tmp_path / "quantized.onnx")
    model, values = load(tmp_path / "quantized.onnx"), contexts(prepared(result.model), x)
    trace = model.trace_imported(x)
    quantizers = {node.output[0] for node in result.model.graph.node if node.op_type == "Quant"}
    compared = [tensor for name, tensor in model.tensors.items() if name in quantizers]
    assert len(compared) >= len(result.activations)
    for tensor in compared:
        reference = values[tensor.name].reshape(trace[tensor.node].shape)
        count, first = compare_tensor(tensor, trace[tensor.node], reference)
        assert count == 0, first
    count, first = compare_reference(model, model.graph.evaluate(model.encode(x)), values[model.output_names[0]])
    assert count == 0, first
