"""Networks whose streams part and meet: equal to the golden model at any stalls, with queues of the least depth."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Add, Concat, Conv, Dense, Multiply, Pad, Pool, Reshape, Take, Transpose
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.assembly import READY_PATH, Assembly
from lutwright.hdl.branch import Fork
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.fifo import Slice
from lutwright.hdl.network import Network
from lutwright.hdl.pool import SEPARATE
from lutwright.hdl.sizing import goes_on, sized
from lutwright.hdl.steps import Machine
from lutwright.hdl.timing import paced, simulate

from .checks import check
from .harness import run
from .networks import DEVICE, drawn

SAME = Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))


class Built:
    """Nodes one after the other, with foldings."""

    def __init__(self, shape: tuple[int, ...], lo: int, hi: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = [Input("x", (), Type(shape, lo, hi))]
        self.folds: dict[str, NodePlan] = {}

    def __call__(self, node: Node, pe: int, simd: int, engine: str = "") -> Node:
        self.nodes.append(node)
        self.folds[node.name] = NodePlan(engine, Folding(pe, simd))
        return node

    def conv(self, name: str, source: Node, outer: int, pe: int, simd: int, lanes: int) -> Node:
        weight = self.rng.integers(-2, 3, (outer, 3, 3, source.type.channels))
        self.folds[f"{name}_window"] = NodePlan("unfold", Folding(lanes, lanes))
        return self(Conv.of(name, source, weight, np.zeros(outer, np.int64), SAME), pe, simd, "multiply")

    def done(self, even: bool = False) -> tuple[Graph, Plan]:
        graph = verify(Graph(tuple(self.nodes), self.nodes[-1].name))
        return graph, sized(graph, Plan(DEVICE, self.folds), even)


def residual(seed: int) -> tuple[Graph, Plan]:
    """x + conv(x), with factors, of unequal foldings."""
    net = Built((5, 4, 3), -4, 3, seed)
    conv = net.conv("conv", net.nodes[0], 3, 2, 3, 1)
    net(Add.of("add", (conv, net.nodes[0]), np.array([[3, -5]]), np.array([7])), 2, 2)
    return net.done()


def per_channel(seed: int) -> tuple[Graph, Plan]:
    """A sum of three with factors by channel, one of them taken twice."""
    net = Built((3, 5), 0, 7, seed)
    dense = net(Dense.of("dense", net.nodes[0], net.rng.integers(-3, 4, (5, 5))), 3, 2, "multiply")
    factors, constant = net.rng.integers(-9, 9, (5, 3)), net.rng.integers(-9, 9, 5)
    net(Add.of("add", (net.nodes[0], dense, dense), factors, constant), 2, 2)
    return net.done()


def product(seed: int) -> tuple[Graph, Plan]:
    net = Built((4, 6), -3, 2, seed)
    gate = net(Dense.of("gate", net.nodes[0], net.rng.integers(-3, 4, (6, 6))), 6, 6, "multiply")
    net(Multiply.of("product", net.nodes[0], gate), 3, 3)
    return net.done()


def joined(axis: int, lanes: int) -> Callable[[int], tuple[Graph, Plan]]:
    """Two branches of unequal intervals, one after the other along an axis."""

    def build(seed: int) -> tuple[Graph, Plan]:
        net = Built((4, 3, 4), -4, 3, seed)
        conv = net.conv("conv", net.nodes[0], 4 if axis < 2 else 6, 2, 9, 2)
        net(Concat.of("concat", (net.nodes[0], conv), axis), lanes, lanes)
        return net.done()

    return build


def nested(seed: int) -> tuple[Graph, Plan]:
    """A residual block in a residual block, then a Reshape, a pool on one side, a concat."""
    net = Built((4, 4, 2), -2, 1, seed)
    (x,) = net.nodes
    first = net.conv("first", x, 2, 1, 2, 2)
    second = net.conv("second", first, 2, 2, 6, 1)
    inner = net(Add.of("inner", (second, first), np.array([[1, 1]])), 2, 2)
    outer = net(Add.of("outer", (inner, x), np.array([[1, 4]])), 1, 1)
    net.nodes.append(Reshape.of("flat", outer, (4, 8)))
    wide = net(Dense.of("wide", net.nodes[-1], net.rng.integers(-2, 3, (3, 8))), 3, 4, "multiply")
    pool = net(Pool.of("pool", outer, "max", Window.of((4, 4))), 2, 2)
    net.nodes.append(Reshape.of("row", pool, (1, 2)))
    spread = net(Dense.of("spread", net.nodes[-1], net.rng.integers(-2, 3, (3, 2))), 1, 1, "multiply")
    net(Concat.of("concat", (wide, spread), 0), 3, 3)
    return net.done()


def diamond(seed: int) -> tuple[Graph, Plan]:
    """The stream parts in three, of which two meet first."""
    net = Built((6,), 0, 3, seed)
    (x,) = net.nodes
    slow = net(Dense.of("slow", x, net.rng.integers(-3, 4, (6, 6))), 1, 1, "multiply")
    fast = net(Dense.of("fast", x, net.rng.integers(-3, 4, (6, 6))), 6, 6, "multiply")
    both = net(Add.of("both", (fast, slow), np.array([[1, 2]])), 3, 3)
    net(Add.of("all", (x, both), np.array([[1, 1]])), 6, 6)
    return net.done()


def upsampled(seed: int) -> tuple[Graph, Plan]:
    """A pool, twice as large again by nearest neighbours, beside what went into the pool."""
    net = Built((4, 6, 2), -4, 3, seed)
    pool = net(Pool.of("pool", net.nodes[0], "max", Window.of((2, 2), (2, 2))), 2, 2)
    rows = net(Take.of("rows", pool, 0, np.repeat(np.arange(2), 2)), 2, 2)
    columns = net(Take.of("columns", rows, 1, np.repeat(np.arange(3), 2)), 1, 1)
    net(Concat.of("concat", (columns, net.nodes[0]), 2), 2, 2)
    return net.done()


def split(seed: int) -> tuple[Graph, Plan]:
    """Channels part in two, of which one half goes through a layer, meet again and are shuffled."""
    net = Built((4, 5, 6), -4, 3, seed)
    (x,) = net.nodes
    left, right = (
        net(Take.of(name, x, 2, np.arange(start, start + 3)), 3, 3) for name, start in (("left", 0), ("right", 3))
    )
    conv = net.conv("conv", right, 3, 1, 9, 3)
    both = net(Concat.of("both", (left, conv), 2), 3, 3)
    net(Take.of("shuffle", both, 2, np.array([0, 3, 1, 4, 2, 5])), 1, 1)
    return net.done()


def turned(seed: int) -> tuple[Graph, Plan]:
    """A plane and its transpose, padded, on the way to a sum."""
    net = Built((4, 4, 3), 0, 7, seed)
    (x,) = net.nodes
    flipped = net(Transpose.of("turned", x, (1, 0, 2)), 3, 3)
    padded = net(Pad.of("padded", flipped, ((1, 0), (0, 2), (0, 0)), 5), 3, 3)
    straight = net(Pad.of("straight", x, ((0, 1), (1, 1), (0, 0)), 0), 1, 1)
    net(Add.of("add", (padded, straight), np.array([[1, -2]])), 3, 3)
    return net.done()


def bursts(seed: int) -> tuple[Graph, Plan]:
    """A pool gives a row at once, and the layer behind it takes twice as long a place: a chain that needs a queue."""
    net = Built((4, 16, 2), -4, 3, seed)
    pool = net(Pool.of("pool", net.nodes[0], "max", Window.of((2, 2), (2, 2))), 2, 2, SEPARATE)
    net(Dense.of("dense", pool, net.rng.integers(-2, 3, (4, 2))), 1, 2, "multiply")
    return net.done(even=True)


def shrinking(seed: int) -> tuple[Graph, Plan]:
    """A window so wide that its buffer has less room at a row's start than at the end of that before."""
    net = Built((5, 2, 1), 0, 1, seed)
    branches = []
    for name, kernel, pads in (("wide", (1, 7), ((0, 0), (6, 6))), ("high", (5, 1), ((0, 4), (3, 3)))):
        net.folds[f"{name}_window"] = NodePlan("unfold", Folding(1, 1))
        weight, places = net.rng.integers(-2, 3, (1, *kernel, 1)), kernel[0] * kernel[1]
        conv = Conv.of(name, net.nodes[0], weight, np.zeros(1, np.int64), Window(kernel, (1, 1), (1, 1), pads))
        branches.append(net(conv, 1, places, "multiply"))
    net(Add.of("add", tuple(branches), np.array([[1, 1]])), 1, 1)
    return net.done()


