"""RequantizeUnit equals its Threshold node, around every threshold, under stalls."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.emit import rtlil
from lutwright.hdl.fixed_point import fixed_point
from lutwright.hdl.requantize import RequantizeUnit
from lutwright.hdl.synth import resources

from .checks import STALLS, check
from .harness import run
from .staircases import EVEN, FLOAT32, even, float32_chain, shifted


def around(node: Threshold, x: Type, frames: int, seed: int) -> Array:
    """[frames, *x.shape]: integers at or up to 4 before thresholds that are drawn, at most the ends of the interval."""
    rng = np.random.default_rng(seed)
    shape = (frames, *x.shape)
    channels = np.broadcast_to(np.arange(x.channels) % len(node.thresholds), shape)
    drawn = node.thresholds[channels, rng.integers(0, node.thresholds.shape[1], shape)]
    return np.clip(drawn - rng.integers(0, 5, shape), x.lo, x.hi)


def check_around(node: Threshold, x: Type, lanes: int, stalls: tuple[float, float], seed: int) -> None:
    samples = around(node, x, 40, seed)
    found = run(RequantizeUnit(node, x, lanes), samples, stalls, seed).outputs
    np.testing.assert_array_equal(found, node.evaluate(samples), err_msg=f"seed {seed}, stalls {stalls}")


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", EVEN, ids=str)
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_unit(case: tuple[int, int, int, int, int], lanes: int, falling: bool) -> None:
    node, x = even(*case, falling)
    if lanes <= x.channels:
        check(lambda: RequantizeUnit(node, x, lanes), node.evaluate, seed=3)


@pytest.mark.parametrize("signs", [(1,), (-1,), (-1, -1), (1, -1, -1)], ids=str)
@pytest.mark.parametrize(("lo", "hi", "shift"), [(0, 255, 4), (-128, 127, 3), (-(2**19), 2**19 - 1, 12)])
def test_unit_of_powers_of_two(signs: tuple[int, ...], lo: int, hi: int, shift: int) -> None:
    """Factors of one bit make no multiplier, those that are -1 too."""
    node, x = shifted(signs, lo, hi, shift)
    form = fixed_point(node, x)
    assert form is not None and set(np.sign(form.factor)) <= set(signs)
    for lanes in (1, len(signs)):
        check(partial(RequantizeUnit, node, x, lanes), node.evaluate, seed=4)


@pytest.mark.parametrize("stalls", STALLS[1:], ids=str)
@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", FLOAT32, ids=str)
def test_unit_of_float32_chains(
    case: tuple[int, int, bool, bool, int], falling: bool, stalls: tuple[float, float]
) -> None:
    node, x = float32_chain(*case, falling)
    for lanes in {1, x.channels // 2 or 1, x.channels}:
        check_around(node, x, lanes, stalls, seed=5)


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_corrections_by_hand(per_tensor: bool, mixed: bool) -> None:
    """Thresholds 10 apart, but some 1 or 2 late; rising or, where `mixed`, some falling."""
    rng = np.random.default_rng(7)
    rows = 1 if per_tensor else 70
    x = Type((3, 70), -100, 99)
    thresholds = np.arange(-90, 100, 10) + rng.choice([0, 0, 0, 1, 2], (rows, 19))
    step = rng.choice((-1, 1), rows) if mixed else np.ones(rows, np.int64)
    node = Threshold.of("y", Input("x", (), x), thresholds, np.where(step < 0, 19, 0) - 5, step)
    form = fixed_point(node, x)
    assert form is not None and form.slack == 2
    for lanes in (1, 4):
        check_around(node, x, lanes, (0.3, 0.3), seed=1)


LARGE = (3, -(2**18), 2**18 - 1, 255, 2)  # factors of 24 bits


@pytest.mark.parametrize(("lanes", "name", "blocks"), [(1, "ice40-up5k", 3), (3, "ice40-up5k", 7), (3, "ecp5-25k", 3)])
def test_blocks_are_those_of_operands_with_their_signs(lanes: int, name: str, blocks: int) -> None:
    """Beside a signed x a factor has a sign too; those of constants have no more bits than they need."""
    assert RequantizeUnit(*even(*LARGE), lanes).cost(device(name)).dsps == blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-25k", "gw2a-18"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_cost_is_that_of_synthesis(lanes: int, name: str) -> None:
    """With all channels at once too, where each lane has constants of its own.

    BRAM and DSP exactly; LUTs and registers are an estimate, which the planner compares options by, as what synthesis
    shares between a unit's constants is not counted.
    """
    dut, chip = RequantizeUnit(*even(*LARGE), lanes), device(name)
    cost, found = dut.cost(chip), resources(rtlil(dut, "top"), "top", chip)
    assert (cost.brams, cost.dsps) == (found.bram, found.dsp)
    assert cost.luts == pytest.approx(found.sites, rel=0.2)
    assert cost.ffs == pytest.approx(found.ff, rel=0.2)
