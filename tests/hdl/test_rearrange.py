"""Moves of elements equal their nodes, in the cycles of their token model, out of the least buffer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Input, Node, Type
from lutwright.frontend.nodes import Pad, Stuff, Take, Transpose
from lutwright.hdl.moves import Move, full_throughput_depth, move_lanes
from lutwright.hdl.rearrange import Rearrange
from lutwright.hdl.timing import measure, simulate

from .checks import check
from .harness import run
from .networks import drawn


def transpose(*axes: int) -> Callable[[Node], Move]:
    return lambda source: Transpose.of("y", source, axes)


def take(axis: int, *indices: int) -> Callable[[Node], Move]:
    return lambda source: Take.of("y", source, axis, np.array(indices))


def pad(value: int, *pads: tuple[int, int]) -> Callable[[Node], Move]:
    return lambda source: Pad.of("y", source, pads, value)


def stuff(value: int, *strides: int) -> Callable[[Node], Move]:
    return lambda source: Stuff.of("y", source, strides, value)


# What moves, shape, lo, hi; at all lanes that it can have.
MOVES: dict[str, tuple[Callable[[Node], Move], tuple[int, ...], int, int]] = {
    "transpose a plane": (transpose(1, 0), (3, 5), -4, 3),
    "transpose pixels": (transpose(1, 0, 2), (3, 4, 4), 0, 15),
    "transpose rows": (transpose(2, 0, 1), (2, 3, 4), -1, 1),
    "transpose to channels first": (transpose(2, 0, 1), (4, 5, 2), 0, 1),
    "depth to space": (transpose(0, 2, 1, 3), (3, 4, 2, 6), -8, 7),
    "no order at all": (transpose(3, 1, 0, 2), (2, 3, 2, 3), 0, 7),
    "slice of channels": (take(1, 2, 3), (5, 6), -4, 3),
    "first rows": (take(0, 0, 1), (5, 3, 2), -4, 3),
    "last rows": (take(0, 3, 4), (5, 3, 2), -4, 3),
    "strided": (take(1, 1, 3, 5), (3, 7, 4), 0, 3),
    "backwards": (take(0, 4, 3, 2, 1, 0), (5, 3), 0, 3),
    "nearest, rows": (take(0, 0, 0, 1, 1, 2, 2), (3, 4, 2), -2, 1),
    "nearest, columns": (take(1, 0, 0, 0, 1, 1, 2), (4, 3, 3), -2, 1),
    "repeated channels": (take(1, 0, 0, 1, 1, 2, 2), (4, 3), 0, 7),
    "tiled": (take(0, 0, 1, 2, 0, 1, 2), (3, 4), 0, 7),
    "any order": (take(1, 4, 0, 3, 3, 1), (3, 5, 2), -16, 15),
    "one of many": (take(0, 6), (9, 2), 0, 3),
    "one, many times": (take(1, *[0] * 7), (4, 1), 0, 255),
    "channel shuffle": (take(1, 0, 3, 1, 4, 2, 5), (3, 6), 0, 3),
    "blocks of channels": (take(1, 4, 5, 0, 1), (3, 6), -4, 3),
    "padded": (pad(0, (1, 1), (2, 1), (0, 0)), (3, 4, 3), -4, 3),
    "padded before": (pad(5, (0, 0), (3, 0), (0, 0)), (3, 4, 4), -4, 3),
    "padded after": (pad(-9, (0, 2), (0, 0)), (3, 4), -4, 3),
    "padded channels": (pad(0, (0, 0), (2, 1)), (3, 4), 1, 3),
    "padded by much": (pad(7, (5, 4)), (1,), 0, 3),
    "stuffed": (stuff(0, 2, 3, 1), (3, 2, 4), -4, 3),
    "stuffed with another value": (stuff(9, 2, 2, 1), (2, 3, 2), 0, 3),
    "stuffed channels": (stuff(-1, 1, 3), (2, 4), 0, 3),
    "one element": (pad(0), (), -4, 3),
}


def node_of(name: str) -> tuple[Move, Type]:
    build, shape, lo, hi = MOVES[name]
    x = Type(shape, lo, hi)
    return build(Input("x", (), x)), x


CASES = [(name, lanes) for name in MOVES for lanes in move_lanes(*node_of(name))]


@pytest.mark.parametrize(("name", "lanes"), CASES)
def test_rearrange(name: str, lanes: int) -> None:
    node, x = node_of(name)
    check(lambda: Rearrange(node, x, lanes), node.evaluate, seed=1, frames=4)


@pytest.mark.parametrize(("name", "lanes"), CASES)
def test_cycles_are_predicted(name: str, lanes: int) -> None:
    node, x = node_of(name)
    dut = Rearrange(node, x, lanes)
    times = simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 4)
    assert run(Rearrange(node, x, lanes), drawn(x, 4, 0)).times == times


@pytest.mark.parametrize(("name", "lanes"), CASES)
def test_a_beat_a_cycle_with_the_least_depth(name: str, lanes: int) -> None:
    """Its busier side never waits; with one beat less it would, or would for ever."""
    node, x = node_of(name)
    dut = Rearrange(node, x, lanes)
    per_in, per_out = dut.i_beats.per_frame, dut.o_beats.per_frame
    assert measure(dut.tokens(), per_in, per_out).interval == max(per_in, per_out)
    least = full_throughput_depth(*dut.table.flat, per_in)
    if least <= 2:
        assert dut.depth == 2
        return
    dut.depth = least - 1
    try:
        assert measure(dut.tokens(), per_in, per_out).interval > max(per_in, per_out)
    except PlanError:  # a deadlock
        return


def test_deep_buffers_that_are_no_power_of_two() -> None:
    x = Type((20, 15), 0, 7)
    node = Transpose.of("y", Input("x", (), x), (1, 0))
    assert 512 < Rearrange(node, x, 1).depth <= 600
    check(lambda: Rearrange(node, x, 1), node.evaluate, seed=3, frames=4)


def test_lanes_that_part_beats_are_refused() -> None:
    node, x = node_of("channel shuffle")
    with pytest.raises(PlanError, match=r"'y' must be one of \[1\].*not 2"):
        Rearrange(node, x, 2)
