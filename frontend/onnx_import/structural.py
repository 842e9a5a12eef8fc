"""Operators that only move elements: on IR values a Reshape or Transpose, on quantized constants the same moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from lutwright.frontend.onnx_import.state import Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.values import Constant, Host, Pending, Quantized, Unknown, Value


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Dropout")
def reshape(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """What keeps the raster order: the new shape is read off the operator run on an array of indices."""
    x, *others = inputs
    assert isinstance(x, (Quantized, Pending))
    if node.op_type == "Dropout":
        return [x] * len(node.output)
    index = np.arange(np.prod(x.shape), dtype=np.int64).reshape(x.shape)
    moved = state.execute(node, [index, *(constant(v, "shape") if v is not None else None for v in others)])[0]
    if moved.size != index.size or (moved.ravel() != index.ravel()).any():
        raise Refused(f"it does not keep the {index.size} elements of its input", "Keep the number of elements")
    return [state.reshape(x, moved.shape, node.name)]


@operator("Transpose")
def transpose(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    assert isinstance(x, (Quantized, Pending))
    return [state.transpose(x, attribute(node, "perm", list(range(len(x.shape)))[::-1]), node.name)]


@operator("Shape", "Size")
def shape(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """A constant: shapes are known at import."""
    (x,) = inputs
    assert x is not None and not isinstance(x, (Host, Unknown))
    return [Constant(state.execute(node, [np.zeros(x.shape, np.float32)])[0])]
