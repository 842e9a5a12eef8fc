"""Hypothesis strategies that draw valid quantized ONNX models with samples, and their reference executions."""

from . import integer, mixed, qdq, qonnx, qoperator

DIALECTS = {
    "qonnx": qonnx.models,
    "qdq": qdq.models,
    "qoperator": qoperator.models,
    "integer": integer.models,
    "mixed": mixed.models,
}
