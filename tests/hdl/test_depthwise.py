"""Every engine builds depthwise convolutions of every geometry: equal under stalls, in the cycles of its twin."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import Device, device
from lutwright.frontend.hardware import hardware
from lutwright.frontend.ir import Array, Graph, Input, Type, verify
from lutwright.frontend.nodes import Conv, Dense
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import parse_fold, plan
from lutwright.frontend.planning import Fps, NodePlan, Plan
from lutwright.hdl.depthwise import Depthwise, grouped
from lutwright.hdl.emit import rtlil
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.multiply import Multiply
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import LineWindow
from lutwright.hdl.network import Network
from lutwright.hdl.parts import computing
from lutwright.hdl.synth import resources
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
    ((4, 3, 4), (3, 3), (1, 1), (1, 1), SAME),
    ((6, 5, 5), (2, 3), (2, 1), (1, 2), ((1, 0), (0, 1))),
    ((4, 4, 3), (1, 1), (2, 1), (1, 1), NONE),
    ((3, 3, 2), (2, 2), (1, 1), (1, 1), ((3, 0), (2, 0))),  # the first positions hold nothing of x
    ((9, 4), (4,), (1,), (2,), ((3, 3),)),
    ((12, 3), (3,), (2,), (1,), ((0, 0),)),
]


def conv(window: Window, x: Type, weights: Sequence[int], fill: int) -> Conv:
    """One of random weights, the largest in each channel."""
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


def verified(node: Conv, x: Type, name: str, folding: Folding, stalls: tuple[float, float]) -> None:
    """The part of a plan equals its node, in its twin's cycles; those of its cost are exact but for bursts."""
    part = computing(node, (x,), Plan(ECP5, {"y": NodePlan(name, folding)}))
    dut = part.component
    samples = frames(x, 4, seed=folding.simd)
    ran = run(dut, samples, stalls, seed=5, before=7 if any(stalls) else 0)
    np.testing.assert_array_equal(ran.outputs.reshape(len(samples), *node.type.shape), node.evaluate(samples))
    per_in, per_out = dut.i_beats.per_frame, dut.o_beats.per_frame
    if not any(stalls):
        assert simulate(dut.tokens(), per_in, per_out, len(samples)) == ran.times
    interval = measure(dut.tokens(), per_in, per_out).interval
    assert part.cost.cycles <= interval
    assert isinstance(dut, Depthwise)
    window = dut.row[-2]
    if isinstance(window, LineWindow):  # without an adapter behind it
        assert part.cost.cycles == interval == window.beats


PAIRS = [
    pytest.param(kind, shape, marks=[] if first == second else [pytest.mark.slow], id=f"{kind[0]} {shape}")
    for first, kind in enumerate(KINDS)
    for second, shape in enumerate(WINDOWS)
]


@pytest.mark.parametrize(("kind", "shape"), PAIRS)
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


MATRIX = drawn(seed=21, quick=3, slow=20, accepts=has_hardware)


@pytest.mark.parametrize("case", MATRIX)
def test_matrix(case: WindowCase) -> None:
    """Any engine that can be at any folding, on the grid of windows, in each family."""
    index = case.x.size + case.lanes
    chip = (ECP5, device("xc7"), device("ice40-up5k"), device("gw2a-18"))[index % 4]
    node = conv(case.window, case.x, (-4, -1, 0, 2, 8), case.fill)
    dense, under = grouped(node, case.x)
    able = [engine for engine in engines().values() if engine.supports(dense, under, chip) is None]
    engine = able[index % len(able)]
    foldings = list(engine.foldings(dense, under))
    folding = foldings[index % len(foldings)]
    check(lambda: Depthwise(node, case.x, engine, folding, chip), node.evaluate, seed=3, frames=2)


class Ungrouped(Dense):
    """A layer whose zeros are weights."""

    @property
    def groups(self) -> int:
        return 1


class Plain(Multiply):
    """An engine that knows no groups, and so has foldings that cut them anywhere."""

    name = "plain"

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return super().build(Ungrouped(**{**vars(node), "wraps": False}), x, folding, device)


@pytest.mark.parametrize("folding", ["2x5", "4x12", "3x27"])
def test_an_engine_that_knows_no_groups(folding: str) -> None:
    x = Type((4, 3, 4), -2, 1)
    node = conv(Window((3, 3), (1, 1), (1, 1), SAME), x, (-3, 0, 2), 1)
    pe, simd = map(int, folding.split("x"))
    check(lambda: Depthwise(node, x, Plain(), Folding(pe, simd), ECP5), node.evaluate, seed=6, frames=2)