def forked(seed: int) -> tuple[Graph, Plan]:
    """A fork behind a part whose `ready` is a register, so that no slice stands between them."""
    net = Built((3, 4), -2, 1, seed)
    dense = net(Dense.of("dense", net.nodes[0], net.rng.integers(-1, 2, (4, 4))), 2, 4, "multiply")
    scaled = net(Add.of("scaled", (dense,), np.array([[3]])), 2, 2)
    net(Add.of("sum", (scaled, dense), np.array([[1, 2]])), 2, 2)
    return net.done()


NETWORKS: dict[str, Callable[[int], tuple[Graph, Plan]]] = {
    "residual": residual,
    "per_channel": per_channel,
    "product": product,
    "joined_channels": joined(2, 2),
    "joined_columns": joined(1, 3),
    "joined_rows": joined(0, 4),
    "nested": nested,
    "diamond": diamond,
    "upsampled": upsampled,
    "split": split,
    "turned": turned,
    "bursts": bursts,
    "shrinking": shrinking,
    "forked": forked,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_ready_passes_few_parts(name: str) -> None:
    """Through joins too, by each of their inputs. Forks and slices are none."""
    graph, plan = NETWORKS[name](1)
    passed = {-1: 0}
    for place in Assembly(graph, plan).placed(plan.queues):
        before = 0 if place.cuts_ready else max(passed[wire.part] for wire in place.takes)
        passed[place.number] = before + (not isinstance(place.part.component, Fork | Slice))
        assert passed[place.number] <= READY_PATH, place.part.name


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_graph(name: str) -> None:
    graph, plan = NETWORKS[name](1)
    check(lambda: Network(graph, plan), graph.evaluate, seed=2)


@pytest.mark.parametrize("name", NETWORKS)
def test_cycles_and_occupancies_are_predicted(name: str) -> None:
    """Latency, intervals and, in every cycle, how full every queue is."""
    graph, plan = NETWORKS[name](1)
    network = Network(graph, plan)
    samples, per_in, per_out = drawn(network.i_beats.type, 4, 5), network.i_beats.per_frame, network.o_beats.per_frame
    assert run(Network(graph, plan), samples).times == simulate(network.tokens(), per_in, per_out, 4)
    assert len(network.queues) == sum(depth > 0 for depth in plan.queues.values())


FOR_STALLS = ("shrinking",)  # networks that are as fast with less, as long as nothing stalls


@pytest.mark.parametrize("name", NETWORKS)
def test_depths_are_the_least(name: str) -> None:
    """One beat less in any queue is a longer latency or interval, or a deadlock."""
    graph, plan = NETWORKS[name](1)
    best = Network(graph, plan).timing()
    for queue, depth in plan.queues.items():
        if depth == 0:
            continue
        less = Plan(plan.device, plan.nodes, (), {**plan.queues, queue: depth - 1 if depth > 2 else 0})
        network = Network(graph, less)
        beats = network.i_beats.per_frame, network.o_beats.per_frame
        if name in FOR_STALLS and not goes_on(Machine(network.tokens().tight), *beats):
            continue
        try:
            timing = network.timing()
        except PlanError:
            continue
        assert timing.latency > best.latency or timing.interval > best.interval, queue
    ample = Plan(plan.device, plan.nodes, (), dict.fromkeys(plan.queues, 10_000))
    unbounded = Network(graph, ample).timing()
    assert best.latency <= unbounded.latency and best.interval <= unbounded.interval


ADVERSARIES = {
    "long_stalls": lambda cycle, rng: (cycle // 97 % 2 == 0, cycle // 61 % 3 == 0),
    "one_at_a_time": lambda cycle, rng: (cycle % 41 == 0, cycle % 53 == 0),
    "bursts": lambda cycle, rng: (rng.random() < (0.05 if cycle // 200 % 2 else 0.95), rng.random() < 0.5),
    "slow_source": lambda cycle, rng: (cycle % 41 == 0, True),
    "late_sink": lambda cycle, rng: (True, cycle > 3000),
    "late_source": lambda cycle, rng: (cycle > 500 and cycle % 7 < 2, True),
}


@pytest.mark.parametrize("pattern", ADVERSARIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_stalls_deadlock(name: str, pattern: str) -> None:
    """All frames come out at any pattern of stalls, the last ones too though nothing follows them."""
    graph, plan = NETWORKS[name](1)
    network = Network(graph, plan)
    machine, rng = Machine(network.tokens()), random.Random(7)
    frames, fed, given, offered = 5, 0, 0, False
    for cycle in range(200_000):
        valid, ready = ADVERSARIES[pattern](cycle, rng)
        offered = offered or (valid and fed < frames * network.i_beats.per_frame)
        o_valid, accepted = machine.settle(offered, ready)
        machine.tick()
        if offered and accepted:
            fed, offered = fed + 1, False
        given += o_valid and ready
        if given == frames * network.o_beats.per_frame:
            return
    raise AssertionError(f"{given} of {frames * network.o_beats.per_frame} beats came out")


ON_HARDWARE = [
    pytest.param(name, marks=[] if name == "forked" else [pytest.mark.slow])
    for name in ("forked", "per_channel", "diamond", "residual")
]


@pytest.mark.parametrize("pattern", ADVERSARIES)
@pytest.mark.parametrize("name", ON_HARDWARE)
def test_hardware_is_its_twin_at_any_stalls(name: str, pattern: str) -> None:
    """The outputs are the graph's, and in every cycle queues are as full as the twin's."""
    graph, plan = NETWORKS[name](1)
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 2, 5)
    assert network.queues
    np.testing.assert_array_equal(run(network, samples, ADVERSARIES[pattern], seed=7).outputs, graph.evaluate(samples))


JOINTS: dict[str, Callable[[Node, Node], Node]] = {
    "add": lambda x, z: Add.of("y", (x, z), np.array([[3, -5]]), np.array([7])),
    "add_per_channel": lambda x, z: Add.of("y", (z, x, x), np.arange(-9, 9).reshape(6, 3), np.arange(6)),
    "multiply": lambda x, z: Multiply.of("y", x, z),
    "concat_rows": lambda x, z: Concat.of("y", (x, z), 0),
    "concat_columns": lambda x, z: Concat.of("y", (x, z), 1),
    "concat_channels": lambda x, z: Concat.of("y", (z, x), 2),
}
SWEEP = [
    pytest.param(kind, lanes, marks=[] if lanes == quick else [pytest.mark.slow])
    for kind in JOINTS
    for quick, sweep in [(2, (1, 2, 6)) if kind == "concat_channels" else (4, (1, 2, 4, 6))]
    for lanes in sweep
]


@pytest.mark.parametrize(("kind", "lanes"), SWEEP)
def test_joints_at_any_lanes(kind: str, lanes: int) -> None:
    """Of x and of a layer's results, which are twice as many where channels are joined."""
    net = Built((2, 3, 6), -4, 3, 8)
    weight = net.rng.integers(-3, 4, (12 if kind == "concat_channels" else 6, 6))
    dense = net(Dense.of("dense", net.nodes[0], weight), 3, 2, "multiply")
    net(JOINTS[kind](net.nodes[0], dense), lanes, lanes)
    graph, plan = net.done()
    check(lambda: Network(graph, plan), graph.evaluate, seed=9, frames=2)


def test_a_queue_too_shallow_is_a_deadlock_that_is_named() -> None:
    graph, plan = residual(1)
    shallow = Plan(plan.device, plan.nodes, (), dict.fromkeys(plan.queues, 0))
    with pytest.raises(PlanError, match="deadlock"):
        Network(graph, shallow).timing()


def test_a_plan_without_queues_is_refused() -> None:
    graph, plan = residual(1)
    with pytest.raises(PlanError, match=r"queues \['add:0', 'add:1'\]"):
        Network(graph, Plan(plan.device, plan.nodes))


def test_a_queue_evens_bursts_out() -> None:
    """With it the interval is that of the slowest node, without it nodes wait for one another."""
    graph, plan = bursts(1)
    network, without = Network(graph, plan), Network(graph, sized(graph, Plan(plan.device, plan.nodes)))
    assert {name for name, depth in plan.queues.items() if depth} == {"dense:0"}
    assert network.timing().interval == network.cost.cycles < without.timing().interval


def test_where_a_source_that_waits_is_better_the_interval_is_of_one_that_does_not() -> None:
    """A rigid pipeline keeps gaps: the rare case in which frames that come as they are needed are done sooner."""
    graph, plan = product(1)
    folds = {"gate": NodePlan("multiply", Folding(2, 6)), "product": plan.nodes["product"]}
    network = Network(graph, Plan(plan.device, folds, (), {"product:0": 5, "product:1": 5}))
    row, beats_in, beats_out = network.tokens(), network.i_beats.per_frame, network.o_beats.per_frame
    ends = [end for _, end in simulate(row, beats_in, beats_out, 40)]
    assert network.timing().interval == -(-(ends[-1] - ends[-13]) // 12) == 26  # after 26, 25 and 25 cycles
    assert paced(row, beats_in, beats_out, network.cost.cycles).interval == network.cost.cycles == 24
