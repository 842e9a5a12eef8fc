"""The sliding window gives what lies under the kernel, in the cycles of its twin."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.timing import measure, simulate
from lutwright.hdl.window import SlidingWindow, plane

from .checks import check
from .harness import run

CASES = [
    # shape, lo, hi, kernel, strides, dilations, pads, lanes, fill
    ((5, 6, 3), -4, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 1, 0),
    ((5, 6, 3), -4, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 2, -2),
    ((5, 6, 4), 0, 15, (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)), 4, 0),
    ((7, 5, 2), 0, 1, (2, 3), (2, 2), (1, 1), ((0, 1), (1, 0)), 2, 1),
    ((6, 7, 1), -8, 7, (3, 2), (3, 1), (1, 2), ((2, 2), (0, 1)), 1, 5),
    ((4, 4, 5), 0, 3, (4, 4), (1, 1), (1, 1), ((0, 0), (0, 0)), 3, 0),
    ((9, 4, 2), 0, 3, (5, 1), (1, 2), (2, 1), ((4, 4), (0, 0)), 1, 2),
    ((3, 3, 2), 0, 3, (1, 1), (2, 2), (1, 1), ((0, 0), (0, 0)), 2, 0),
    ((8, 3), -2, 1, (3,), (2,), (1,), ((1, 1),), 3, 0),
    ((11, 4), 0, 7, (4,), (1,), (2,), ((3, 3),), 2, 7),
    ((12, 12, 3), 0, 255, (7, 7), (2, 2), (1, 1), ((3, 3), (3, 3)), 3, 128),
    ((1, 1, 4), 0, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 4, 0),
]


def unit(case: tuple) -> SlidingWindow:
    shape, lo, hi, kernel, strides, dilations, pads, lanes, fill = case
    return SlidingWindow(Type(shape, lo, hi), Window(kernel, strides, dilations, pads), lanes, fill)


def under(dut: SlidingWindow, samples: Array) -> Array:
    """What the unit must give, from the definition of Window."""
    lanes, blocks = dut.i_beats.lanes, dut.blocks
    x = samples.reshape(len(samples), dut.height, dut.width, -1)
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, blocks * lanes - x.shape[-1])))
    parts = [part for _, part in plane(dut.window).positions(x, dut.fill)]
    stacked = np.stack(parts, axis=3)  # [B, rows, columns, kernel, blocks * lanes]
    split = stacked.reshape(*stacked.shape[:-1], blocks, lanes)
    return np.moveaxis(split, -2, 3).reshape(len(samples), dut.rows, dut.columns, blocks, -1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_window(case: tuple) -> None:
    check(lambda: unit(case), lambda samples: under(unit(case), samples), seed=1, frames=3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_cycles_are_the_twins(case: tuple) -> None:
    dut = unit(case)
    x = dut.i_beats.type
    samples = np.random.default_rng(0).integers(x.lo, x.hi + 1, (3, *x.shape))
    times = simulate([unit(case).control()], dut.i_beats.per_frame, dut.o_beats.per_frame, 3)
    assert run(dut, samples).times == times


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_no_bubbles_where_the_output_binds(case: tuple) -> None:
    dut = unit(case)
    interval = measure(lambda: [dut.control()], dut.i_beats.per_frame, dut.o_beats.per_frame).interval
    assert interval <= 1.25 * max(dut.i_beats.per_frame, dut.o_beats.per_frame) + 1
