"""Convolutions of tiles equal their nodes, in the cycles of their twins, with multipliers that never wait."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.emit import rtlil
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.products import ProductLanes
from lutwright.hdl.synth import synthesize
from lutwright.hdl.timing import measure, simulate
from lutwright.hdl.winograd.convolution import WinogradConv
from lutwright.hdl.winograd.method import Method
from lutwright.testbenches import runner
from lutwright.testbenches.netlist import plain

from .checks import check
from .harness import run

DEVICE = device("ecp5-85k")
DSP = ProductLanes()
SAME = ((1, 1), (1, 1))
CASES = [
    # x, lo, hi, weights, N, kernel, pads, fill, m, levels, folding
    ((4, 4, 2), -128, 127, (-128, 127), 2, (3, 3), SAME, 0, 2, 0, (1, 1)),
    ((5, 4, 2), -8, 7, (-8, 7), 2, (3, 3), SAME, 7, 4, 0, (2, 1)),
    ((3, 5, 3), 0, 15, (-8, 7), 3, (3, 3), SAME, 3, 2, 0, (2, 2)),
    ((7, 2), -8, 7, (-8, 7), 3, (3,), ((1, 1),), 0, 4, 0, (1, 2)),
    ((3, 5, 3), -8, 7, (-8, 7), 3, (3, 3), SAME, 0, 2, 1, (1, 1)),
    ((9, 2), 0, 15, (-8, 7), 2, (3,), ((1, 1),), 0, 2, 1, (1, 1)),
]
MORE = [
    ((8, 8, 4), -128, 127, (-128, 127), 2, (3, 3), SAME, 0, 4, 0, (1, 2)),
    ((5, 7, 3), 0, 15, (-8, 7), 5, (3, 3), SAME, 3, 4, 0, (3, 3)),
    ((6, 5, 2), 0, 3, (-2, 1), 2, (3, 3), ((0, 0), (0, 0)), 0, 2, 0, (2, 2)),
    ((4, 9, 3), 3, 9, (-2, 1), 3, (3, 3), ((2, 0), (0, 1)), 4, 4, 0, (3, 1)),
    ((3, 3, 1), -5, -2, (-8, 7), 1, (3, 3), ((0, 0), (0, 0)), 0, 2, 0, (1, 1)),
    ((9, 6, 2), -8, 7, (0, 7), 2, (5, 5), ((2, 2), (2, 2)), 0, 2, 0, (2, 1)),
    ((13, 3), -8, 7, (-8, 7), 3, (3,), ((1, 1),), 0, 2, 0, (3, 2)),
    ((9, 3, 2), 0, 15, (-8, 7), 4, (3, 1), ((1, 1), (0, 0)), 0, 2, 0, (2, 2)),
    ((3, 9, 2), 0, 15, (-8, 7), 4, (1, 3), ((0, 0), (1, 1)), 0, 4, 0, (2, 1)),
    ((6, 5, 3), -128, 127, (-128, 127), 5, (3, 3), SAME, -1, 2, 1, (2, 1)),
    ((9, 5, 4), -8, 7, (-8, 7), 6, (3, 3), SAME, 0, 4, 1, (1, 2)),
    ((3, 5, 4), -8, 7, (-8, 7), 4, (3, 3), SAME, 0, 2, 2, (1, 1)),
    ((9, 5), 0, 15, (-8, 7), 9, (3,), ((1, 1),), 0, 2, 3, (1, 1)),
]
SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in MORE]


def method_of(case: tuple) -> Method:
    shape, lo, hi, weights, rows, kernel, pads, fill, m, levels, _ = case
    rng, x = np.random.default_rng(1), Type(shape, lo, hi)
    weight = rng.integers(weights[0], weights[1] + 1, (rows, *kernel, shape[-1]))
    bias, window = rng.integers(-99, 100, rows), Window.of(kernel, pads=pads)
    return Method(Conv.of("y", Input("x", (), x), weight, bias, window, pad_value=fill), x, m, levels)


def unit(case: tuple, lanes: Lanes = DSP) -> WinogradConv:
    return WinogradConv(method_of(case), Folding(*case[-1]), lanes, "ecp5")


@pytest.mark.parametrize("case", [*CASES, *SLOW], ids=str)
def test_convolution(case: tuple) -> None:
    check(lambda: unit(case), method_of(case).node.evaluate, seed=2, frames=2)


@pytest.mark.slow
def test_products_in_luts() -> None:
    check(lambda: unit(CASES[2], DigitLanes()), method_of(CASES[2]).node.evaluate, seed=2, frames=2)


@pytest.mark.parametrize("m", [2, 4])
def test_worst_case(m: int) -> None:
    x = Type((4, 3, 2), -128, 127)
    source, weight = Input("x", (), x), np.full((2, 3, 3, 2), -128)
    node = Conv.of("y", source, weight, np.array([5, -7]), Window.of((3, 3), pads=SAME))
    samples = np.stack([np.full(x.shape, -128), np.full(x.shape, 127), np.indices(x.shape).sum(axis=0) % 2 * 255 - 128])
    dut = WinogradConv(Method(node, x, m), Folding(2, 2), DSP, "ecp5")
    np.testing.assert_array_equal(run(dut, samples).outputs, node.evaluate(samples))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cycles_are_the_twins(case: tuple) -> None:
    dut = unit(case)
    samples = np.random.default_rng(0).integers(case[1], case[2] + 1, (3, *case[0]))
    assert run(dut, samples).times == simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)


@pytest.mark.parametrize("case", [*CASES, *MORE], ids=str)
def test_interval(case: tuple) -> None:
    dut = unit(case)
    found = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval
    assert found == dut.cost(DEVICE).cycles


@pytest.mark.parametrize(("m", "saving"), [(2, 2.25), (4, 4)])
def test_multipliers_are_never_idle(m: int, saving: float) -> None:
    """The cycles of the direct form with as many multipliers, less what the filter saves."""
    dut = unit(((8, 8, 8), -8, 7, (-8, 7), 8, (3, 3), SAME, 0, m, 0, (4, 2)))
    found = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval
    assert found == 64 * 9 * 8 * 8 / (4 * 2) / saving


@pytest.mark.parametrize("levels", [1, 2])
def test_each_level_saves_an_eighth(levels: int) -> None:
    dut = unit(((8, 8, 8), -8, 7, (-8, 7), 16, (3, 3), SAME, 0, 2, levels, (2, 2)))
    found = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval
    assert found * 8**levels == 7**levels * 16 * 16 * 8 * 16 // 4


def test_refusal() -> None:
    x = Type((6, 6, 4), -8, 7)
    weight = np.ones((4, 3, 3, 4), np.int64)
    node = Conv.of("conv3", Input("x", (), x), weight, np.zeros(4, np.int64), Window.of((3, 3), (2, 2)))
    with pytest.raises(PlanError, match=r"'conv3' can't be built of tiles: .*strides of 1"):
        WinogradConv(Method(node, x, 2), Folding(1, 1), DSP, "ecp5")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "m", "levels"), [("ecp5-85k", 4, 0), ("ice40-up5k", 2, 0), ("gw2a-18", 2, 1)])
def test_the_netlist_is_the_convolution(name: str, m: int, levels: int) -> None:
    """Of worst cases too; blocks of memory and of multipliers are as predicted."""
    target, method = device(name), method_of(((6, 7, 5), -128, 127, (-128, 127), 6, (3, 3), SAME, 0, m, levels, (2, 2)))
    dut = WinogradConv(method, Folding(2, 2), DSP, target.family)
    whole = synthesize(rtlil(dut, "dut"), "dut", target)
    cost = dut.cost(target)
    assert (whole.total.bram, whole.total.dsp) == (cost.brams, cost.dsps)
    assert abs(cost.luts - whole.total.sites) < 0.25 * whole.total.sites
    samples = np.random.default_rng(0).choice([-128, -1, 127], (4, *method.x.shape))
    ran = runner.simulate(
        plain(whole.netlist, "dut", target.family), "dut", dut.i_beats, dut.o_beats, samples, stalls=(0.3, 0.3), seed=1
    )
    np.testing.assert_array_equal(ran.outputs, method.node.evaluate(samples))
