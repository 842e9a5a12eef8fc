"""The QONNX dialect: Quant (= IntQuant), BipolarQuant and MultiThreshold, in the precision of their NumPy reference.

Where a zero point is int64 the reference computes in float64 from there on; NumPy's type promotion does so here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.quantize import quantize
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.state import (
    QONNX_DOMAINS,
    Import,
    Refused,
    attribute,
    constant,
    operator,
    zeros_like,
)
from lutwright.frontend.onnx_import.values import Anything, Value
from lutwright.frontend.onnx_import.writer import Writer

ROUND_EVEN = 1.5 * 2**52  # added and subtracted in float64, rounds to nearest even; Round exists only since opset 11
Rounding = Callable[[Anything], Anything]
ROUNDINGS: dict[str, Rounding] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda y: np.sign(y) * np.ceil(np.abs(y)),
    "DOWN": np.trunc,
    "HALF_UP": lambda y: np.sign(y) * np.floor(np.abs(y) + y.dtype.type(0.5)),
    "HALF_DOWN": lambda y: np.sign(y) * np.ceil(np.abs(y) - y.dtype.type(0.5)),
}


def bounds(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and the greatest integer of Quant."""
    if signed:
        return -(2 ** (bits - 1)) + int(narrow), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - int(narrow)


@operator("Quant", "IntQuant", domains=QONNX_DOMAINS, integer=True, arity=4, hosted=True)
def quant(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, scale, zero, bitwidth = inputs
    s, z, bits = finite_scale(scale), finite_zero(zero), int(one_width(bitwidth))
    if z.size > 1 and s.size > 1 and z.shape != s.shape:
        raise Refused(f"its zero point of shape {z.shape} and scale of shape {s.shape} differ", "Give both one shape")
    signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 1))
    mode = rounding_mode(node, "ROUND")
    scale64, zero64 = s.astype(np.float64), z.astype(np.float64)
    if bits == 1 and signed:
        quantizer = Quantizer(
            0,
            1,
            (s, z),
            lambda v, s, z: np.asarray(v / s + z >= 0).astype(np.int64),
            2 * scale64,
            np.asarray((-1 - zero64) * scale64),
            lambda writer, v, dtype: _emit_sign(writer, *emit_scaled(writer, v, dtype, s, z)),
        )
    else:
        lo, hi = bounds(bits, signed, narrow)
        quantizer = Quantizer(
            lo,
            int(np.float32(hi)),  # where the reference's float32 clamps beyond 24 bits
            (s, z),
            lambda v, s, z: ROUNDINGS[mode](np.clip(np.asarray(v / s + z), lo, hi)).astype(np.int64),
            scale64,
            np.asarray(-zero64 * scale64),
            lambda writer, v, dtype: _emit_quant(writer, v, dtype, s, z, lo, hi, mode),
        )
    return _quantized(state, node, x, quantizer)


