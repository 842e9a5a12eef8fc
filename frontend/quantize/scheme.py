"""Quantization parameters: how reals become integers and back, and how scales are chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Anything = NDArray[Any]

SHRINKS = np.linspace(0.2, 1.0, 81)  # shares of the whole range that a search for the least squared error tries
LARGEST_BIAS = 2**22  # a bias in steps of its scale: float32 holds it with room for the rounding of the scale
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Scheme:
    """q = clip(round_half_even(x / scale) + zero_point, lo, hi), real = (q - zero_point) * scale, in float32.

    `scale` is a scalar, or has one value for each index of axis `axis`.
    """

    scale: Float
    zero_point: int
    lo: int
    hi: int
    bits: int
    axis: int | None = None

    @property
    def signed(self) -> bool:
        return self.lo < 0

    @property
    def narrow(self) -> bool:
        return self.lo == -self.hi

    def levels(self, x: Anything) -> NDArray[np.int64]:
        """The integers of the reals x."""
        q = np.rint(np.asarray(x, np.float32) / self.spread(np.ndim(x))) + np.float32(self.zero_point)
        return np.asarray(np.clip(q, self.lo, self.hi)).astype(np.int64)

    def real(self, q: Anything) -> Float:
        """The reals of the integers q."""
        return np.asarray((q - self.zero_point).astype(np.float32) * self.spread(q.ndim), np.float32)

    def spread(self, rank: int) -> Float:
        """The scale in a shape that broadcasts to a tensor of that rank."""
        if self.axis is None:
            return self.scale
        return self.scale.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])


def weight_scheme(weight: Anything, bits: int, axis: int | None, power_of_two: bool, search: bool) -> Scheme:
    """Symmetric and signed, without the most negative integer; one scale for each index of `axis`, or one for all.

    The largest weight is representable, or with `search` the squared error least.
    """
    hi = 2 ** (bits - 1) - 1
    rows = weight.reshape(1, -1) if axis is None else np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    rows = rows.astype(np.float64)
    limits = np.abs(rows).max(axis=1)
    if not limits.any():
        limits = np.full_like(limits, hi)
    limits = np.where(limits == 0, limits.max(), limits)
    best = _rounded(limits / hi, power_of_two)
    if search:
        least = np.full(len(rows), np.inf)
        for shrink in SHRINKS[::-1]:
            scales = _rounded(limits * shrink / hi, power_of_two)
            q = np.clip(np.rint(rows / scales[:, np.newaxis]), -hi, hi)
            error = ((q * scales[:, np.newaxis] - rows) ** 2).sum(axis=1)
            best, least = np.where(error < least, scales, best), np.minimum(error, least)
    scale = np.asarray(best if axis is not None else best[0], np.float32)
    return Scheme(scale, 0, -hi, hi, bits, axis)


def with_room_for(bias: Anything, scheme: Scheme, x_scale: float, power_of_two: bool) -> Scheme:
    """The weight scheme with scales so large that the bias, in steps of x_scale * scale, stays below 2^22.

    Only channels whose weights are nothing beside their bias change.
    """
    needed = np.abs(bias).astype(np.float64) / (x_scale * LARGEST_BIAS)
    if scheme.axis is None:
        needed = np.asarray(needed.max(initial=0.0))
    else:
        needed = needed.reshape(-1, scheme.scale.size).max(axis=0)  # groups share the scales of a ConvTranspose
    scale = np.where(needed > scheme.scale, _rounded(needed, power_of_two), scheme.scale)
    return replace(scheme, scale=np.asarray(scale, np.float32))


def activation_scheme(low: float, high: float, bits: int, power_of_two: bool) -> Scheme:
    """For values in [low, high]: unsigned; with a zero point where low < 0, or signed where scales are powers of two.

    Unsigned with a zero point and signed are the same integers, shifted; onnxruntime fuses a layer only where its input
    and its output have one type.
    """
    low, high, levels = min(low, 0.0), max(high, 0.0), 2**bits - 1
    if low == high:
        return Scheme(np.asarray(1, np.float32), 0, 0, levels, bits)
    if low == 0:
        return Scheme(_single(high / levels, power_of_two), 0, 0, levels, bits)
    if power_of_two:
        lo, hi = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        return Scheme(_single(max(high / hi, low / lo), True), 0, lo, hi, bits)
    scale = _single((high - low) / levels, False)
    zero_point = int(np.clip(np.rint(-low / float(scale)), 0, levels))
    return Scheme(scale, zero_point, 0, levels, bits)


def least_error(values: Anything, counts: Anything, low: float, high: float, bits: int, pow2: bool) -> Scheme:
    """The scheme of the least squared error over a histogram, among shares of the range [low, high]."""
    best, least = activation_scheme(low, high, bits, pow2), np.inf
    for shrink in SHRINKS[::-1]:
        tried = activation_scheme(low * shrink, high * shrink, bits, pow2)
        error = float((counts * (tried.real(tried.levels(values)).astype(np.float64) - values) ** 2).sum())
        if error < least:
            best, least = tried, error
    return best


def _single(scale: float, power_of_two: bool) -> Float:
    return np.asarray(_rounded(np.asarray(scale), power_of_two), np.float32)


def _rounded(scale: Anything, power_of_two: bool) -> Anything:
    """The scale as float32 can hold it, or the power of two at or above it."""
    scale = np.maximum(scale.astype(np.float32), TINY).astype(np.float64)
    return np.exp2(np.ceil(np.log2(scale))) if power_of_two else scale
