"""The parallel window gives what lies under the kernel, a position a cycle, in the cycles of its twin."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.line_window import LineWindow
from lutwright.hdl.timing import measure, simulate
from lutwright.hdl.window import plane

from .checks import check
from .harness import run

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


def drawn(count: int) -> list[tuple]:
    """Of the grid: kernel 1-7, stride 1-3, dilation 1-3, SAME, VALID and asymmetric padding, kernels beyond x."""
    choose, found = random.Random(3), []
    while len(found) < count:
        rank, kind = choose.choice((1, 2, 2)), choose.choice(("same", "valid", "explicit"))
        kernel, strides, dilations = (tuple(choose.randint(1, most) for _ in range(rank)) for most in (7, 3, 3))
        reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        pads = {
            "same": tuple((far // 2, far - far // 2) for far in reach),
            "valid": ((0, 0),) * rank,
            "explicit": tuple((choose.randint(0, far), choose.randint(0, far + 1)) for far in reach),
        }[kind]
        shape = tuple(choose.randint(1, 9) for _ in range(rank))
        window = Window(kernel, strides, dilations, pads)
        if min(window.output(shape)) < 1 or np.prod(shape) * np.prod(kernel) > 600:
            continue
        channels, (lo, hi) = choose.randint(1, 4), choose.choice([(0, 1), (-8, 7), (0, 15), (3, 9)])
        by_block = choose.random() < 0.4
        lanes = choose.randint(1, channels) if by_block else channels
        fill = choose.choice((0, lo, hi + 1))
        found.append(((*shape, channels), lo, hi, kernel, strides, dilations, pads, lanes, fill, by_block))
    return found


CASES = FIXED + drawn(32)


def unit(case: tuple) -> LineWindow:
    shape, lo, hi, kernel, strides, dilations, pads, lanes, fill, by_block = case
    return LineWindow(Type(shape, lo, hi), Window(kernel, strides, dilations, pads), lanes, fill, by_block)


def under(case: tuple, samples: Array) -> Array:
    """What the unit must give, from the definition of Window."""
    dut, lanes, blocks = unit(case), case[-3], unit(case).blocks
    x = samples.reshape(len(samples), dut.height, dut.width, -1)
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, blocks * lanes - x.shape[-1])))
    stacked = np.stack([part for _, part in plane(dut.window).positions(x, dut.fill)], axis=3)
    split = stacked.reshape(*stacked.shape[:-1], blocks, lanes)  # [B, rows, columns, kernel, blocks, lanes]
    return np.moveaxis(split, -2, 3).reshape(len(samples), *dut.o_beats.type.shape)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_window(case: tuple) -> None:
    check(lambda: unit(case), lambda samples: under(case, samples), seed=1, frames=3)


@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_cycles_are_the_twins(case: tuple) -> None:
    dut = unit(case)
    x = dut.i_beats.type
    samples = np.random.default_rng(0).integers(x.lo, x.hi + 1, (3, *x.shape))
    assert run(dut, samples).times == simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interval_is_the_rasters(case: tuple) -> None:
    dut = unit(case)
    assert measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval == dut.beats
    assert dut.cost(DEVICE).cycles == dut.beats


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
