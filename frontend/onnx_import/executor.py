"""One ONNX operator on arrays, as the reference executor computes it: a model of that one node in onnxruntime.

The QONNX reference runs every standard operator this way, so constants and chains get the reference's own float32
results, whatever its kernels do (its sigmoid, for example, is no correctly rounded one). Operators that onnxruntime
does not have for a type run in ONNX's own reference evaluator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator

from lutwright.frontend.onnx_import.values import Anything

IR_VERSION = 10
WIDE_QUANTIZERS = 21  # the opset whose quantizers have 16 and 4 bits; those of com.microsoft have them in any
MOST_SESSIONS = 256
KERNEL_FAILED = "status code returned while running"  # onnxruntime's exceptions have no type of their own for this
_sessions: dict[bytes, Any] = {}


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether it is a real number's type: no text, no objects, nothing complex."""
    return dtype.kind not in "OSUTcmM"


class OperatorFailed(Exception):
    """The operator cannot run on these inputs; the text says why in the executor's words."""


def session(model: onnx.ModelProto, optimize: bool = False) -> Any:
    """An onnxruntime session on one thread, silent, with graph optimizations only if asked for."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # sessions are kept, and an arena keeps the most that a run ever took
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def execute(node: onnx.NodeProto, inputs: Sequence[Anything | None], opset: int) -> list[Anything]:
    """The outputs of a node for arrays as inputs (None for an optional one that is absent)."""
    model = _single_node_model(node, inputs, opset)
    key = model.SerializeToString(deterministic=True)
    feed = {f"i{index}": np.asarray(array) for index, array in enumerate(inputs) if array is not None}
    try:
        if key not in _sessions:
            if len(_sessions) >= MOST_SESSIONS:
                _sessions.clear()
            _sessions[key] = session(model)
        outputs = _sessions[key].run(None, feed)
    except Exception as refusal:
        if KERNEL_FAILED in str(refusal):  # the inputs are wrong, and ONNX's reference may never end
            raise OperatorFailed(str(refusal).splitlines()[0].rpartition("Status Message: ")[2]) from refusal
        try:
            outputs = ReferenceEvaluator(model).run(None, feed)
        except Exception as error:
            raise OperatorFailed(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    arrays = [np.asarray(output) for output in outputs]
    if not all(isinstance(output, (np.ndarray, np.generic)) and is_number(output.dtype) for output in outputs):
        raise OperatorFailed("its results are no tensors of numbers")
    return arrays


def _single_node_model(node: onnx.NodeProto, inputs: Sequence[Anything | None], opset: int) -> onnx.ModelProto:
    single = onnx.NodeProto()
    single.CopyFrom(node)
    del single.input[:], single.output[:]
    single.name = single.doc_string = ""
    single.input.extend("" if array is None else f"i{index}" for index, array in enumerate(inputs))
    single.output.extend(f"o{index}" for index in range(len(node.output)))
    given = [
        helper.make_tensor_value_info(f"i{index}", helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)
        for index, array in enumerate(inputs)
        if array is not None
    ]
    wanted = [onnx.ValueInfoProto(name=name) for name in single.output]
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        opset = max(opset, WIDE_QUANTIZERS)
    graph = helper.make_graph([single], "node", given, wanted)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)
