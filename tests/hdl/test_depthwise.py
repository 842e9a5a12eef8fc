"""Every engine builds depthwise convolutions of every geometry: equal to the node under stalls, cycles as predicted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import Device, device
from lutwright.frontend.ir import Array, Graph, Input, Type, verify
from lutwright.frontend.nodes import Conv, Dense
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Fps, NodePlan, Plan
from lutwright.hdl.depthwise import Depthwise, grouped
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.multiply import Multiply
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import LineWindow
from lutwright.hdl.network import Network
from lutwright.hdl.parts import computing
from lutwright.hdl.timing import measure, simulate

from .checks import STALLS, check
from .grid import WindowCase, drawn
from .harness import run

ECP5 = device("ecp5-85k")
KINDS: list[tuple[str, int, int, Sequence[int]]] = [
    # engine, least and most of x, weights
    ("xnor", 0, 1, (-1, 1)),
    ("addsub", -4, 3, (-1, 0, 1)),
    ("shift", 0, 15, (-4, -1, 0, 2, 8)),
    ("multiply", -4, 3, (-8, -3, 5, 7)),
    ("multiply_dsp", -8, 7, (-8, -3, 5, 7)),
    ("spatial", 2, 9, (-7, 0, 3)),
]
SAME, NONE = ((1, 1), (1, 1)), ((0, 0), (0, 0))
WINDOWS = [
    # shape, kernel, strides, dilations, pads
    ((5, 4, 4), (3, 3), (1, 1), (1, 1), SAME),
    ((6, 5, 3), (2, 3), (2, 1), (1, 2), ((1, 0), (0, 1))),
    ((4, 4, 3), (1, 1), (2, 1), (1, 1), NONE),
    ((3, 3, 2), (2, 2), (1, 1), (1, 1), ((3, 0), (2, 0))),  # the first positions hold nothing of x
    ((9, 4), (4,), (1,), (2,), ((3, 3),)),
    ((12, 3), (3,), (2,), (1,), ((0, 0),)),
]


def conv(window: Window, x: Type, weights: Sequence[int], fill: int) -> Conv:
    """One of random weights, of the least and the greatest in each channel if there is room."""
    rng = np.random.default_rng(x.size)
    weight = rng.choice(weights, (x.channels, *window.kernel, 1))
    weight.reshape(x.channels, -1)[:, 0] = max(weights, key=abs)
    bias = rng.integers(-9, 10, x.channels)
    return Conv.of("y", Input("x", (), x), weight, bias, window, x.channels, fill)


def frames(x: Type, count: int, seed: int) -> Array:
    """Random ones, of which the first has the least elements only and the second the greatest."""
    samples = np.random.default_rng(seed).integers(x.lo, x.hi + 1, (count, *x.shape))
    samples[0], samples[1] = x.lo, x.hi
    return samples


def verified(
    node: Conv, x: Type, name: str, folding: Folding, stalls: tuple[float, float], chip: Device = ECP5
) -> None:
    """The part of a plan equals its node, in the cycles of its twin, of which its cost predicts those of no burst."""
    part = computing(node, (x,), Plan(chip, {"y": NodePlan(name, folding)}))
    dut = part.component
    samples = frames(x, 4, seed=folding.simd)
    ran = run(dut, samples, stalls, seed=5, before=7 if any(stalls) else 0)
    np.testing.assert_array_equal(ran.outputs.reshape(len(samples), *node.type.shape), node.evaluate(samples))
    per_in, per_out = dut.i_beats.per_frame, dut.o_beats.per_frame
    if not any(stalls):
        assert simulate(dut.tokens(), per_in, per_out, len(samples)) == ran.times
    interval = measure(dut.tokens(), per_in, per_out).interval
    assert part.cost.cycles <= interval
    if isinstance(dut, Depthwise) and isinstance(dut.row[0], LineWindow) and len(dut.row) == 2:
        assert part.cost.cycles == interval == dut.row[0].beats


@pytest.mark.parametrize("shape", WINDOWS, ids=lambda shape: "-".join(map(str, shape)))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0])
def test_every_folding_of_every_engine(kind: tuple, shape: tuple) -> None:
    name, lo, hi, weights = kind
    x = Type(shape[0], lo, hi)
    node = conv(Window(*shape[1:]), x, weights, fill=hi - 1)
    dense, under = grouped(node, x)
    engine = engines()[name]
    assert engine.supports(dense, under, ECP5) is None
    places, channels = dense.weight.shape[1] // x.channels, x.channels
    foldings = list(engine.foldings(dense, under))
    assert Folding(channels, channels * places) in foldings
    if name != "spatial":
        whole = {Folding(n, n * places) for n in range(1, channels) if channels % n == 0}
        assert {*foldings} >= whole | {Folding(1, n) for n in range(1, places) if places % n == 0}
    for folding, stalls in zip(foldings, cycle(STALLS), strict=False):
        verified(node, x, name, folding, stalls)


def has_hardware(case: WindowCase) -> bool:
    return case.x.channels > 1 and case.held[1] > 0


@pytest.mark.parametrize("case", drawn(seed=21, quick=8, slow=40, accepts=has_hardware))
def test_matrix(case: WindowCase) -> None:
    """Any engine that can be at any folding, on the grid of windows, in each family."""
    index = case.x.size + case.lanes
    chip = (ECP5, device("xc7"), device("ice40-up5k"), device("gw2a-18"))[index % 4]
    node = conv(case.window, case.x, (-4, -1, 0, 2, 8), case.fill)
    dense, under = grouped(node, case.x)
    able = [engine for engine in engines().values() if engine.supports(dense, under, chip) is None]
    for engine in able:
        foldings = list(engine.foldings(dense, under))
        folding = foldings[index % len(foldings)]
        fresh = lambda engine=engine, folding=folding: Depthwise(node, case.x, engine, folding, chip)  # noqa: E731
        check(fresh, node.evaluate, seed=3, frames=2)


class Ungrouped(Dense):
    """A layer whose zeros are weights."""

    groups = 1  # type: ignore[assignment]


class Plain(Multiply):
    """An engine that knows no groups, and so has foldings that cut them anywhere."""

    name = "plain"

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return super().build(Ungrouped(**{**vars(node), "wraps": False}), x, folding, device)


@pytest.mark.parametrize("folding", ["1x1", "2x5", "3x9", "4x12", "1x18", "3x27", "4x36", "2x1"])
def test_an_engine_that_knows_no_groups(folding: str) -> None:
    x = Type((4, 3, 4), -2, 1)
    node = conv(Window((3, 3), (1, 1), (1, 1), SAME), x, (-3, 0, 2), 1)
    pe, simd = map(int, folding.split("x"))
    check(lambda: Depthwise(node, x, Plain(), Folding(pe, simd), ECP5), node.evaluate, seed=6, frames=2)


@pytest.mark.parametrize(("chip", "goal"), [("ice40-hx8k", Fps(12_000)), ("ecp5-85k", Fps(12_000))])
def test_the_planner_shifts_where_that_is_cheaper(chip: str, goal: Fps) -> None:
    x = Type((16, 16, 32), 0, 15)
    node = conv(Window((3, 3), (1, 1), (1, 1), SAME), x, (-4, -2, -1, 0, 1, 2, 4), 0)
    graph = verify(Graph((Input("x", (), x), node), "y"))
    chosen = plan(graph, device(chip), goal, clock_mhz=50)
    assert chosen.nodes["y"].engine == "shift"
    cost = Network(graph, chosen).cost
    own = Network(graph, plan(graph, device(chip), goal, clock_mhz=50, engines={"y": "conv"})).cost
    assert cost.dsps == 0 and (own.luts > cost.luts or own.dsps == x.channels)


def test_an_engine_that_does_not_support_it_is_refused_by_its_reason() -> None:
    x = Type((4, 4, 2), 0, 15)
    node = conv(Window((3, 3), (1, 1), (1, 1), SAME), x, (-3, 2), 0)
    graph = verify(Graph((Input("x", (), x), node), "y"))
    with pytest.raises(PlanError, match="'y': xnor: weights must be -1 or 1"):
        plan(graph, ECP5, engines={"y": "xnor"})
    with pytest.raises(PlanError, match="must be one of conv, xnor"):
        plan(graph, ECP5, engines={"y": "unknown"})
