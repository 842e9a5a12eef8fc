"""What each dialect's reference executor makes of a drawn model: every quantized tensor's values, sample first."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from lutwright.testbenches.reference import contexts, prepared

from .exact import execute
from .net import Case

# Of two pairs of QuantizeLinear and DequantizeLinear in a row it removes the coarser one's rounding, so that the result
# is not on the grid that the model declares.
LOSSY = ["DoubleQDQPairsRemover"]
EXACT_ACTIVATIONS = "1"  # float32; by default it quantizes float activations of a MatMul with 8-bit weights on the fly
NO_NUMPY = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}  # onnxruntime gives no outputs of these types
Values = dict[str, NDArray[Any]]


def run(case: Case) -> Values:
    """The tensors by name, [samples, …]; at least the output."""
    if case.dialect in ("qonnx", "mixed"):
        return contexts(prepared(case.model), case.samples)
    if case.dialect == "integer":
        return batches(case, lambda chunk: execute(case.model, chunk))
    return fused(case)


def fused(case: Case) -> Values:
    """onnxruntime as users run it, with its default optimizations. Quantized tensors inside are read off a second run,
    which gives them as outputs too, if that one has the same output."""
    output = case.model.graph.output[0].name
    plain = batches(case, session_run(case.model))
    tapped = onnx.ModelProto.FromString(case.model.SerializeToString())
    narrow = {item.name for item in tapped.graph.initializer if item.data_type in NO_NUMPY}
    for node in tapped.graph.node:
        if integer(node) and node.output[0] != output and narrow.isdisjoint(node.input):
            tapped.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    values = batches(case, session_run(tapped))
    return values if np.array_equal(values[output], plain[output]) else plain


def integer(node: onnx.NodeProto) -> bool:
    """Whether its output is quantized whatever onnxruntime fuses."""
    return node.op_type == "QuantizeLinear" or (node.op_type.startswith("QLinear") and len(node.output) == 1)


def session_run(model: onnx.ModelProto, optimize: bool = True) -> Any:
    """A function from a batch to the outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", EXACT_ACTIVATIONS)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=LOSSY
    )
    names = [item.name for item in session.get_outputs()]
    return lambda chunk: dict(zip(names, session.run(None, {"input": chunk}), strict=True))


def batches(case: Case, execute_batch: Any) -> Values:
    """The samples through an executor of the model's own batch; a batch that is too short is filled up."""
    declared = case.model.graph.input[0].type.tensor_type.shape.dim[0]
    size = declared.dim_value if declared.HasField("dim_value") else 1
    count = len(case.samples)
    filled = np.concatenate([case.samples, np.repeat(case.samples[-1:], -count % size, axis=0)])
    parts = [execute_batch(filled[start : start + size]) for start in range(0, len(filled), size)]
    return {
        name: np.concatenate([part[name] for part in parts])[:count]
        for name in parts[0]
        if np.ndim(parts[0][name]) and len(parts[0][name]) == size
    }
