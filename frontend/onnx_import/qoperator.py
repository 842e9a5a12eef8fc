"""Operators on codes: QLinearConv and kin, MatMulInteger, ConvInteger, and com.microsoft's QLinear* family.

Each is what it stands for: DequantizeLinear, the float operator, QuantizeLinear, as executors fuse them (`qdq`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.onnx_import import convolution, fused, linear, pooling, qdq, structural
from lutwright.frontend.onnx_import.qdq import Codes, Operand
from lutwright.frontend.onnx_import.quantize import quantize
from lutwright.frontend.onnx_import.staircase import function, staircase_of
from lutwright.frontend.onnx_import.state import MICROSOFT, Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.unsupported import between_layers
from lutwright.frontend.onnx_import.values import (
    VARIABLE,
    Anything,
    Apply,
    Constant,
    Host,
    Lattice,
    Pending,
    Quantized,
    Raw,
    Real,
    Value,
    Variable,
)

Inputs = list[Value | None]
INT32 = np.dtype(np.int32)


@operator("QLinearConv", integer=True)
def q_conv(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    x, w, y = _real(state, node, inputs[:3]), inputs[3:6], inputs[6:8]
    weight = _real(state, node, w, axis=0)
    bias = _bias(inputs[8] if len(inputs) > 8 else None, x, weight)
    (result,) = convolution.conv(state, _as(node, "Conv"), [x, weight, bias])
    return [_requantized(state, node, result, y)]


@operator("QLinearMatMul", integer=True)
def q_matmul(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    left = _real(state, node, inputs[:3], axis=-2)
    right = _real(state, node, inputs[3:6], axis=-1)
    (result,) = linear.matmul(state, _as(node, "MatMul"), [left, right])
    return [_requantized(state, node, result, inputs[6:8])]


@operator("QGemm", domains=(MICROSOFT,), integer=True, arity=(6, 9))
def q_gemm(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    """Without an output scale the result is real."""
    alpha = attribute(node, "alpha", 1.0)
    left = _real(state, node, inputs[:3])
    axis = 0 if attribute(node, "transB", 0) else 1
    right = _real(state, node, inputs[3:6], axis)
    bias = _bias(inputs[6] if len(inputs) > 6 else None, left, right, axis)
    (result,) = linear.gemm(state, _as(node, "Gemm", without=("alpha",)), [left, right, bias])
    assert isinstance(result, Quantized)
    if len(inputs) > 7 and inputs[7] is not None:
        return [_requantized(state, node, result, inputs[7:9], alpha)]
    scale, offset = np.asarray(result.scale * alpha), np.asarray(result.offset * alpha)
    return [replace(result, scale=scale, offset=offset, product=None)]


@operator("MatMulInteger", "ConvInteger", integer=True)
def on_integers(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    """int32 sums of products of codes less their zero points."""
    values, zeros = inputs[:2], [*inputs[2:], None, None][:2]
    conv = node.op_type == "ConvInteger"
    one = Constant(np.ones((), np.float32))
    axes = (1, 0) if conv else (-2, -1)
    operands: Inputs = []
    for value, zero, axis in zip(values, zeros, axes, strict=True):
        many = zero is not None and not isinstance(zero, (Host, Raw)) and constant(zero, "zero point").size > 1
        scale = Constant(np.ones(constant(zero, "zero point").shape, np.float32)) if many else one
        operands.append(_real(state, node, [value, scale, zero], axis))
    kind = "Conv" if conv else "MatMul"
    (result,) = (convolution.conv if conv else linear.matmul)(state, _as(node, kind), operands)
    assert isinstance(result, Quantized)
    if result.offset.any() or (result.scale != 1).any():
        raise Refused("its zero points differ along the axis that it sums over", "Use one zero point a tensor")
    return [replace(qdq.as_codes(result), dtype=INT32)]


@operator("MatMulIntegerToFloat", domains=(MICROSOFT,), integer=True, arity=(4, 7))
def matmul_to_float(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = [*inputs, None, None, None][:7]
    left = _real(state, node, [a, a_scale, a_zero], axis=-2)
    right = _real(state, node, [b, b_scale, b_zero], axis=-1)
    (result,) = linear.matmul(state, _as(node, "MatMul"), [left, right])
    assert isinstance(result, Quantized)
    return [linear.biased(result, bias) if bias is not None else replace(result, product=None)]


@operator("QLinearAdd", "QLinearMul", domains=(MICROSOFT,), integer=True, arity=(7, 8))
def q_pair(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    kind = node.op_type.removeprefix("QLinear")
    shapes = [_shape(value) for value in (inputs[0], inputs[3])]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise Refused(
            f"its inputs of shapes {shapes} do not fit each other",
            "Compare it with the shapes that `lutwright inspect` shows before it, and export the model again",
        ) from None
    target = qdq.codes(*_pair_of(inputs[6:8]))
    _check_plain(target)
    grids = [qdq.codes(*_pair_of(inputs[start + 1 : start + 3])) for start in (0, 3)]
    for grid in grids:
        _check_plain(grid)
    swapped = kind == "Add" and fused.add_swaps(*shapes)
    if isinstance(inputs[0], Constant) or isinstance(inputs[3], Constant):
        return [_with_constant(state, node, kind, inputs, grids, target, swapped)]
    sources = [state.broadcast(_codes(value), shape, f"{node.name}_broadcast") for value in (inputs[0], inputs[3])]
    operands = [Operand(index, grid) for index, grid in enumerate(grids)]
    if sources[0].node is sources[1].node:
        sources, operands = sources[:1], [replace(operand, index=0) for operand in operands]
    real = tuple(
        replace(source, scale=grid.scale.astype(np.float64), offset=np.asarray(-grid.one_zero * float(grid.scale)))
        for source, grid in zip(sources, grids, strict=False)
    )
    top = Apply(onnx.helper.make_node(kind, ["a", "b"], ["y"]), (Variable(0), Variable(len(sources) - 1)))
    first, second = reversed(operands) if swapped else operands
    result = qdq.joined(state, node.name, Pending(real, top), kind, (first, second), target, target.lo)
    return [qdq.of_codes(result, target)]


def _with_constant(
    state: Import, node: onnx.NodeProto, kind: str, inputs: Inputs, grids: list[Codes], target: Codes, swapped: bool
) -> Quantized:
    """One operand is a constant tensor of codes."""
    place = 0 if isinstance(inputs[0], Constant) else 1
    known, value = inputs[3 * place], inputs[3 - 3 * place]
    assert isinstance(known, Constant)
    source = _codes(value)
    shape = np.broadcast_shapes(known.shape, source.shape)
    source = state.broadcast(source, shape, f"{node.name}_broadcast")
    operation = fused.q_add if kind == "Add" else fused.q_mul

    def levels(real: Anything, others: Anything) -> ir.Array:
        q = np.asarray(real).astype(np.int64)
        flat = [part.reshape(-1) for part in np.broadcast_arrays(q, others)]
        pairs = [(flat[int(place == index)], grids[index]) for index in (0, 1)]
        (a, left), (b, right) = reversed(pairs) if swapped else pairs
        found = operation(
            a, left.scale, left.one_zero, b, right.scale, right.one_zero,
            target.scale, target.one_zero, target.lo, target.hi,
        )  # fmt: skip
        return np.asarray(found).reshape(q.shape)

    parameters = (known.array.astype(np.int64),)
    pending = Pending((qdq.as_codes(source),), VARIABLE)
    rule = function(state, pending, levels, parameters)
    return qdq.of_codes(staircase_of(state, node.name, pending, rule, parameters, False), target)


@operator("QLinearSigmoid", "QLinearLeakyRelu", domains=(MICROSOFT,), integer=True, arity=(4, 5))
def q_unary(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    source, x = _codes(inputs[0]), qdq.codes(*_pair_of(inputs[1:3]))
    target = qdq.codes(*_pair_of([*inputs[3:], None][:2]))
    for grid in (x, target):
        _check_plain(grid)
    kind = node.op_type.removeprefix("QLinear")
    alpha = attribute(node, "alpha", 0.01)
    return [qdq.of_codes(qdq.looked_up(state, node.name, source, kind, alpha, x, target), target)]


@operator("QLinearConcat", domains=(MICROSOFT,), integer=True, arity=(5, 2**16))
def q_concat(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    parts: Inputs = [_real(state, node, inputs[start : start + 3]) for start in range(2, len(inputs), 3)]
    joined = structural.concat(state, _as(node, "Concat"), parts)[0]
    grid = qdq.codes(*_pair_of(inputs[:2]))
    return [quantize(state, node, joined, qdq.quantizer_of(grid))]


@operator("QLinearAveragePool", "QLinearGlobalAveragePool", domains=(MICROSOFT,), integer=True, arity=(4, 5))
def q_average_pool(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    x = _real(state, node, inputs[:3])
    assert isinstance(x, Quantized)
    rank, last = len(x.shape), bool(attribute(node, "channels_last", 0))
    if last:
        x = state.transpose(x, [0, rank - 1, *range(1, rank - 1)], f"{node.name}_channels_first")
    (mean,) = pooling.average_pool(state, _as(node, node.op_type.removeprefix("QLinear")), [x])
    assert isinstance(mean, Quantized)
    grid = qdq.codes(*_pair_of([*inputs[3:], None][:2]))
    result = qdq.requantized_mean(state, node, mean, grid)
    if last:
        result = state.transpose(result, [0, *range(2, rank), 1], f"{node.name}_channels_last")
    return [result]


@operator("QLinearSoftmax", "QLinearWhere", domains=(MICROSOFT,), arity=(4, 9))
def on_host(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    return [Host(between_layers(node))]


@operator("QLinearReduceMean", domains=(MICROSOFT,), arity=(4, 5))
def q_reduce_mean(state: Import, node: onnx.NodeProto, inputs: Inputs) -> Sequence[Value]:
    raise Refused(
        "onnxruntime declares it and has no kernel for it, so nothing says how its codes are rounded",
        "Write it as DequantizeLinear, ReduceMean and QuantizeLinear",
    )


def _real(state: Import, node: onnx.NodeProto, triple: Sequence[Value | None], axis: int = 1) -> Value:
    """What the codes stand for: of a tensor, its scale and its zero point, which may be left out."""
    value, scale, zero = [*triple, None][:3]
    if isinstance(value, Constant):
        return _dequantized(value, scale, zero, axis)
    dequantize = onnx.helper.make_node("DequantizeLinear", ["x"], ["y"], name=node.name, axis=axis)
    return qdq.dequantize_linear(state, dequantize, [value, scale, zero])[0]


def _dequantized(value: Constant, scale: Value | None, zero: Value | None, axis: int) -> Constant:
    zero = zero if zero is not None else Constant(np.zeros((), value.array.dtype))
    grid = qdq.codes(scale, zero, value.shape, axis)
    q = value.array.astype(np.int64) - grid.zero
    real = np.broadcast_to(grid.scale.astype(np.float64), q.shape)
    return _constant(q, real, value.array.dtype)


def _bias(value: Value | None, x: Value, weight: Value, axis: int = 0) -> Constant | None:
    """int32 on the accumulator's own grid; the weight's output channels lie on that axis."""
    if value is None:
        return None
    bias = constant(value, "bias")
    if bias.dtype.kind not in "iu":
        raise Refused(f"its bias must be of type int32, not {bias.dtype}", "Export the model again")
    q = bias.astype(np.int64)
    assert isinstance(x, (Quantized, Constant)) and isinstance(weight, Constant) and weight.lattice is not None
    x_scale = float(np.asarray(x.scale).flat[0]) if isinstance(x, Quantized) else 1.0
    scales = np.moveaxis(weight.lattice.scale.reshape(weight.shape), axis, 0)
    if q.size != len(scales) or q.shape[-1:] != (q.size,) or q.ndim > 2:
        raise Refused(f"its bias of shape {q.shape} does not fit {len(scales)} outputs", "Export the model again")
    per_row = scales.reshape(len(scales), -1)[:, 0]
    real = np.broadcast_to(per_row * x_scale, q.shape)
    return _constant(q, real, INT32)


def _constant(q: ir.Array, scale: Real, codes: np.dtype[Any]) -> Constant:
    real = q * scale
    if np.abs(real).max(initial=0) > np.finfo(np.float32).max:
        raise Refused("its constants are beyond the range of float32", "Check the training and the export")
    return Constant(real.astype(np.float32), Lattice(q, scale, np.dtype(np.float32), codes))


def _requantized(
    state: Import, node: onnx.NodeProto, result: Value, pair: Sequence[Value | None], alpha: float = 1.0
) -> Quantized:
    grid = qdq.codes(*_pair_of(pair))
    if not isinstance(result, Quantized) or result.product is None:
        raise Refused("its operands have several scales or zero points along the axis that it sums over", "Use one")
    return qdq.of_codes(qdq.requantized(state, node.name, result, result.product, grid, alpha), grid)


def _codes(value: Value | None) -> Quantized:
    if isinstance(value, Quantized) and value.scale.size == 1 and value.scale.flat[0] == 1 and not value.offset.any():
        return value
    raise Refused("its input holds no codes", "Put a QuantizeLinear before it")


def _check_plain(grid: Codes) -> None:
    if not grid.plain:
        raise Refused("it must have 8-bit codes with one scale and zero point", "Use com.microsoft's types")


def _pair_of(pair: Sequence[Value | None]) -> tuple[Value | None, Value | None]:
    scale, zero = [*pair, None, None][:2]
    return scale, zero


def _shape(value: Value | None) -> tuple[int, ...]:
    if isinstance(value, (Constant, Quantized, Pending)):
        return value.shape
    raise Refused("its input is no integer tensor", "Put a QuantizeLinear before it")


def _as(node: onnx.NodeProto, kind: str, without: Sequence[str] = ()) -> onnx.NodeProto:
    """The float operator with the same name and attributes."""
    made = onnx.NodeProto(op_type=kind, name=node.name, input=["x"], output=["y"])
    kept: list[Any] = [item for item in node.attribute if item.name not in (*without, "channels_last")]
    made.attribute.extend(kept)
    return made
