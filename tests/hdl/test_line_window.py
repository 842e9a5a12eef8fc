"""The parallel window gives what lies under the kernel, a position a cycle, in the cycles of its twin."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.line_window import LineWindow, is_parallel
from lutwright.hdl.timing import measure, simulate

from .checks import check
from .grid import WindowCase, drawn
from .harness import run
from .test_window import under

DEVICE = device("ecp5-25k")
FIXED = [
    # shape, lo, hi, kernel, strides, dilations, pads, lanes, fill, by block
    ((5, 6, 3), -4, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 3, -2, False),
    ((5, 6, 4), 0, 15, (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)), 4, 0, False),
    ((5, 6, 4), 0, 15, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 3, 0, True),
    ((12, 12, 3), 0, 255, (7, 7), (2, 2), (1, 1), ((3, 3), (3, 3)), 3, 128, False),
    ((1, 1, 4), 0, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 4, 0, False),
    ((3, 2, 2), 0, 3, (5, 4), (1, 1), (1, 1), ((4, 4), (3, 3)), 2, 1, False),
    ((6, 1, 2), -2, 1, (3, 1), (1, 1), (1, 1), ((1, 1), (0, 0)), 2, 0, False),
    ((3, 3, 2), 0, 3, (1, 1), (2, 2), (1, 1), ((0, 0), (0, 0)), 2, 0, False),
    ((8, 3), -2, 1, (3,), (2,), (1,), ((1, 1),), 3, 0, False),
    ((20, 4), 0, 7, (4,), (1,), (3,), ((9, 9),), 1, 7, True),
]

MATRIX = drawn(seed=12, quick=12, slow=30, accepts=lambda case: is_parallel(case.x, case.window))


def unit(case: tuple) -> LineWindow:
    shape, lo, hi, kernel, strides, dilations, pads, lanes, fill, by_block = case
    return LineWindow(Type(shape, lo, hi), Window(kernel, strides, dilations, pads), lanes, fill, by_block)


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_window(case: tuple) -> None:
    check(lambda: unit(case), partial(under, unit(case)), seed=1, frames=3)


def drawn_unit(case: WindowCase, by_block: bool) -> LineWindow:
    """By place with as many groups at once as the lanes have, one at least."""
    inner = case.x.channels // case.groups
    whole = [inner * count for count in range(1, case.groups + 1) if case.groups % count == 0]
    lanes = case.lanes if by_block else max([inner, *(lanes for lanes in whole if lanes <= case.lanes)])
    return LineWindow(case.x, case.window, lanes, case.fill, by_block, case.groups)


@pytest.mark.parametrize("by_block", [False, True], ids=["by place", "by block"])
@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case: WindowCase, by_block: bool) -> None:
    fresh = partial(drawn_unit, case, by_block)
    check(fresh, partial(under, fresh()), seed=3, frames=2)
    assert_interval_is_the_rasters(fresh())


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_cycles_are_the_twins(case: tuple) -> None:
    dut = unit(case)
    x = dut.i_beats.type
    samples = np.random.default_rng(0).integers(x.lo, x.hi + 1, (3, *x.shape))
    assert run(dut, samples).times == simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)


def assert_interval_is_the_rasters(dut: LineWindow) -> None:
    assert measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval == dut.beats
    assert dut.cost(DEVICE).cycles == dut.beats


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_interval_is_the_rasters(case: tuple) -> None:
    assert_interval_is_the_rasters(unit(case))


def test_no_cycles_are_lost_without_padding_and_few_with_it() -> None:
    assert unit(FIXED[1]).beats == 5 * 6
    assert unit(FIXED[0]).beats == 5 * 6 + 6 + 1


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (((5, 6, 4), 0, 3, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 2, 0, False), "all 4 channels at once"),
        (((5, 6, 4), 0, 3, (1, 1), (1, 1), (1, 1), ((1, 1), (1, 1)), 4, 0, False), "must hold some of its input"),
    ],
    ids=["lanes", "first position"],
)
def test_refusals(case: tuple, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        unit(case)
