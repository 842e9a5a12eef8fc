"""Sliding windows drawn from the grid that convolutions and pools span."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Pool
from lutwright.frontend.nodes.windows import Window

KERNELS, STRIDES, DILATIONS = (3, 5, 7, 2, 6, 4, 1), (1, 2, 3), (1, 2, 3)
PADDINGS = ("valid", "same upper", "same lower", "explicit")
ENDS = [(0, 1), (-8, 7), (0, 15), (3, 9), (-5, -2)]
MOST = 250  # beats of a frame, which bounds the cycles of a case


@dataclass(frozen=True)
class Stratum:
    """What cases must have: a kernel of `rank` axes, all of one size (`side`, 0 for any) or not (None), a padding."""

    rank: int
    side: int | None
    paddings: tuple[str, ...]


OTHERS = [
    Stratum(2, None, ("explicit",)),
    Stratum(1, 0, ("valid",)),
    Stratum(2, None, ("valid",)),
    Stratum(2, 0, ("explicit",)),
    Stratum(1, 0, ("same upper", "same lower")),
    Stratum(2, None, ("same upper", "same lower")),
    Stratum(1, 0, ("explicit",)),
]
STRATA = [
    stratum
    for side, other in zip(KERNELS, OTHERS, strict=True)
    for stratum in (Stratum(2, side, ("valid",)), Stratum(2, side, ("same upper", "same lower")), other)
]


@dataclass(frozen=True)
class WindowCase:
    """A window over x, the groups of its channels, the lanes in, and what lies outside of x."""

    x: Type
    window: Window
    groups: int
    lanes: int
    fill: int

    @property
    def held(self) -> tuple[int, int]:
        """The most places of x that lie under the window, and the least."""
        pool = Pool("y", ("x",), Type((1,), 0, 1), "sum", self.window)
        counts = pool.counts(self.x.shape[:-1])
        return int(counts.max()), int(counts.min())

    @property
    def padding(self) -> str:
        """Explicit is what gives another number of positions than SAME."""
        size, window = self.x.shape[:-1], self.window
        if not window.padded:
            return "valid"
        same = tuple(-(-length // stride) for length, stride in zip(size, window.strides, strict=True))
        return "same" if window.output(size) == same else "explicit"

    @property
    def beats(self) -> int:
        """Of a frame, in or out, where the places under the kernel come one after the other."""
        size, window = self.x.shape[:-1], self.window
        places = max(math.prod(size), math.prod(window.output(size)) * math.prod(window.kernel))
        return places * -(-self.x.channels // self.lanes)

    def __str__(self) -> str:
        w = self.window
        geometry = f"{self.x} {w.kernel} {w.strides} {w.dilations} {w.pads}"
        return f"{geometry} {self.groups} groups, {self.lanes} lanes, fill {self.fill}"


def drawn(
    seed: int, quick: int, slow: int, accepts: Callable[[WindowCase], bool] = lambda _: True, separate: bool = False
) -> list[object]:
    """Parameters of `quick` cases and of `slow` more, marked so: each STRATUM in turn, the rest by chance.

    `separate`: strides that are the kernel's size or one more, and dilations of kernels of one place only.
    """
    choose, found = random.Random(seed), list[object]()
    while len(found) < quick + slow:
        case = _case(choose, STRATA[len(found) % len(STRATA)], separate)
        if case is not None and accepts(case):
            marks = [pytest.mark.slow] if len(found) >= quick else []
            found.append(pytest.param(case, marks=marks, id=f"seed {seed}, {len(found)}: {case}"))
    return found


def _case(choose: random.Random, stratum: Stratum, separate: bool) -> WindowCase | None:
    """None where it would take too long, or is not of the stratum."""
    padding, side = choose.choice(stratum.paddings), stratum.side or choose.choice(KERNELS)
    kernel = (side, *(side if stratum.side is not None else choose.choice(KERNELS) for _ in range(stratum.rank - 1)))
    if stratum.side is None and len({*kernel}) == 1:
        return None
    axes = [_axis(choose, padding, places, separate) for places in kernel]
    size, strides, dilations, pads = (tuple(part) for part in zip(*axes, strict=True))
    window = Window(kernel, strides, dilations, pads)
    groups, (lo, hi) = choose.choice((1, 1, 2, 3)), choose.choice(ENDS)
    x = Type((*size, groups * choose.randint(1, 5 // groups)), lo, hi)
    case = WindowCase(x, window, groups, choose.randint(1, x.channels), choose.choice((0, lo, hi + 1)))
    as_named = padding.startswith(case.padding) or stratum.side == 1  # one place needs no padding
    return case if as_named and case.beats <= MOST else None


def _axis(choose: random.Random, padding: str, kernel: int, separate: bool) -> tuple[int, int, int, tuple[int, int]]:
    """Size, stride, dilation and pads, for a few positions of the kernel."""
    stride = kernel + choose.choice((0, 0, 1)) if separate else choose.choice(STRIDES)
    dilation = 1 if separate and kernel > 1 else choose.choice(DILATIONS)
    reach, count = (kernel - 1) * dilation, choose.randint(1, 5)
    if padding.startswith("same"):
        size = max(1, count * stride - choose.randrange(stride))
        total = max(0, (count - 1) * stride + reach + 1 - size)
        less, more = total // 2, total - total // 2
        return size, stride, dilation, (less, more) if padding == "same upper" else (more, less)
    most = reach if padding == "explicit" else 0
    pads = choose.randint(0, most), choose.randint(0, most)
    size = max(1, reach + 1 + (count - 1) * stride + choose.randrange(stride) - sum(pads))
    return size, stride, dilation, pads
