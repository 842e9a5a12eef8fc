"""Constants: folded with the executor. Quantized constants keep their integers through moves, factors and signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.state import Import, Refused, attribute
from lutwright.frontend.onnx_import.values import Constant, Lattice, Raw, Real, Value

MOVES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Expand", "Identity"}
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
MOST_BYTES = 2**29  # of all constants that the import computes
LARGEST = 2**15  # integers of a constant on a grid that no quantizer declared; more is an unquantized constant


def fold(state: Import, node: onnx.NodeProto, inputs: Sequence[Constant | None]) -> list[Value]:
    """A standard operator on constants."""
    arrays = [value.array if value is not None else None for value in inputs]
    if state.held > MOST_BYTES:
        raise Refused(
            f"the constants computed before it take {state.held >> 20} MiB, more than {MOST_BYTES >> 20}",
            "Check the shapes that they are given",
        )
    first, *others = state.execute(node, arrays)
    state.held += sum(array.nbytes for array in (first, *others))
    return [Constant(first, _lattice(state, node, inputs)), *(Constant(array) for array in others)]


def _lattice(state: Import, node: onnx.NodeProto, inputs: Sequence[Constant | None]) -> Lattice | None:
    kind, operands = node.op_type, [value for value in inputs if value is not None]
    if kind == "DequantizeLinear":
        return _dequantized(node, operands)
    if kind == "Mul" and operands[0].lattice is None:
        operands.reverse()
    if not operands or operands[0].lattice is None:
        return None
    lattice, rest = operands[0].lattice, [value.array for value in operands[1:]]
    q, scale = lattice.q, lattice.scale
    if kind in MOVES:
        return replace(lattice, q=state.execute(node, [q, *rest])[0], scale=state.execute(node, [scale, *rest])[0])
    if kind == "Cast" and attribute(node, "to", 0) in FLOATS:
        return replace(lattice, dtype=helper.tensor_dtype_to_np_dtype(attribute(node, "to", 0)), codes=None)
    if kind == "Neg":
        return replace(lattice, q=-q, codes=None)
    if kind in ("Mul", "Div"):
        factor = rest[0].astype(np.float64)
        scale = np.asarray(scale * factor if kind == "Mul" else scale / factor)
        return replace(lattice, q=np.broadcast_to(q, scale.shape), scale=scale, codes=None)
    return None


def _dequantized(node: onnx.NodeProto, operands: Sequence[Constant]) -> Lattice | None:
    """Codes less their zero points, times the scales: for the whole tensor, along an axis, or in blocks of it.

    None where the shapes are none of these, although an executor took them.
    """
    codes, scale, *zero = (value.array for value in operands)
    shift = zero[0].astype(np.int64) if zero else np.zeros(scale.shape, np.int64)
    axis = attribute(node, "axis", 1) % max(1, codes.ndim)
    if shift.size > 1 and shift.shape != scale.shape:
        return None
    if scale.ndim == 1 and scale.size > 1:
        if codes.shape[axis : axis + 1] != scale.shape:
            return None
        column = (1,) * axis + (-1,) + (1,) * (codes.ndim - 1 - axis)
        scale, shift = scale.reshape(column), np.broadcast_to(shift, scale.shape).reshape(column)
    elif scale.ndim > 1:
        size = attribute(node, "block_size", 0)
        if size < 1 or scale.ndim != codes.ndim or scale.shape[axis] * size < codes.shape[axis]:
            return None
        rows = np.arange(codes.shape[axis]) // size
        scale, shift = scale.take(rows, axis), np.broadcast_to(shift, scale.shape).take(rows, axis)
    real = np.broadcast_to(scale.astype(np.float64).reshape(scale.shape if scale.size > 1 else ()), codes.shape)
    q = codes.astype(np.int64) - (shift if shift.size > 1 else shift.reshape(()))
    return Lattice(q, real, scale.dtype, codes.dtype)


def shape_of_raw(state: Import, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[Value]:
    """The outputs of a node on the host before the hardware: their shapes, read off a run on zeros."""
    arrays = [
        np.zeros(value.shape, value.dtype) if isinstance(value, Raw) else value.array if value is not None else None
        for value in inputs
        if value is None or isinstance(value, (Raw, Constant))
    ]
    return [Raw(array.shape, array.dtype) for array in state.execute(node, arrays)]


def common_step(values: Real) -> tuple[float, ir.Array]:
    """The largest g such that every value is exactly an integer multiple of it, and these integers (object if huge)."""
    distinct, inverse = np.unique(values, return_inverse=True)
    fractions = [Fraction(float(value)) for value in distinct]
    denominator = max(
        (fraction.denominator for fraction in fractions), default=1
    )  # powers of two: the largest is common
    numerators = [int(fraction * denominator) for fraction in fractions]
    step = gcd(*numerators) or denominator
    integers = np.array([number // step for number in numerators], dtype=object)
    return float(Fraction(step, denominator)), integers[inverse.ravel()].reshape(values.shape)


def on_grid(values: Real) -> tuple[float, ir.Array] | None:
    """Step and integers of values on a grid of their own, or None if the integers would be larger than LARGEST."""
    step, integers = common_step(values)
    if integers.size and max(abs(integers.max()), abs(integers.min())) > LARGEST:
        return None
    return step, integers.astype(np.int64)
