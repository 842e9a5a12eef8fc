"""The arithmetic of onnxruntime's fused integer operators, bit for bit: the float32 order of operations of each.

Arrays of codes in, int64 arrays out; scales are float32, zero points integers, lo and hi the range of the output type.
Established against onnxruntime 1.32 on x86-64 (tests/frontend/test_fused.py runs each operator over all its codes).
docs/qdq_fusion.md lists which QDQ groups become which of these operators.

The operators differ at ties. quantize_linear and requantize round half to even and then add the zero point; q_mul and
q_average_pool add the zero point in float32 and then round; q_add has the zero points inside a fixed part and two fused
multiply-adds. So these three can give neighbouring results for the same reals as int8 and as uint8 codes, and
onnxruntime turns some int8 groups into uint8 ones (docs/qdq_fusion.md, the int8 rule).

Values beyond int32 saturate here; on x86-64 onnxruntime's q_add, q_mul and q_average_pool let them wrap to the lowest
code, which needs a ratio of scales above 2^23. Vector bodies and tails agree in every operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from lutwright.frontend.onnx_import.executor import execute

Array = npt.NDArray[Any]
Scale = np.float32 | Array
F32 = np.float32


def quantize_linear(x: Array, scale: Scale, zero: int | Array, lo: int, hi: int) -> Array:
    """QuantizeLinear: round half to even of the float32 quotient, plus the zero point, saturated; NaN becomes lo."""
    with np.errstate(all="ignore"):
        return _saturate(np.asarray(x, F32) / np.asarray(scale, F32), zero, lo, hi)


def dequantize_linear(q: Array, scale: Scale, zero: int | Array) -> Array:
    """DequantizeLinear: float32((q - zero) as float32 · scale)."""
    with np.errstate(over="ignore"):
        return np.asarray(np.asarray(q, np.int64) - zero).astype(F32) * np.asarray(scale, F32)


def requantize(
    acc: Array,
    x_scale: Scale,
    w_scale: Scale,
    y_scale: Scale,
    y_zero: int | Array,
    lo: int,
    hi: int,
    alpha: float = 1.0,
) -> Array:
    """QLinearConv, QLinearMatMul, QGemm: the int32 sum (bias within it) in float32, times ((alpha·x)·w)/y, rounded."""
    with np.errstate(all="ignore"):
        ratio = _product(x_scale, w_scale, alpha) / np.asarray(y_scale, F32)
        return _saturate(np.asarray(acc).astype(F32) * ratio, y_zero, lo, hi)


def quantize_bias(bias: Array, x_scale: Scale, w_scale: Scale) -> Array:
    """A float bias as the fused Conv and Gemm add it to their sums: rint(bias / float32(x_scale·w_scale))."""
    return np.rint(np.asarray(bias, F32) / _product(x_scale, w_scale, 1.0)).astype(np.int64)


def integer_to_float(
    acc: Array, x_scale: Scale, w_scale: Scale, bias: Array | None = None, alpha: float = 1.0
) -> Array:
    """MatMulIntegerToFloat and QGemm without an output scale: float32(acc)·((alpha·x)·w), then + bias, each rounded."""
    with np.errstate(over="ignore"):
        real = np.asarray(acc).astype(F32) * _product(x_scale, w_scale, alpha)
        return np.asarray(real if bias is None else real + np.asarray(bias, F32))


def q_add(
    a: Array,
    a_scale: Scale,
    a_zero: int,
    b: Array,
    b_scale: Scale,
    b_zero: int,
    y_scale: Scale,
    y_zero: int,
    lo: int,
    hi: int,
) -> Array:
    """QLinearAdd: fused multiply-adds on the codes themselves, ratios ra = a_scale/y_scale and rb = b_scale/y_scale.

    rint(fma(a, ra, fma(b, rb, y_zero - fma(a_zero, ra, rb·b_zero)))), saturated. Not symmetric: by the shapes of a and
    b (add_swaps) onnxruntime computes b + a. Give the shapes that onnxruntime sees, batch included.
    """
    left, right = (np.asarray(a), F32(a_scale), a_zero), (np.asarray(b), F32(b_scale), b_zero)
    if add_swaps(left[0].shape, right[0].shape):
        left, right = right, left
    (a, a_scale, a_zero), (b, b_scale, b_zero) = left, right
    ra, rb = a_scale / F32(y_scale), b_scale / F32(y_scale)
    fixed = F32(y_zero) - _fma(np.asarray(a_zero), ra, rb * F32(b_zero))
    return _saturate(_fma(a, ra, _fma(b, rb, fixed)), 0, lo, hi)


def add_swaps(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether QLinearAdd of these shapes exchanges its operands: a has one element in the innermost run.

    The innermost run is the last axis of both shapes that is longer than one in either; a shape () is one element
    against the whole of the other, and shapes without a common longer axis make runs of one element.
    """
    if not a or not b:
        return math.prod(a) == 1
    for left, right in zip(reversed(a), reversed(b), strict=False):
        if left > 1 or right > 1:
            return left == 1
    return True


def q_mul(
    a: Array,
    a_scale: Scale,
    a_zero: int,
    b: Array,
    b_scale: Scale,
    b_zero: int,
    y_scale: Scale,
    y_zero: int,
    lo: int,
    hi: int,
) -> Array:
    """QLinearMul: rint(float32((a - a_zero)(b - b_zero) · (a_scale·b_scale/y_scale)) + y_zero), saturated."""
    with np.errstate(over="ignore"):
        ratio = F32(a_scale) * F32(b_scale) / F32(y_scale)
        product = (np.asarray(a, np.int64) - a_zero) * (np.asarray(b, np.int64) - b_zero)
        return _saturate(product.astype(F32) * ratio + F32(y_zero), 0, lo, hi)