@operator("BipolarQuant", domains=QONNX_DOMAINS, integer=True, arity=2, hosted=True)
def bipolar_quant(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, scale = inputs
    s = finite_scale(scale).astype(np.float64)
    quantizer = Quantizer(0, 1, (), lambda v: np.asarray(v >= 0).astype(np.int64), 2 * s, -s, _emit_sign)
    return _quantized(state, node, x, quantizer)


@operator("MultiThreshold", domains=QONNX_DOMAINS, integer=True, arity=2, hosted=True)
def multi_threshold(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, thresholds = inputs
    t = constant(thresholds, "thresholds")
    known = zeros_like(state, x)
    if known is None:
        raise Refused("the shape of its input is not known at import", "Put it before the operators of the host")
    rank, factor, bias = known.ndim, attribute(node, "out_scale", 1.0), attribute(node, "out_bias", 0.0)
    layout = attribute(node, "data_layout", "") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    axis = layout.index("C") if "C" in layout else 1
    if t.ndim != 2 or t.size == 0 or not (t.shape[0] == 1 or (axis < rank and known.shape[axis] == t.shape[0])):
        raise Refused(
            f"its thresholds of shape {t.shape} do not fit axis {axis} of its input of shape {known.shape}",
            "Give one row of thresholds a channel, or one for all, and the right data_layout",
        )
    if factor == 0:
        raise Refused("its out_scale is 0", "Use an out_scale other than 0")
    column = (t.shape[0], *(1,) * (rank - 1 - axis)) if t.shape[0] > 1 else ()
    levels = tuple(np.ascontiguousarray(t[:, index]).reshape(column) for index in range(t.shape[1]))

    def count(v: Anything, *levels: Anything) -> ir.Array:
        total = np.zeros(v.shape, np.int64)
        for level in levels:
            total = total + (v >= level)
        return total

    def emit(writer: Writer, v: str, dtype: np.dtype[Any]) -> str:
        wider = np.result_type(dtype, t.dtype)
        v = writer.cast(v, wider)
        total, *ones = (_emit_not_less(writer, v, writer.constant(level.astype(wider))) for level in levels)
        for one in ones:
            total = writer.op("Add", total, one)
        return total

    quantizer = Quantizer(0, len(levels), levels, count, np.asarray(float(factor)), np.asarray(float(bias)), emit)
    return _quantized(state, node, x, quantizer)


def _quantized(state: Import, node: onnx.NodeProto, x: Value | None, quantizer: Quantizer) -> list[Value]:
    assert x is not None
    return [quantize(state, node, x, quantizer)]


def finite_scale(value: Value | None) -> Anything:
    """The scale."""
    scale = constant(value, "scale")
    if not (scale.size and np.isfinite(scale).all()) or (scale == 0).any():
        raise Refused(
            "its scale must be finite and not 0",
            "Look for NaN, infinity or 0 in the trained parameters, and export the model again",
        )
    return scale


def finite_zero(value: Value | None) -> Anything:
    """The zero point."""
    zero = constant(value, "zero point")
    if not (zero.size and np.isfinite(zero).all()):
        raise Refused(
            "its zero point is not finite",
            "Look for NaN, infinity or 0 in the trained parameters, and export the model again",
        )
    return zero


def one_width(value: Value | None) -> Anything:
    """The bit width, as it is in the model, but with no axes."""
    bits = constant(value, "bit width")
    if bits.size != 1 or not 1 <= bits.flat[0] <= 32 or int(bits.flat[0]) != bits.flat[0]:
        raise Refused(f"its bit width must be one integer from 1 to 32, not {bits}", "Export it with such a bit width")
    return bits.reshape(())


def rounding_mode(node: onnx.NodeProto, default: str) -> str:
    """A name in ROUNDINGS."""
    mode = str(attribute(node, "rounding_mode", default)).upper()
    if mode not in ROUNDINGS:
        raise Refused(f"its rounding mode '{mode}' is unknown", f"Use one of {', '.join(ROUNDINGS)}")
    return mode


def emit_scaled(
    writer: Writer, x: str, dtype: np.dtype[Any], scale: Anything, zero: Anything
) -> tuple[str, np.dtype[Any]]:
    """x / scale + zero, each step in the type that NumPy gives it."""
    y = x
    for kind, operand in (("Div", scale), ("Add", zero)):
        wider = np.result_type(dtype, operand.dtype)
        if wider != dtype:
            y, dtype = writer.cast(y, wider), wider
        y = writer.op(kind, y, writer.constant(operand.astype(wider)))
    return y, dtype


def _emit_quant(
    writer: Writer,
    x: str,
    dtype: np.dtype[Any],
    scale: Anything,
    zero: Anything,
    lo: int,
    hi: int,
    mode: str,
) -> str:
    y, dtype = emit_scaled(writer, x, dtype, scale, zero)
    y = writer.op(
        "Max", writer.op("Min", y, writer.constant(np.array(hi, dtype))), writer.constant(np.array(lo, dtype))
    )
    return emit_rounded(writer, y, dtype, mode)


def emit_rounded(writer: Writer, y: str, dtype: np.dtype[Any], mode: str) -> str:
    """The tensor rounded to int64."""
    if mode in ("ROUND", "HALF_EVEN"):
        y, magic = writer.cast(y, np.dtype(np.float64)), writer.constant(np.array(ROUND_EVEN))
        y = writer.op("Sub", writer.op("Add", y, magic), magic)
    elif mode in ("CEIL", "FLOOR"):
        y = writer.op(mode.capitalize(), y)
    else:
        half = writer.constant(np.array(0.5, dtype))
        size = writer.op("Abs", y)
        if mode.startswith("HALF"):
            size = writer.op("Add" if mode == "HALF_UP" else "Sub", size, half)
        size = writer.op("Floor" if mode in ("DOWN", "HALF_UP") else "Ceil", size)
        negative = writer.cast(writer.op("Less", y, writer.constant(np.array(0, dtype))), dtype)
        sign = writer.op("Sub", writer.constant(np.array(1, dtype)), writer.op("Add", negative, negative))
        y = writer.op("Mul", size, sign)
    return writer.cast(y, np.dtype(np.int64))


def _emit_not_less(writer: Writer, x: str, level: str) -> str:
    return writer.cast(writer.op("Not", writer.op("Less", x, level)), np.dtype(np.int64))


def _emit_sign(writer: Writer, x: str, dtype: np.dtype[Any]) -> str:
    """1 where x >= 0, else 0."""
    return _emit_not_less(writer, x, writer.constant(np.array(0, dtype)))
