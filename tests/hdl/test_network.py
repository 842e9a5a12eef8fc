"""A whole network equals its graph under stalls, and its timing equals the simulation's."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator, SimulatorContext

from lutwright.errors import GraphError, LutwrightError, PlanError
from lutwright.frontend.ir import Graph, Input, Node, Type
from lutwright.frontend.nodes import ArgMax, Dense, Embedding, MatMul, Reshape, Table
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network

from .checks import check
from .harness import Bench
from .memories import Memories
from .networks import DEVICE, drawn, random_network, threshold


def equals_graph(graph: Graph, plan: Plan, seed: int) -> None:
    """Rung 1 for a whole network; its frames are those inside the Reshapes at the graph's two ends."""
    check(
        lambda: Network(graph, plan),
        lambda samples: graph.evaluate(samples.reshape(len(samples), *graph.input.type.shape)),
        seed,
    )


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed: int) -> None:
    graph, plan = random_network(seed)
    equals_graph(graph, plan, seed)


@pytest.mark.parametrize("seed", range(40, 50))
def test_timing(seed: int) -> None:
    graph, plan = random_network(seed)
    network = Network(graph, plan)
    timing = network.timing()
    samples = drawn(network.i_beats.type, 24, seed)
    bench = Bench(network)
    alone, many = bench.run(samples[:1]), bench.run(samples)
    assert timing.latency == alone.last_out[0] - alone.first_in[0]
    steps = np.diff(many.last_out)[12:]
    assert timing.interval == -(-int(steps.sum()) // len(steps)), f"seed {seed}: {steps}"


def test_a_malformed_frame_spoils_no_other() -> None:
    graph, plan = single("dense")
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 4, 9)
    words = [network.i_beats.pack(sample) for sample in samples]
    words[1:1] = [words[1][:1] + words[2][-1:], words[1][:2] * 4 + words[2][-1:]]  # one too short, one too long
    payloads = [word for frame in words for word in frame]
    found: list[int] = []

    async def bench(ctx: SimulatorContext) -> None:
        fed = 0
        ctx.set(network.o.ready, 1)
        while len(found) < len(words) * network.o_beats.per_frame:
            ctx.set(network.i.valid, fed < len(payloads))
            ctx.set(network.i.payload.as_value(), payloads[min(fed, len(payloads) - 1)])
            if ctx.get(network.o.valid):
                found.append(ctx.get(network.o.payload.as_value()))
            fed += ctx.get(network.i.valid & network.i.ready)
            await ctx.tick()

    simulator = Simulator(Fragment.get(network, Memories(0)))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    size = network.o_beats.per_frame
    outputs = [network.o_beats.unpack(found[start : start + size]) for start in range(0, len(found), size)]
    np.testing.assert_array_equal([outputs[0], *outputs[3:]], graph.evaluate(samples))


def source(channels: int, hi: int = 7, lo: int = 0) -> Input:
    return Input("in", (), Type((channels,), lo, hi))


def single(kind: str) -> tuple[Graph, Plan]:
    rng, x = np.random.default_rng(5), source(7)
    nodes: dict[str, Node] = {
        "threshold": threshold("node", x, 3, rng),
        "table": Table.of("node", x, rng.integers(-9, 9, (7, 8))),
        "embedding": Embedding.of("node", x, rng.integers(-9, 9, (8, 5)), 0),
        "argmax": ArgMax.of("node", x),
        "dense": Dense.of("node", x, rng.integers(-2, 3, (5, 7))),
    }
    folding = {"argmax": Folding(1, 3), "embedding": Folding(3, 1)}.get(kind, Folding(3, 3))
    return Graph((x, nodes[kind]), "node"), Plan(DEVICE, {"node": NodePlan("multiply", folding)})


@pytest.mark.parametrize("kind", ["threshold", "table", "embedding", "argmax", "dense"])
def test_one_node(kind: str) -> None:
    equals_graph(*single(kind), seed=3)


