"""The QDQ dialect: QuantizeLinear and DequantizeLinear, evaluated as executors do that fuse DQ -> operator -> Q.

Where the operands and the result of a group have 8-bit codes, onnxruntime's default optimizations make one integer
operator of it; `fused` has their arithmetic, docs/qdq_fusion.md the groups. Everything else runs in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend import ir
from lutwright.frontend.nodes import Dense
from lutwright.frontend.onnx_import import fused
from lutwright.frontend.onnx_import.joint import joint_staircase_of
from lutwright.frontend.onnx_import.linear import with_bias
from lutwright.frontend.onnx_import.quantize import quantize
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.staircase import staircase, staircase_of
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    VARIABLE,
    Anything,
    Apply,
    Constant,
    Mean,
    Pending,
    Product,
    Quantized,
    Raw,
    Value,
    Variable,
    pending,
)
from lutwright.frontend.onnx_import.weights import EIGHT_BITS, integers
from lutwright.frontend.onnx_import.writer import Writer

ROUND_EVEN = 1.5 * 2**52  # added and subtracted in float64, rounds to nearest even; Round exists only since opset 11
BITS = {"int2": (-2, 1), "uint2": (0, 3), "int4": (-8, 7), "uint4": (0, 15)}


@dataclass(frozen=True, eq=False)
class Codes:
    """The grid of a quantized tensor: real = scale * (code - zero), codes of a type with the range [lo, hi]."""

    scale: Anything
    zero: ir.Array
    dtype: np.dtype[Any]
    lo: int
    hi: int

    @property
    def plain(self) -> bool:
        """Whether fused operators have it as an output: 8 bits, one scale."""
        return self.dtype in EIGHT_BITS and self.scale.size == 1 and self.zero.size == 1

    @property
    def one_zero(self) -> int:
        return int(self.zero.flat[0])


def code_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the greatest code; Refused for types without codes."""
    if dtype.name in BITS:
        return BITS[dtype.name]
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        raise Refused(f"codes of type {dtype} are not supported", "Use integer codes of 2 to 32 bits")
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def codes(scale: Value | None, zero: Value | None, shape: Sequence[int] = (), axis: int = 1) -> Codes:
    """The grid of a tensor of that shape, from the constants that give it; uint8 without a zero point."""
    s = constant(scale, "scale")
    z = constant(zero, "zero point") if zero is not None else np.zeros(s.shape, np.uint8)
    if s.dtype.kind != "f" or not np.isfinite(s).all() or (s <= 0).any():
        raise Refused(
            "its scale must be finite and above 0",
            "Calibrate again: a tensor that is 0 in all samples gives such a scale",
        )
    if z.size != 1 and z.shape != s.shape:
        raise Refused(
            f"its zero points of shape {z.shape} do not fit its scales of shape {s.shape}",
            "Give it one zero point, or one for each scale",
        )
    lo, hi = code_range(z.dtype)
    if s.size == 1:
        return Codes(s.reshape(()), z.astype(np.int64).reshape(()), z.dtype, lo, hi)
    rank = len(shape)
    if s.ndim != 1 or not -rank <= axis < rank or shape[axis] != s.size:
        raise Refused(
            f"its scales of shape {s.shape} must be one for all, or one for each of axis {axis} of {tuple(shape)}",
            "Quantize activations per tensor or per channel, not in blocks",
        )
    column = (s.size, *(1,) * (rank - 1 - axis % rank))
    return Codes(s.reshape(column), np.broadcast_to(z, s.shape).astype(np.int64).reshape(column), z.dtype, lo, hi)


