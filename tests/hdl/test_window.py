"""The sliding window gives what lies under the kernel, in the cycles of its twin."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Unfold
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.line_window import PARALLEL
from lutwright.hdl.timetable import NO_NEED, Timetable
from lutwright.hdl.timing import measure, simulate
from lutwright.hdl.tokens import Tokens, schedule
from lutwright.hdl.units import built
from lutwright.hdl.window import SlidingWindow, WindowUnit, plane

from .checks import check
from .grid import WindowCase, drawn
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
    ((5, 4, 2), 0, 3, (3, 1), (1, 1), (1, 1), ((2, 2), (1, 2)), 1, 1),  # positions that hold nothing of x
    ((3, 5, 2), 0, 3, (2, 2), (2, 1), (1, 1), ((3, 4), (4, 3)), 2, 2),
    ((2, 6), 0, 3, (1,), (1,), (1,), ((3, 2),), 3, 1),
]


ORDERS = [(case, by_block) for case in CASES for by_block in (False, True) if by_block or case[0][-1] % case[7] == 0]
parametrized = pytest.mark.parametrize(
    ("case", "by_block"),
    ORDERS,
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "by block" if value else "by place",
)


def unit(case: tuple, by_block: bool) -> SlidingWindow:
    shape, lo, hi, kernel, strides, dilations, pads, lanes, fill = case
    return SlidingWindow(Type(shape, lo, hi), Window(kernel, strides, dilations, pads), lanes, fill, by_block)


def under(dut: WindowUnit, samples: Array) -> Array:
    """What the unit must give, from the definition of Window, group by group."""
    lanes, blocks = dut.i_beats.lanes, dut.blocks
    x = samples.reshape(len(samples), dut.height, dut.width, -1)
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, blocks * lanes - x.shape[-1])))
    parts = [part for _, part in plane(dut.window).positions(x, dut.fill)]
    stacked = np.stack(parts, axis=3)  # [B, rows, columns, kernel, blocks * lanes]
    split = stacked.reshape(*stacked.shape[:-1], dut.groups, -1)
    return np.moveaxis(split, -2, 3).reshape(len(samples), *dut.o_beats.type.shape)


@parametrized
def test_window(case: tuple, by_block: bool) -> None:
    check(lambda: unit(case, by_block), lambda samples: under(unit(case, by_block), samples), seed=1, frames=3)


MATRIX = drawn(seed=11, quick=12, slow=30, accepts=lambda case: case.held[0] > 0)


@pytest.mark.parametrize("by_block", [False, True], ids=["by place", "by block"])
@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case: WindowCase, by_block: bool) -> None:
    """Those of the lanes that a window by place can have; others carry padding, which one by block has too."""
    lanes = case.lanes if by_block else math.gcd(case.lanes, case.x.channels // case.groups)
    fresh = partial(SlidingWindow, case.x, case.window, lanes, case.fill, by_block, case.groups)
    check(fresh, partial(under, fresh()), seed=3, frames=2)


GROUPED = [
    # shape, kernel, strides, dilations, pads, groups, lanes
    ((5, 6, 4), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 2, 1),
    ((5, 6, 4), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 2, 2),
    ((6, 5, 6), (2, 3), (2, 1), (1, 2), ((0, 1), (2, 2)), 3, 2),
    ((6, 5, 6), (3, 2), (1, 2), (2, 1), ((1, 0), (0, 0)), 6, 1),
    ((9, 8), (4,), (1,), (2,), ((3, 3),), 2, 2),
    ((9, 8), (3,), (2,), (1,), ((0, 1),), 2, 4),
    ((5, 4, 12), (3, 2), (1, 1), (1, 1), ((1, 1), (0, 1)), 6, 2),
]


@pytest.mark.parametrize("parallel", [None, "a group", "some groups", "all"])
@pytest.mark.parametrize("case", GROUPED, ids=lambda case: "-".join(map(str, case)))
def test_groups(case: tuple, parallel: str | None) -> None:
    """Group by group what lies under the kernel, as an Unfold has it."""
    shape, kernel, strides, dilations, pads, groups, lanes = case
    source, window = Input("x", (), Type(shape, -4, 3)), Window(kernel, strides, dilations, pads)
    node = Unfold.of("y", source, window, -5, groups)
    if parallel is not None:
        some = max((count for count in range(1, groups) if groups % count == 0), default=1)
        lanes = shape[-1] // groups * {"a group": 1, "some groups": some, "all": groups}[parallel]
    fresh = partial(built, node, (source.type,), lanes, PARALLEL if parallel else "unfold")
    check(fresh, lambda samples: node.evaluate(samples).reshape(len(samples), *fresh().o_beats.type.shape), 3, 3)
    samples = np.random.default_rng(0).integers(-4, 4, (3, *shape))
    dut = fresh()
    assert run(dut, samples).times == simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)


def explicit(dut: SlidingWindow) -> tuple[Array, Array]:
    """For each beat given in a frame, needs and lowers, each from its own place; NO_NEED where that lies outside."""
    w, (rows, columns), (ky, kx) = dut.window, (dut.rows, dut.columns), dut.window.kernel
    order = "rcbyx" if dut.by_block else "rcyxb"
    row, column, block, y, x = (
        np.expand_dims(np.arange(size), [axis for axis, other in enumerate(order) if other != letter])
        for letter, size in zip("rcbyx", (rows, columns, dut.blocks, ky, kx), strict=True)
    )
    (top, _), (left, _) = w.pads
    ys, xs = row * w.strides[0] + y * w.dilations[0] - top, column * w.strides[1] + x * w.dilations[1] - left
    needs = (ys * dut.width + xs) * dut.blocks + block + 1
    needs = np.where((ys >= 0) & (ys < dut.height) & (xs >= 0) & (xs < dut.width), needs, NO_NEED)
    origins = ((row * w.strides[0] - top) * dut.width + column * w.strides[1] - left) * dut.blocks
    origins = np.broadcast_to(origins, needs.shape).ravel()
    needs = needs.ravel()
    oldest = np.minimum.accumulate(np.where(needs > 0, needs - 1, dut.i_beats.per_frame)[::-1])[::-1]
    return needs, origins - max(0, int((origins - oldest).max()))


@pytest.mark.parametrize("by_block", [False, True], ids=["by place", "by block"])
@pytest.mark.parametrize("case", drawn(seed=17, quick=200, slow=0, accepts=lambda case: case.held[0] > 0))
def test_rows_that_are_alike_say_all(case: WindowCase, by_block: bool) -> None:
    """The timetable is that of every beat, and gives the cycles that one row of all of them gives."""
    lanes = case.lanes if by_block else math.gcd(case.lanes, case.x.channels)
    dut = SlidingWindow(case.x, case.window, lanes, case.fill, by_block)
    needs, lowers = explicit(dut)
    table = dut.table
    wanted = table.bases[:, np.newaxis] + table.needs[table.kinds]
    np.testing.assert_array_equal(np.where(table.needs[table.kinds] == NO_NEED, NO_NEED, wanted).ravel(), needs)
    np.testing.assert_array_equal((table.bases[:, np.newaxis] + table.lowers[table.kinds]).ravel(), lowers)
    per_in, per_out = dut.i_beats.per_frame, dut.o_beats.per_frame
    whole = Tokens.row(schedule(Timetable.row(needs, lowers), dut.depth, per_in))
    assert simulate(dut.tokens(), per_in, per_out, 3) == simulate(whole, per_in, per_out, 3)


def test_a_large_window_takes_little_memory() -> None:
    """Of 112 lines three kinds: 7 million beats a frame, and a number or two for each of three lines."""
    window = Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    dut = SlidingWindow(Type((112, 112, 64), 0, 15), window, 1, 0)
    assert dut.o_beats.per_frame == 7_225_344
    assert len(dut.table.words) == 2 * 112 + 3 * 2 * 112 * 64 * 9


@parametrized
def test_cycles_are_the_twins(case: tuple, by_block: bool) -> None:
    dut = unit(case, by_block)
    x = dut.i_beats.type
    samples = np.random.default_rng(0).integers(x.lo, x.hi + 1, (3, *x.shape))
    times = simulate(unit(case, by_block).tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)
    assert run(dut, samples).times == times


@parametrized
def test_no_bubbles_where_the_output_binds(case: tuple, by_block: bool) -> None:
    dut = unit(case, by_block)
    interval = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval
    assert interval <= 1.25 * max(dut.i_beats.per_frame, dut.o_beats.per_frame) + 1


def test_a_window_over_nothing_is_refused() -> None:
    """The places of this kernel lie above and below the only row."""
    with pytest.raises(PlanError, match="must hold some of its input"):
        SlidingWindow(Type((1, 3, 2), 0, 3), Window((2, 1), (1, 1), (2, 1), ((1, 1), (0, 0))), 1, 0)