def test_parts_are_named_after_nodes_and_their_cycles_bound_the_interval() -> None:
    x = source(12, 1)
    first = Dense.of("fc/1", x, np.random.default_rng(0).choice((-1, 1), (10, 12)))
    second = ArgMax.of("fc.1", first)
    plan = Plan(DEVICE, {"fc/1": NodePlan("xnor", Folding(2, 3)), "fc.1": NodePlan("", Folding(1, 1))})
    network = Network(Graph((x, first, second), "fc.1"), plan)
    assert [(part.name, part.kind, part.cycles) for part in network.parts] == [
        ("guard", "FrameGuard", 4),
        ("fc_1", "FoldedDense", 20),
        ("fc_1_serializer", "Serializer", 10),
        ("fc_1_slice", "Slice", 10),
        ("fc_1_", "ArgMaxUnit", 10),
    ]
    assert network.timing().interval == 20


def refusals() -> list[tuple[str, Graph, Plan, type[LutwrightError], str]]:
    x = source(4)
    dense = Dense.of("dense", x, np.ones((4, 4), dtype=np.int64) * 5)
    aside = Dense.of("aside", x, np.ones((4, 4), dtype=np.int64))
    both = MatMul.of("both", square := Reshape.of("square", x, (2, 2)), square)
    step = threshold("step", x, 1, np.random.default_rng(0))
    rows = Embedding.of("rows", x, np.arange(24).reshape(8, 3), 0)

    def plan(name: str, engine: str = "multiply", pe: int = 1, simd: int = 1) -> Plan:
        return Plan(DEVICE, {name: NodePlan(engine, Folding(pe, simd))})

    return [
        ("product", Graph((x, square, both), "both"), plan("both"), GraphError, "'both', a MatMul"),
        ("branch", Graph((x, dense, aside), "dense"), plan("dense"), GraphError, "aside"),
        ("nothing", Graph((x,), "in"), plan("in"), GraphError, "must compute something"),
        ("no plan", Graph((x, dense), "dense"), plan("other"), PlanError, "'dense'"),
        ("no engine", Graph((x, dense), "dense"), plan("dense", "none"), PlanError, "'dense' must be one of"),
        ("unfit engine", Graph((x, dense), "dense"), plan("dense", "xnor"), PlanError, "can't compute 'dense'"),
        ("zero lanes", Graph((x, dense), "dense"), plan("dense", pe=0), PlanError, "'dense' must be at least 1x1"),
        ("lanes", Graph((x, step), "step"), plan("step", "", 1, 2), PlanError, "'step'"),
        ("indices", Graph((x, rows), "rows"), plan("rows", "", 3, 2), PlanError, "'rows' must take one index"),
    ]


@pytest.mark.parametrize(("graph", "plan", "error", "text"), [pytest.param(*c, id=n) for n, *c in refusals()])
def test_refusals(graph: Graph, plan: Plan, error: type[LutwrightError], text: str) -> None:
    with pytest.raises(error, match=text):
        Network(graph, plan)


def test_slices_cut_long_paths_of_ready_where_beats_are_narrow() -> None:
    """A row without an engine whose `ready` depends on state alone: one fold of rows, and thresholds of one bit."""
    rng = np.random.default_rng(0)
    nodes: list[Node] = [source(6, 1)]
    folds: dict[str, NodePlan] = {}
    for layer in range(3):
        dense = Dense.of(f"dense{layer}", nodes[-1], rng.choice((-1, 1), (6, 6)))
        bits = threshold(f"bits{layer}", dense, 1, rng)
        nodes += [dense, bits]
        folds |= {dense.name: NodePlan("xnor", Folding(6, 6)), bits.name: NodePlan("", Folding(6, 6))}
    graph, plan = Graph(tuple(nodes), "bits2"), Plan(DEVICE, folds)
    parts = Network(graph, plan).parts
    assert [part.name for part in parts] == [
        "guard", "dense0_slice", "dense0", "bits0", "dense1_slice", "dense1", "bits1", "dense2_slice", "dense2", "bits2"
    ]  # fmt: skip
    equals_graph(graph, plan, seed=0)
