"""Pools and depthwise convolutions equal their nodes, in the cycles of their twins."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Input, Node, Type
from lutwright.frontend.nodes import Conv, Pool
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.timing import simulate

from .checks import check
from .grid import WindowCase, drawn
from .harness import run

WINDOWS = [
    # kernel, strides, dilations, pads
    ((2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))),
    ((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))),
    ((3, 2), (2, 1), (1, 2), ((1, 0), (0, 1))),
    ((6, 5), (1, 1), (1, 1), ((0, 0), (0, 0))),
]
TYPES = [((6, 5, 3), -4, 3), ((6, 5, 4), 0, 15), ((6, 5, 2), 0, 1)]
KINDS = ("max", "sum", "depthwise")
CASES = [
    (kind, window, (*size, channels), lo, hi, lanes)
    for kind in KINDS
    for window in WINDOWS
    for (*size, channels), lo, hi in TYPES
    for lanes in {1, channels - 1, channels}
]


def node_of(kind: str, shape: Window, x: Type) -> Node:
    source = Input("x", (), x)
    if kind != "depthwise":
        return Pool.of("y", source, kind, shape)
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (x.channels, *shape.kernel, 1))
    bias = rng.integers(-9, 10, x.channels)
    return Conv.of("y", source, weight, bias, shape, groups=x.channels, pad_value=x.hi)


@pytest.mark.parametrize("case", CASES[::2], ids=str)
def test_reduce(case: tuple) -> None:
    kind, window, shape, lo, hi, lanes = case
    x = Type(shape, lo, hi)
    node = node_of(kind, Window(*window), x)
    check(lambda: WindowReduce(node, x, lanes), node.evaluate, seed=2, frames=2)


def has_hardware(case: WindowCase) -> bool:
    """A depthwise convolution has more than one channel; every window of a pool holds some of x."""
    return case.x.channels > 1 and case.held[1] > 0


MATRIX = drawn(seed=14, quick=8, slow=20, accepts=has_hardware)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case: WindowCase, kind: str) -> None:
    node = node_of(kind, case.window, case.x)
    check(lambda: WindowReduce(node, case.x, case.lanes), node.evaluate, seed=3, frames=2)


@pytest.mark.parametrize("case", CASES[::5], ids=str)
def test_cycles_are_the_twins(case: tuple) -> None:
    kind, window, shape, lo, hi, lanes = case
    x = Type(shape, lo, hi)
    node = node_of(kind, Window(*window), x)
    dut = WindowReduce(node, x, lanes)
    samples = np.random.default_rng(0).integers(lo, hi + 1, (3, *shape))
    times = simulate(WindowReduce(node, x, lanes).tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)
    assert run(dut, samples).times == times
