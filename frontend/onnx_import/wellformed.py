"""Nodes against ONNX's own definition of their operator, and the size of what they make, before anything runs.

Handlers and executors can then rely on counts, on attributes and their types, on ranks and axes; and a small file whose
shapes ask for terabytes is refused before they are allocated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper, shape_inference

from lutwright.frontend.onnx_import.state import Refused
from lutwright.frontend.onnx_import.values import Constant, Host, Pending, Shape, Unknown, Value

IR_VERSION = 8
MOST_ELEMENTS = 2**26  # of one tensor
MOST_KNOWN = 1024  # elements of a constant that may say something about shapes
EXPORT_AGAIN = "Make them agree, or export the model again"
BROKEN = (checker.ValidationError, shape_inference.InferenceError, RuntimeError, ValueError)  # what onnx raises


def check(node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> None:
    """Refused if a node of the standard domain breaks its definition or makes a tensor of too many elements.

    Where an input's shape is not known, only counts and attributes are looked at. Types are not: the executors decide.
    """
    if not onnx.defs.has(node.op_type, opset, ""):
        raise Refused(f"ONNX opset {opset} does not have it", "Export with the opset that has it")
    context = checker.C.CheckerContext()
    context.ir_version, context.opset_imports = IR_VERSION, {"": opset}
    tensors = [_tensor(value) for value in inputs]
    shapes = [shape for shape, _ in filter(None, tensors)]
    try:
        checker.check_node(node, context)
        if any(value is not None and tensor is None for value, tensor in zip(inputs, tensors, strict=True)):
            return
        model = shape_inference.infer_shapes(_alone(node, opset, inputs), strict_mode=True, data_prop=True)
    except BROKEN as error:
        reason = str(error).splitlines()[0].rpartition("] ")[2].rpartition("): ")[2].rstrip(".")
        found = f"its attributes and inputs (shapes {', '.join(map(str, shapes)) or 'none'})"
        raise Refused(f"{found} break its operator's definition: {reason}", EXPORT_AGAIN) from None
    for item in model.graph.value_info:
        size = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        if math.prod(size) > MOST_ELEMENTS:
            reason = f"it makes a tensor of shape {tuple(size)}, more than {MOST_ELEMENTS} elements"
            raise Refused(reason, "Check the shapes that it is given")


def _alone(node: onnx.NodeProto, opset: int, inputs: Sequence[Value | None]) -> onnx.ModelProto:
    """A model of the node, its inputs by their shapes, small constants with their values."""
    single = onnx.NodeProto()
    single.CopyFrom(node)
    del single.input[:], single.output[:]
    given, known = list[onnx.ValueInfoProto](), list[onnx.TensorProto]()
    for index, value in enumerate(inputs):
        single.input.append("" if value is None else f"i{index}")
        tensor = _tensor(value)
        if isinstance(value, Constant) and value.array.size <= MOST_KNOWN:
            known.append(numpy_helper.from_array(value.array, f"i{index}"))
        elif tensor is not None:
            shape, dtype = tensor
            given.append(helper.make_tensor_value_info(f"i{index}", helper.np_dtype_to_tensor_dtype(dtype), shape))
    single.output.extend(f"o{index}" if name else "" for index, name in enumerate(node.output))
    graph = helper.make_graph([single], "node", given, [], known)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def _tensor(value: Value | None) -> tuple[Shape, np.dtype[Any]] | None:
    """Shape and type of a value, where they are known."""
    if value is None or isinstance(value, Unknown):
        return None
    if isinstance(value, Host):
        return None if value.zeros is None else (value.zeros.shape, value.zeros.dtype)
    if isinstance(value, Constant):
        return value.shape, value.array.dtype
    return value.shape, value.sources[0].dtype if isinstance(value, Pending) else value.dtype
