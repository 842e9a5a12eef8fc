"""A queue and a register slice pass every beat on, in order."""

from __future__ import annotations

import pytest

from lutwright.errors import OptionError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.emit import rtlil
from lutwright.hdl.fifo import Fifo, Slice
from lutwright.hdl.synth import resources

from .checks import check

BEATS = Beats(Type((3, 5), -3, 9), 2)


@pytest.mark.parametrize("depth", [2, 3, 4, 9, 64])
def test_fifo(depth: int) -> None:
    check(lambda: Fifo(BEATS, depth), lambda samples: samples, seed=depth)


@pytest.mark.parametrize("depth", [2, 3, 4, 6, 11])
def test_slice(depth: int) -> None:
    check(lambda: Slice(BEATS, depth), lambda samples: samples, seed=depth)


@pytest.mark.parametrize("name", ["ice40-up5k", "gw2a-18", "ecp5-25k"])
@pytest.mark.parametrize(("lanes", "depth"), [(50, 2), (26, 4), (50, 6), (26, 9)])
def test_a_slice_costs_what_is_predicted(name: str, lanes: int, depth: int) -> None:
    beats, chip = Beats(Type((4, lanes), 0, 1), lanes), device(name)
    cost, found = Slice(beats, depth).cost(chip), resources(rtlil(Slice(beats, depth), "dut"), "dut", chip)
    assert abs(cost.luts - found.sites) <= 0.1 * found.sites
    assert abs(cost.ffs - found.ff) <= 0.05 * found.ff


@pytest.mark.parametrize("name", ["ice40-hx8k", "ecp5-25k", "gw1n-9"])
@pytest.mark.parametrize(("lanes", "depth"), [(9, 2), (18, 5), (32, 20), (32, 40), (80, 200)])
def test_a_queue_costs_what_is_predicted(name: str, lanes: int, depth: int) -> None:
    """In flip-flops, in LUT RAM of one row and of two, and in block RAMs."""
    beats, chip = Beats(Type((4, lanes), 0, 1), lanes), device(name)
    cost, found = Fifo(beats, depth).cost(chip), resources(rtlil(Fifo(beats, depth), "dut"), "dut", chip)
    assert (cost.ffs, cost.brams) == (found.ff, found.bram)
    assert abs(cost.luts - found.sites) <= 0.1 * found.sites


@pytest.mark.parametrize("component", [Fifo, Slice])
def test_too_shallow(component: type[Fifo | Slice]) -> None:
    with pytest.raises(OptionError, match="at least 2, not 1"):
        component(BEATS, 1)