def network(kernel: int, weights: Sequence[int]) -> Graph:
    """A depthwise convolution alone, named "conv"."""
    source = Input("x", (), Type((8, 8, 8), 0, 255))
    rng, pad = np.random.default_rng(0), ((kernel // 2,) * 2,) * 2
    weight = rng.choice(weights, (8, kernel, kernel, 1))
    window = Window((kernel, kernel), (1, 1), (1, 1), pad)
    return verify(Graph((source, Conv.of("conv", source, weight, rng.integers(-99, 99, 8), window, 8)), "conv"))


POWERS = (-64, -16, -4, -2, -1, 1, 8, 32)


@pytest.mark.parametrize("cycles", [6000, 700])
def test_shift_is_chosen_where_it_is_cheaper(cycles: int) -> None:
    graph, chip = network(3, POWERS), device("ice40-hx8k")
    made = plan(graph, chip, Fps(1e6 / cycles), clock_mhz=1)
    assert made.nodes["conv"].engine == "shift"
    chosen = Network(graph, made)
    assert chosen.timing().interval <= cycles
    for other in ("conv", "multiply"):
        try:
            found = Network(graph, plan(graph, chip, Fps(1e6 / cycles), engines={"conv": other}, clock_mhz=1))
        except PlanError:
            continue  # too large
        assert found.cost.luts > chosen.cost.luts


@pytest.mark.parametrize(
    ("engine", "fold", "says"),
    [
        ("shift", None, "shift: weights must be sums of up to 3 powers of two"),
        ("magic", None, "must be one of conv, xnor, addsub, bitserial, shift, multiply_dsp, multiply, spatial"),
        ("multiply", "2x9", "8 groups of 1x9, must divide a group or be a number of them, not 2x9"),
        ("spatial", "1x9", "as spatial must be folded 8x72"),
        ("conv", "2x18", "conv: must have as many lanes out as in, not 2x18"),
        (None, "9x72", "between 1x1 and 8x72, not 9x72: PE are output channels, SIMD those under the kernel"),
    ],
)
def test_what_a_pin_can_be(engine: str | None, fold: str | None, says: str) -> None:
    pins = {"conv": engine} if engine else {}
    folds = dict(map(parse_fold, [f"conv={fold}"] if fold else []))
    with pytest.raises(PlanError, match=says):
        plan(network(3, (-127, 91, 85)), device("ecp5-25k"), engines=pins, folds=folds)


@pytest.mark.parametrize(
    ("engine", "fold"), [("conv", "3x3"), ("shift", "1x1"), ("shift", "1x3"), ("shift", "4x36"), ("spatial", "8x72")]
)
def test_pins_are_kept(engine: str, fold: str) -> None:
    graph = network(3, POWERS)
    pins, folds = {"conv": engine}, dict(map(parse_fold, [f"conv={fold}"]))
    made = plan(graph, device("ecp5-85k"), engines=pins, folds=folds)
    assert made.nodes["conv"] == NodePlan(engine, folds["conv"])
    assert f"conv: {engine} {fold}, " in " ".join(made.explanation)


def test_inspect_lists_all_that_can_build_it() -> None:
    x, node = network(3, POWERS)
    assert hardware(node, x.type) == ("conv", "shift", "multiply_dsp", "multiply", "spatial")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "fold", "name"),
    [
        ("shift", "1x1", "ice40-hx8k"),
        ("shift", "1x9", "ice40-hx8k"),
        ("shift", "2x18", "ecp5-25k"),
        ("multiply", "2x18", "ecp5-25k"),
    ],
)
def test_costs_are_near_those_of_synthesis(engine: str, fold: str, name: str) -> None:
    (x, node), chip = network(3, POWERS), device(name)
    part = computing(node, (x.type,), Plan(chip, {"conv": NodePlan(engine, parse_fold(f"conv={fold}")[1])}))
    found = resources(rtlil(part.component, "top"), "top", chip)
    assert (part.cost.brams, part.cost.dsps) == (found.bram, found.dsp)
    assert part.cost.luts == pytest.approx(found.sites, rel=0.25)
    assert part.cost.ffs == pytest.approx(found.ff, rel=0.25)
