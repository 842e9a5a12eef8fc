"""Sliding windows drawn from the grid that convolutions and pools span."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Pool
from lutwright.frontend.nodes.windows import Window

KERNELS, STRIDES, DILATIONS = range(1, 8), range(1, 4), range(1, 4)
PADDINGS = ("valid", "same upper", "same lower", "explicit")
ENDS = [(0, 1), (-8, 7), (0, 15), (3, 9), (-5, -2)]
MOST = 300  # places of the input times those of the kernel, which bounds the cycles of a case


@dataclass(frozen=True)
class WindowCase:
    """A window over x, the lanes in, and what lies outside of x."""

    x: Type
    window: Window
    lanes: int
    fill: int

    @property
    def held(self) -> tuple[int, int]:
        """The most places of x that lie under the window, and the least."""
        pool = Pool("y", ("x",), Type((1,), 0, 1), "sum", self.window)
        counts = pool.counts(self.x.shape[:-1])
        return int(counts.max()), int(counts.min())

    def __str__(self) -> str:
        w = self.window
        return f"{self.x} {w.kernel} {w.strides} {w.dilations} {w.pads} {self.lanes} lanes, fill {self.fill}"


def drawn(
    seed: int, quick: int, slow: int, accepts: Callable[[WindowCase], bool] = lambda _: True, separate: bool = False
) -> list[object]:
    """Parameters of `quick` cases and of `slow` more, marked so: one axis or two, each of which has its own geometry.

    `separate`: strides that are the kernel's size or one more, and no dilations.
    """
    choose, found = random.Random(seed), list[object]()
    while len(found) < quick + slow:
        case = _case(choose, separate)
        if case is not None and accepts(case):
            marks = [pytest.mark.slow] if len(found) >= quick else []
            found.append(pytest.param(case, marks=marks, id=f"seed {seed}, {len(found)}: {case}"))
    return found


def _case(choose: random.Random, separate: bool) -> WindowCase | None:
    rank = choose.choice((1, 2, 2))
    padding, axes = choose.choice(PADDINGS), [_axis(choose, rank, separate) for _ in range(rank)]
    size, kernel, strides, dilations = (tuple(part) for part in zip(*axes, strict=True))
    pads = tuple(_pads(choose, padding, *axis) for axis in axes)
    window = Window(kernel, strides, dilations, pads)
    if min(window.output(size)) < 1 or np.prod(size) * np.prod(kernel) > MOST:
        return None
    channels, (lo, hi) = choose.randint(1, 5), choose.choice(ENDS)
    x = Type((*size, channels), lo, hi)
    return WindowCase(x, window, choose.randint(1, channels), choose.choice((0, lo, hi + 1)))


def _axis(choose: random.Random, rank: int, separate: bool) -> tuple[int, int, int, int]:
    """Size, kernel, stride and dilation."""
    size, kernel = choose.randint(1, 9 if rank == 2 else 24), choose.choice(KERNELS)
    if separate:
        return size, kernel, kernel + choose.choice((0, 0, 1)), 1
    return size, kernel, choose.choice(STRIDES), choose.choice(DILATIONS)


def _pads(choose: random.Random, padding: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = (kernel - 1) * dilation
    if padding == "explicit":
        return choose.randint(0, reach), choose.randint(0, reach)
    if padding == "valid":
        return 0, 0
    total = max(0, (-(-size // stride) - 1) * stride + reach + 1 - size)
    less, more = total // 2, total - total // 2
    return (less, more) if padding == "same upper" else (more, less)
