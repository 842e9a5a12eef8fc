"""The QONNX reference executor, one sample at a time, and the comparison of every quantized tensor with the golden."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from qonnx.core import onnx_exec
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from lutwright.errors import Mismatch
from lutwright.frontend.model import Model, compare_reference, compare_tensor


@lru_cache(256)
def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


# The executor makes a session with threads for every node and sample, which is most of its time: now one for a node.
onnx_exec.rt = SimpleNamespace(InferenceSession=_session)


def prepared(model: onnx.ModelProto | Path) -> ModelWrapper:
    """The model as qonnx executes it: its tensors keep their names, the fixed batch stays, a symbolic one becomes 1."""
    proto = onnx.load(model) if isinstance(model, Path) else onnx.ModelProto.FromString(model.SerializeToString())
    constants = {item.name for item in proto.graph.initializer}
    for item in [item for item in proto.graph.input if item.name not in constants] + list(proto.graph.output):
        for dim in item.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for node in proto.graph.node:
        if node.domain in ("onnx.brevitas", "finn.custom_op.general"):
            node.domain = "qonnx.custom_op.general"
    for entry in proto.opset_import:
        if entry.domain in ("onnx.brevitas", "finn.custom_op.general"):
            entry.domain = "qonnx.custom_op.general"
    return ModelWrapper(proto).transform(InferShapes())


def contexts(wrapper: ModelWrapper, inputs: NDArray[Any], batched: bool = True) -> dict[str, NDArray[Any]]:
    """Every tensor's values for the samples: [n, ...]. Constants are repeated."""
    initializers = {item.name for item in wrapper.graph.initializer}
    (name,) = [item.name for item in wrapper.graph.input if item.name not in initializers]
    size = wrapper.get_tensor_shape(name)[0] if batched else 1
    parts: list[dict[str, Any]] = []
    for start in range(0, len(inputs), size):
        chunk = inputs[start : start + size]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = execute_onnx(wrapper, {name: filled if batched else filled[0]}, return_full_exec_context=True)
        parts.append({key: value if batched else np.asarray(value)[np.newaxis] for key, value in context.items()})
    return {
        key: np.concatenate([part[key] for part in parts])[: len(inputs)]
        for key in parts[0]
        if np.ndim(parts[0][key]) and len(parts[0][key]) == size
    }


def mismatches(model: Model, wrapper: ModelWrapper, inputs: NDArray[Any]) -> tuple[int, list[Mismatch]]:
    """Golden against reference at every quantized tensor and at the first output: elements compared, mismatches."""
    values = contexts(wrapper, inputs, model.batched)
    trace = model.trace_imported(inputs)
    compared, found = 0, list[Mismatch]()
    for name, tensor in model.tensors.items():
        reference = values[name].reshape(trace[tensor.node].shape)
        compared += reference.size
        found += [item for item in [compare_tensor(tensor, trace[tensor.node], reference)[1]] if item]
    outputs = values[model.output_names[0]]
    golden = model.graph.evaluate(model.encode(inputs))
    found += [item for item in [compare_reference(model, golden, outputs)[1]] if item]
    return compared + outputs.size, found
