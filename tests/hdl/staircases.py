"""Threshold nodes as requantization makes them."""

from __future__ import annotations

import numpy as np

from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Threshold

EVEN = [
    # channels, x.lo, x.hi, levels, seed
    (1, -200, 199, 16, 0),
    (3, -1000, 1000, 255, 1),
    (5, -(2**15), 2**15 - 1, 255, 2),
    (4, 0, 4000, 15, 3),
    (2, -70, 90, 12, 4),
]

FLOAT32 = [
    # channels, bits of x, whether x is signed, whether y is, seed
    (1, 16, True, False, 0),
    (5, 16, False, True, 1),
    (3, 18, True, True, 2),
    (7, 19, True, False, 3),
    (4, 20, False, False, 4),
    (6, 21, True, True, 5),
    (3, 24, True, False, 6),
]


def even(channels: int, lo: int, hi: int, levels: int, seed: int, falling: bool = False) -> tuple[Threshold, Type]:
    """clip(round(x * scale + offset)), scales such that rows saturate, or do not, at either end."""
    rng = np.random.default_rng(seed)
    x = Type((3, channels), lo, hi)
    scale = rng.uniform(0.4, 1.8, channels) * levels / (hi - lo) * (-1 if falling else 1)
    start = rng.uniform(-0.2, 0.2, channels) + (1 if falling else 0)  # of the levels, at the least x
    offset = start * levels - scale * lo
    points = np.arange(lo, hi + 1)
    values = np.clip(np.round(points * scale[:, None] + offset[:, None]), 0, levels).astype(np.int64)
    return _node(x, np.tile(points, (channels, 1)), values), x


def shifted(signs: tuple[int, ...], lo: int, hi: int, shift: int) -> tuple[Threshold, Type]:
    """(sign * x) >> shift, with a sign for each channel, whose factors have one bit."""
    x, points = Type((3, len(signs)), lo, hi), np.arange(lo, hi + 1)
    return _node(x, np.tile(points, (len(signs), 1)), (np.array(signs)[:, None] * points) >> shift), x


def float32_chain(
    channels: int, bits: int, signed: bool, y_signed: bool, seed: int, falling: bool = False
) -> tuple[Threshold, Type]:
    """Round half to even of x * scale + bias in float32, clipped to 8 bits, with a scale for each channel."""
    rng = np.random.default_rng((seed, falling))
    lo = -(1 << (bits - 1)) if signed else 0
    x = Type((3, channels), lo, lo + (1 << bits) - 1)
    scale = (rng.uniform(0.3, 1.5, channels) * 255 / 2**bits * (-1 if falling else 1)).astype(np.float32)
    bottom = -128 if y_signed else 0
    middle = 0 if signed else 2 ** (bits - 1)
    bias = (rng.uniform(-40, 40, channels) + bottom + 128 - middle * scale).astype(np.float32)
    points = np.arange(x.lo, x.hi + 1)
    exact = points.astype(np.float32)
    rows, steps = list[Array](), list[Array]()
    for factor, offset in zip(scale, bias, strict=True):
        values = np.clip(np.rint(exact * factor + offset), bottom, bottom + 255).astype(np.int64)
        rises = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
        rows.append(np.concatenate([points[rises], np.full(256 - len(rises), x.hi + 1)]))
        steps.append(np.concatenate([values[rises], np.full(256 - len(rises), values[-1])]))
    return _node(x, np.array(rows), np.array(steps)), x


def _node(x: Type, points: Array, values: Array) -> Threshold:
    node = Threshold.fit("y", Input("x", (), x), points, values)
    assert node is not None
    return node