@operator("QuantizeLinear", integer=True)
def quantize_linear(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, scale, *rest = inputs
    x = x if isinstance(x, Raw) else activation(x)
    zero = rest[0] if rest else None
    wanted = attribute(node, "output_dtype", 0)
    if zero is None and wanted:
        zero = Constant(np.zeros((), helper.tensor_dtype_to_np_dtype(wanted)))
    grid = codes(scale, zero, x.shape, attribute(node, "axis", 1))
    if isinstance(x, (Quantized, Pending)):
        result = _fused(state, node, x, grid)
        if result is not None:
            return [of_codes(result, grid)]
        x = _with_rounded_bias(state, pending(x))
    return [quantize(state, node, x, quantizer_of(grid))]


@operator("DequantizeLinear", integer=True)
def dequantize_linear(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The same integers with a scale and an offset."""
    x, scale, *rest = inputs
    if isinstance(x, Raw):
        raise Refused("it dequantizes a model input whose range is not known", "Name it with --input, such as int8")
    x = activation(x)
    value = integers(state, node, x)
    zero = rest[0] if rest and rest[0] is not None else Constant(np.zeros((), value.dtype))
    grid = codes(scale, zero, x.shape, attribute(node, "axis", 1))
    if value.scale.size > 1 or value.scale.flat[0] != 1 or value.offset.any():
        raise Refused("what it dequantizes is not integer", "Put a QuantizeLinear before it")
    real = grid.scale.astype(np.float64)
    kind = value.dtype if value.dtype.kind in "iu" else grid.dtype
    return [
        replace(
            value, scale=real, offset=np.asarray(-grid.zero * real), dtype=grid.scale.dtype, codes=kind,
            product=None, mean=None,
        )
    ]  # fmt: skip


@operator("DynamicQuantizeLinear", integer=True)
def dynamic_quantize_linear(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    raise Refused("its scale depends on the data of each sample", "Quantize statically, with calibration data")


def quantizer_of(grid: Codes) -> Quantizer:
    """QuantizeLinear to that grid: its result are the codes themselves."""
    return Quantizer(
        grid.lo,
        grid.hi,
        (grid.scale, grid.zero),
        lambda v, s, z: fused.quantize_linear(v, s, z, grid.lo, grid.hi),
        np.asarray(1.0),
        np.asarray(0.0),
        lambda writer, v, dtype: _emit(writer, v, dtype, grid),
        grid.dtype,
    )


def requantized_mean(state: Import, node: onnx.NodeProto, value: Quantized, grid: Codes) -> Quantized:
    """A pool's codes: fused, or where its input has no codes of one grid from its reals."""
    if value.mean is not None and grid.plain:
        return of_codes(averaged(state, node.name, value, value.mean, grid, grid.lo), grid)
    result = quantize(state, node, value, quantizer_of(grid))
    assert isinstance(result, Quantized)
    return result


def of_codes(value: Quantized, grid: Codes) -> Quantized:
    """The node's integers as a tensor of codes."""
    return Quantized(value.node, value.shape, value.batched, np.asarray(1.0), np.asarray(0.0), grid.dtype)


def as_codes(value: Quantized) -> Quantized:
    """The node's integers themselves as reals, for rules that compute on them."""
    return Quantized(value.node, value.shape, value.batched, np.asarray(1.0), np.asarray(0.0), np.dtype(np.int64))


def requantized(
    state: Import, wish: str, value: Quantized, product: Product, grid: Codes, alpha: float = 1.0
) -> Quantized:
    """The codes that a fused operator makes of its accumulator."""

    def levels(acc: Anything, w_scale: Anything, bias: Anything, y_scale: Anything, y_zero: Anything) -> ir.Array:
        return fused.requantize(acc + bias, product.x_scale, w_scale, y_scale, y_zero, grid.lo, grid.hi, alpha)

    parameters = (product.w_scale, product.bias, grid.scale, grid.zero)
    return staircase(state, wish, Pending((as_codes(value),), VARIABLE), levels, parameters)


def averaged(state: Import, wish: str, value: Quantized, mean: Mean, grid: Codes, least: int) -> Quantized:
    """The codes that a fused pool makes of the sum of its window's codes; `least` is the integer of the lowest code.

    onnxruntime adds the window's reals one after the other in float32, and its ties can depend on that order: here the
    exact sum is rounded once.
    """
    zero = grid.one_zero

    def levels(total: Anything, elements: Anything, count: Anything) -> ir.Array:
        if mean.whole:
            found = fused.q_global_average_pool(
                total, int(elements.flat[0]), mean.x_scale, mean.x_zero, grid.scale, zero, grid.lo, grid.hi
            )
        else:
            inside = np.ones((*np.shape(total), 1), bool)
            sums = total - mean.x_zero * elements
            found = fused.q_average_pool(
                sums[..., np.newaxis], inside, np.asarray(count), mean.x_scale, 0, grid.scale, zero, grid.lo, grid.hi
            )
        return np.asarray(found - grid.lo + least)

    return staircase(
        state, wish, Pending((as_codes(value),), VARIABLE), levels, (np.asarray(mean.elements), np.asarray(mean.count))
    )


@dataclass(frozen=True, eq=False)
class Operand:
    """One of two operands: the source with that index, whose codes are the node's integers plus `shift`."""

    index: int
    grid: Codes
    shift: int = 0


def joined(
    state: Import, wish: str, value: Pending, kind: str, operands: tuple[Operand, Operand], target: Codes, least: int
) -> Quantized:
    """QLinearAdd or QLinearMul; `value` is their sum or product in reals, `least` the integer of the lowest code."""
    operation = fused.q_add if kind == "Add" else fused.q_mul
    (left, a), (right, b) = ((operand, operand.grid) for operand in operands)

    def rule(*integers_: ir.Array) -> ir.Array:
        x, y = ((integers_[operand.index] + operand.shift).reshape(-1) for operand in (left, right))
        found = operation(
            x, a.scale, a.one_zero, y, b.scale, b.one_zero, target.scale, target.one_zero, target.lo, target.hi
        )
        return np.asarray(found - target.lo + least).reshape(integers_[0].shape)

    if len(value.sources) == 1:
        return staircase_of(state, wish, value, rule, (), False)
    return joint_staircase_of(state, wish, value, rule, ())


def looked_up(state: Import, wish: str, value: Quantized, kind: str, alpha: float, x: Codes, grid: Codes) -> Quantized:
    """QLinearSigmoid or QLinearLeakyRelu: a table of all codes."""

    def function(real: Anything) -> Anything:
        return fused.sigmoid(real) if kind == "Sigmoid" else fused.leaky_relu(real, alpha)

    def rule(q: ir.Array) -> ir.Array:
        return fused.q_unary(q, function, x.scale, x.one_zero, grid.scale, grid.one_zero, grid.lo, grid.hi)

    return staircase_of(state, wish, Pending((as_codes(value),), VARIABLE), rule, (), False)


def _fused(state: Import, node: onnx.NodeProto, x: Quantized | Pending, grid: Codes) -> Quantized | None:
    """The group that this quantizer closes as one integer operator; None if it runs in float32."""
    if not grid.plain:
        return None
    value = _without_clips(pending(x), grid)
    top = value.expression
    if isinstance(top, Variable):
        source = value.source
        if source.product is not None:
            return requantized(state, node.name, source, source.product, grid)
        if source.mean is None:
            return None
        return averaged(state, node.name, source, source.mean, _unsigned(grid), grid.lo)  # as in `_pair`
    kind, operands = top.operator.op_type, top.arguments
    plain = [item for item in operands if isinstance(item, Variable)]
    if kind == "Add" and len(plain) == 1 and len(operands) == 2 and len(value.sources) == 1:
        return _with_added_bias(state, node, value, grid)
    if any(
        source.codes not in EIGHT_BITS or source.scale.size > 1 or source.offset.size > 1 for source in value.sources
    ):
        return None
    if kind in ("Add", "Mul") and len(plain) == len(operands) == 2:
        return _pair(state, node, value, top, grid)
    if kind in ("Sigmoid", "LeakyRelu") and len(plain) == 1:
        alpha, source = attribute(top.operator, "alpha", 0.01), value.source
        return looked_up(state, node.name, source, kind, alpha, codes_of(source), grid)
    return None


def _pair(state: Import, node: onnx.NodeProto, value: Pending, top: Apply, grid: Codes) -> Quantized:
    """onnxruntime turns int8 groups into uint8 ones first, which moves the codes by 128 and can move their ties."""
    kind = top.operator.op_type
    left, right = (
        Operand(item.index, _unsigned(codes_of(source)), 128 if source.codes == np.int8 else 0)
        for item in top.arguments
        if isinstance(item, Variable)
        for source in [value.sources[item.index]]
    )
    shapes = [state.shape_of(name) for name in top.operator.input]
    if kind == "Add" and fused.add_swaps(*shapes):
        left, right = right, left
    return joined(state, node.name, value, kind, (left, right), _unsigned(grid), grid.lo)


def _with_added_bias(state: Import, node: onnx.NodeProto, value: Pending, grid: Codes) -> Quantized | None:
    """MatMul and Add of a constant row become one Gemm where the activations are a matrix."""
    source, top = value.source, value.expression
    assert isinstance(top, Apply)
    (added,) = (item for item in top.arguments if not isinstance(item, Variable))
    row = isinstance(added, np.ndarray) and added.ndim > 0 and added.size == source.shape[-1] == added.shape[-1]
    if source.product is None or not row or len(source.shape) != 2 or not isinstance(source.node, Dense):
        return None
    constants = [state.values[name] for name in top.operator.input]
    (bias,) = (item for item in constants if isinstance(item, Constant))
    product = with_bias(source.product, bias)
    assert product is not None
    return requantized(state, node.name, source, product, grid)


def _with_rounded_bias(state: Import, value: Pending) -> Pending:
    """A float bias is rounded to the grid of the sums, as executors do it, if nothing but Relu and Clip is between."""
    inner: object = value.expression
    while isinstance(inner, Apply) and inner.operator.op_type in ("Relu", "Clip"):
        inner = inner.arguments[0]
    if not isinstance(inner, Variable) or len(value.sources) > 1:
        return value
    given, rounded = state.rounded.get(value.source.node.name, (None, None))
    if given is not value.source.offset or rounded is None:
        return value
    return Pending((replace(value.source, offset=rounded),), value.expression)


def _without_clips(value: Pending, grid: Codes) -> Pending:
    """Without a Relu or Clip that the quantizer's own range makes superfluous: executors drop it, and fuse then."""
    top = value.expression
    if not isinstance(top, Apply) or not isinstance(top.arguments[0], (Variable, Apply)):
        return value
    kind, (inner, *bounds) = top.operator.op_type, top.arguments
    low, high = ((end - grid.one_zero) * float(grid.scale) for end in (grid.lo, grid.hi))
    if kind == "Relu":
        least, most = 0.0, np.inf
    elif kind == "Clip":
        ends = [attribute(top.operator, "min", -np.inf), attribute(top.operator, "max", np.inf)]
        for index, item in enumerate(bounds):
            if isinstance(item, (Variable, Apply)):
                return value
            ends[index] = ends[index] if item is None else float(item.flat[0])
        least, most = ends
    else:
        return value
    if least > low or most < high:
        return value
    assert isinstance(inner, (Variable, Apply))
    return Pending(value.sources, inner)


def codes_of(source: Quantized) -> Codes:
    """The grid of a tensor of codes."""
    assert source.codes is not None
    scale = source.scale.astype(np.float32).reshape(())
    zero = np.asarray(np.round(-source.offset / source.scale)).astype(np.int64).reshape(())
    return Codes(scale, zero, source.codes, *code_range(source.codes))


def _unsigned(grid: Codes) -> Codes:
    """The same reals as uint8 codes."""
    if grid.dtype != np.int8:
        return grid
    return Codes(grid.scale, grid.zero + 128, np.dtype(np.uint8), 0, 255)


def _emit(writer: Writer, x: str, dtype: np.dtype[Any], grid: Codes) -> str:
    """QuantizeLinear in operators that every opset has: float32 quotient, rounded to even, shifted and clamped."""
    scale = writer.constant(grid.scale.astype(np.float32))
    y = writer.op("Div", x if dtype == np.float32 else writer.cast(x, np.dtype(np.float32)), scale)
    low, high = ((end - grid.zero).astype(np.float32) for end in (grid.lo, grid.hi))
    y = writer.op("Max", writer.op("Min", y, writer.constant(high)), writer.constant(low))
    y, magic = writer.cast(y, np.dtype(np.float64)), writer.constant(np.array(ROUND_EVEN))
    y = writer.op("Sub", writer.op("Add", y, magic), magic)
    return writer.op("Add", writer.cast(y, np.dtype(np.int64)), writer.constant(grid.zero))
