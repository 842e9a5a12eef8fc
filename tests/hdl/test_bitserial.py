"""The bit-serial engine: all elements of narrow layers, and where it is cheaper than the parallel one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Fps
from lutwright.hdl import emit
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.synth import resources

from .harness import run


@pytest.mark.parametrize(("lo", "hi", "columns"), [(0, 3, 3), (-2, 1, 3), (-4, 3, 2), (1, 6, 2)])
@pytest.mark.parametrize("name", ["ecp5-85k", "ice40-up5k", "xc7"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("whole", [False, True])
def test_all_elements_and_all_weights(lo: int, hi: int, columns: int, name: str, rows: int, whole: bool) -> None:
    weight = np.array(list(itertools.product((-1, 0, 1), repeat=columns)), np.int64)
    source = Input("x", (), Type((columns,), lo, hi))
    node = Dense.of("dense", source, weight, np.arange(len(weight)) - 5)
    samples = np.array(list(itertools.product(range(lo, hi + 1), repeat=columns)), np.int64)
    folding = Folding(len(weight) if whole else rows, columns if whole or rows == 4 else 1)
    component = engines()["bitserial"].build(node, source.type, folding, device(name))
    ran = run(component, samples, (0.2, 0.2), seed=3)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))


def layer(weights: tuple[int, ...]) -> tuple[Dense, Graph]:
    rng = np.random.default_rng(3)
    source = Input("x", (), Type((32,), 0, 15))
    node = Dense.of("dense", source, rng.choice(weights, (16, 32)))
    return node, Graph((source, node), "dense")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-85k"])
@pytest.mark.parametrize("weights", [(-1, 1), (-1, 0, 1)])
def test_whole_layers_are_smaller_than_parallel_ones(name: str, weights: tuple[int, ...]) -> None:
    """Of equal speed: weights that are wired take no memory, and no LUT to choose an element or its complement."""
    node, _ = layer(weights)
    x, target, found = Type((32,), 0, 15), device(name), dict[str, int]()
    for engine, folding in [("bitserial", Folding(16, 32)), ("addsub", Folding(16, 8))]:
        one = engines()[engine]
        cost = one.cost(node, x, folding, target)
        assert cost.cycles == 4
        found[engine] = resources(emit.rtlil(one.build(node, x, folding, target), "dut"), "dut", target).sites
        assert abs(cost.luts - found[engine]) <= 0.25 * found[engine]
    assert found["bitserial"] < 0.85 * found["addsub"]


@pytest.mark.parametrize("weights", [(-1, 1), (-1, 0, 1)])
def test_the_planner_takes_it(weights: tuple[int, ...]) -> None:
    _, graph = layer(weights)
    made = plan(graph, device("ice40-up5k"), Fps(6e6), clock_mhz=24)
    assert made.nodes["dense"].engine == "bitserial"
