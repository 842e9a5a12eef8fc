"""Pools of separate windows equal their nodes, in the cycles of their twins, without bubbles."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Pool
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.beats import Beats
from lutwright.hdl.cost import unit_cost
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.parts import computing
from lutwright.hdl.pool import SEPARATE, PoolReduce, is_separate
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.timing import measure, simulate
from lutwright.hdl.units import units

from .checks import check
from .grid import WindowCase, drawn
from .harness import run

DEVICE = device("ecp5-25k")
FIXED = [
    # kind, shape, lo, hi, kernel, strides, dilations, pads, lanes
    ("sum", (6, 5, 4), -8, 7, (6, 5), (1, 1), (1, 1), ((0, 0), (0, 0)), 4),
    ("sum", (6, 5, 5), 0, 15, (6, 5), (6, 5), (1, 1), ((0, 0), (0, 0)), 2),
    ("max", (6, 5, 4), -8, 7, (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), 2),
    ("max", (6, 5, 3), -8, -2, (2, 2), (2, 2), (1, 1), ((1, 1), (1, 0)), 2),
    ("max", (9, 2), 0, 1, (3,), (3,), (1,), ((0, 0),), 2),
    ("max", (9, 2), -3, 2, (9,), (1,), (1,), ((0, 0),), 1),
    ("max", (4, 3, 1), -3, 2, (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), 1),
    ("sum", (6, 1, 2), -3, 2, (3, 1), (3, 1), (1, 1), ((0, 0), (0, 0)), 1),
    ("sum", (5, 5, 2), -3, 2, (1, 1), (2, 3), (2, 1), ((0, 0), (0, 0)), 1),
    ("max", (4, 5, 1), -8, 7, (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), 1),
    ("sum", (4, 5, 1), -8, 7, (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), 1),
    ("sum", (7, 7, 3), 0, 3, (2, 3), (3, 4), (1, 1), ((1, 0), (2, 2)), 3),
]

MATRIX = drawn(seed=13, quick=14, slow=28, accepts=lambda case: case.held[1] > 0, separate=True)


def node_of(case: tuple) -> tuple[Pool, Type]:
    kind, shape, lo, hi, *window, _ = case
    x = Type(shape, lo, hi)
    return Pool.of("y", Input("x", (), x), kind, Window(*window)), x


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_pool(case: tuple) -> None:
    node, x = node_of(case)
    check(lambda: PoolReduce(node, x, case[-1]), node.evaluate, seed=2, frames=3)


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case: WindowCase, kind: str) -> None:
    node = Pool.of("y", Input("x", (), case.x), kind, case.window)
    assert is_separate(node, case.x)
    check(lambda: PoolReduce(node, case.x, case.lanes), node.evaluate, seed=3, frames=2)
    beats = Beats(case.x, case.lanes).per_frame
    timing = measure(PoolReduce(node, case.x, case.lanes).tokens(), beats, Beats(node.type, case.lanes).per_frame)
    assert timing.interval == beats


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_no_bubbles_and_the_twins_cycles(case: tuple) -> None:
    node, x = node_of(case)
    dut = PoolReduce(node, x, case[-1])
    samples = np.random.default_rng(0).integers(x.lo, x.hi + 1, (3, *x.shape))
    per_in, per_out = dut.i_beats.per_frame, dut.o_beats.per_frame
    assert run(dut, samples).times == simulate(dut.tokens(), per_in, per_out, 3)
    assert measure(dut.tokens(), per_in, per_out).interval == per_in


OVERLAPPING = ((3, 3), (2, 2), (1, 1), ((0, 0), (0, 0)))
SPREAD = ((2, 2), (3, 3), (2, 1), ((0, 0), (0, 0)))


@pytest.mark.parametrize("window", [OVERLAPPING, SPREAD], ids=["overlapping", "dilated"])
def test_windows_that_overlap_have_a_buffer(window: tuple) -> None:
    node, x = node_of(("max", (7, 7, 2), 0, 3, *window, 1))
    assert not is_separate(node, x)
    assert units(node, x) == ("pool",)
    with pytest.raises(PlanError, match="must not overlap"):
        PoolReduce(node, x, 1)


@pytest.mark.parametrize(("name", "kind"), [("pool", WindowReduce), (SEPARATE, PoolReduce)])
def test_a_plan_chooses_the_component(name: str, kind: type) -> None:
    node, x = node_of(FIXED[0])
    assert name in units(node, x)
    plan = Plan(DEVICE, {"y": NodePlan(name, Folding(2, 2))})
    part = computing(node, (x,), plan)
    assert isinstance(part.component, kind)
    assert part.cost == unit_cost(node, (x,), 2, DEVICE, name)
