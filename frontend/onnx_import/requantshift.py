"""RequantShift of QuantLib and Deeploy: an integer factor, an integer term and a division, for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.staircase import staircase
from lutwright.frontend.onnx_import.state import Import, Refused, constant, operator
from lutwright.frontend.onnx_import.values import VARIABLE, Anything, Pending, Value
from lutwright.frontend.onnx_import.weights import integers

LARGEST = 2**61  # twice the dividend stays within int64


@operator("RequantShift", domains=("", "PACTOps"), integer=True, arity=3)
def requant_shift(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """clip(floor((x * mul + add + div / 2) / div)) on integers, to n_levels_out levels, signed or from 0."""
    x, mul, add = inputs
    factor, term = (_integers(constant(value, what), what) for value, what in ((mul, "mul"), (add, "add")))
    div, count, signed = (_scalar(node, name) for name in ("div", "n_levels_out", "signed"))
    if div < 1 or not 2 <= count <= 2**32:
        raise Refused(f"its div {div} must be above 0 and its n_levels_out {count} above 1", "Export the model again")
    lo, hi = (-(count // 2), (count + 1) // 2 - 1) if signed else (0, count - 1)
    source = integers(state, node, x)
    if not all((part == np.round(part)).all() for part in (source.scale, source.offset)):
        raise Refused("its input is not integer", "Put it behind integer layers, without scales between them")
    interval, scale = source.node.type, float(np.abs(source.scale).max())
    largest = max(abs(interval.lo), abs(interval.hi)) * scale + float(np.abs(source.offset).max())
    if largest * float(np.abs(factor).max()) + float(np.abs(term).max()) + div > LARGEST:
        raise Refused(f"its products go up to {largest * float(np.abs(factor).max()):.3g}", "Use a smaller mul")

    def levels(v: ir.Array, factor: ir.Array, term: ir.Array) -> ir.Array:
        return np.asarray(np.clip((2 * (v * factor + term) + div) // (2 * div), lo, hi))

    value = Pending((replace(source, dtype=np.dtype(np.int64)),), VARIABLE)
    result = staircase(state, node.name, value, levels, (factor, term))
    return [replace(result, scale=np.ones(()), offset=np.zeros(()), dtype=np.dtype(np.float32))]


def _integers(array: Anything, what: str) -> ir.Array:
    if (
        not array.size
        or not np.isfinite(array).all()
        or (array != np.round(array)).any()
        or np.abs(array).max(initial=0) > LARGEST
    ):
        raise Refused(f"its {what} must hold integers", "Export the model with integer parameters")
    return array.astype(np.int64)


def _scalar(node: onnx.NodeProto, name: str) -> int:
    """An attribute that is a number, or a tensor of one."""
    for item in node.attribute:
        if item.name == name:
            try:
                found = helper.get_attribute_value(item)
                array = numpy_helper.to_array(found) if isinstance(found, onnx.TensorProto) else np.asarray(found)
            except (ValueError, TypeError, KeyError):  # a reference, an unknown type, a damaged tensor
                raise Refused(f"its attribute {name} has no value", "Export the model again") from None
            if array.dtype.kind not in "biuf" or array.size != 1:
                raise Refused(f"its attribute {name} must be one number", "Export the model again")
            return int(_integers(array, f"attribute {name}").flat[0])
    raise Refused(f"its attribute {name} is missing", "Export the model again")