def q_unary(
    q: Array,
    function: Callable[[Array], Array],
    x_scale: Scale,
    x_zero: int,
    y_scale: Scale,
    y_zero: int,
    lo: int,
    hi: int,
) -> Array:
    """A table operator: dequantize, a function on float32, quantize (QLinearSigmoid, QLinearLeakyRelu)."""
    return quantize_linear(function(dequantize_linear(q, x_scale, x_zero)), y_scale, y_zero, lo, hi)


def sigmoid(x: Array) -> Array:
    """onnxruntime's own sigmoid, which is not the correctly rounded one."""
    (y,) = execute(helper.make_node("Sigmoid", ["x"], ["y"]), [np.asarray(x, F32)], 13)
    return np.asarray(y)


def leaky_relu(x: Array, alpha: float) -> Array:
    """x where x >= 0, else float32(alpha · x)."""
    return np.where(x >= 0, x, F32(alpha) * np.asarray(x, F32))


def q_softmax(q: Array, x_scale: Scale, y_scale: Scale, y_zero: int, lo: int, hi: int) -> Array:
    """QLinearSoftmax over the last axis, n long: a float32 table of exp at the distance from the row's greatest code.

    The table is exp((distance + shift)·x_scale) in float64, shift = max(0, log(float32 max / n) - 5) / x_scale; the sum
    runs in float32 from first to last; the result is rint(e · floor(1/y_scale) / sum) + y_zero. Where n·148 is below
    1/y_scale that product overflows and onnxruntime's result is meaningless; here it saturates.
    """
    codes = np.asarray(q, np.int64)
    length = codes.shape[-1]
    shift = max(0.0, math.log(np.finfo(F32).max / F32(length)) - 5) / float(x_scale)
    with np.errstate(all="ignore"):
        table = np.exp((np.arange(lo - hi, 1.0) + shift) * float(x_scale)).astype(F32)
        terms = table[codes - codes.max(-1, keepdims=True) - 1]
        total = np.zeros(codes.shape[:-1], F32)
        for index in range(length):
            total = total + terms[..., index]
        share = terms * np.floor(F32(1) / F32(y_scale)) / total[..., None]
    return _saturate(share, y_zero, lo, hi)


def requantize_codes(q: Array, x_scale: Scale, x_zero: int, y_scale: Scale, y_zero: int, lo: int, hi: int) -> Array:
    """An input of QLinearConcat or QLinearWhere on the output's grid: a copy where the grids are equal."""
    if F32(x_scale) == F32(y_scale) and x_zero == y_zero:
        return np.asarray(q, np.int64)
    return q_unary(q, lambda x: x, x_scale, x_zero, y_scale, y_zero, lo, hi)


def q_average_pool(
    windows: Array,
    inside: Array,
    count: Array,
    x_scale: Scale,
    x_zero: int,
    y_scale: Scale,
    y_zero: int,
    lo: int,
    hi: int,
) -> Array:
    """QLinearAveragePool of windows [..., k] in raster order; inside [..., k] is false on padding.

    float32 sum of the dequantized values one after the other, divided by count (the window's size with
    count_include_pad, else the elements inside), divided by y_scale, plus the zero point, and then rounded.
    """
    real = np.where(inside, dequantize_linear(windows, x_scale, x_zero), F32(0))
    total = np.zeros(real.shape[:-1], F32)
    for index in range(real.shape[-1]):
        total = total + real[..., index]
    return _saturate(total / np.asarray(count).astype(F32) / F32(y_scale) + F32(y_zero), 0, lo, hi)


def q_global_average_pool(
    total: Array, size: int, x_scale: Scale, x_zero: int, y_scale: Scale, y_zero: int, lo: int, hi: int
) -> Array:
    """QLinearGlobalAveragePool: total is the exact sum of size codes; ratio x_scale/(y_scale·size) in float32."""
    acc = np.asarray(total, np.int64) - x_zero * size
    return _saturate(acc.astype(F32) * (F32(x_scale) / (F32(y_scale) * F32(size))), y_zero, lo, hi)


def _product(x_scale: Scale, w_scale: Scale, alpha: float) -> Array:
    return np.asarray(F32(alpha) * np.asarray(x_scale, F32) * np.asarray(w_scale, F32))


def _saturate(x: Array, zero: int | Array, lo: int, hi: int) -> Array:
    low, high = np.asarray(lo - np.asarray(zero), F32), np.asarray(hi - np.asarray(zero), F32)
    return np.asarray(np.rint(np.clip(np.where(np.isnan(x), low, x), low, high)).astype(np.int64) + zero)


def _fma(a: Array, b: np.float32, c: Array | np.float32) -> Array:
    """float32(a·b + c) rounded once: the float64 sum of an exact product, made odd where inexact, then rounded."""
    product = a.astype(np.float64) * np.float64(b)
    addend = np.asarray(c).astype(np.float64)
    total = product + addend
    high = total - product
    rest = (product - (total - high)) + (addend - high)
    even = (total.view(np.int64) & 1) == 0
    total = np.where((rest != 0) & even, np.nextafter(total, np.copysign(np.inf, rest)), total)
    return np.asarray(total.astype(F32))
