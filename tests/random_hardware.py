"""Random models on the whole way: ONNX, plan at random foldings, Verilog, simulator."""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from hypothesis import HealthCheck, Phase, given, seed, settings

from lutwright.errors import ImportRefused, PlanError
from lutwright.frontend.device import device
from lutwright.frontend.hardware import refusal
from lutwright.frontend.ir import Graph, Input
from lutwright.frontend.lowering import lower, takes_conv
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Concat, Dense, Reshape
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.frontend.search import Search
from lutwright.hdl import emit
from lutwright.hdl.branch import concat_lanes
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.network import Network
from lutwright.hdl.sizing import sized
from lutwright.hdl.units import units
from lutwright.testbenches.compiled import stream_frames

from .frontend.graphs import DIALECTS
from .frontend.graphs.net import Case

DEVICES = ("ecp5-85k", "ice40-hx8k", "gw2a-18")
DRAWN, WANTED = 60, 4  # of each dialect
STALLS = ((0.0, 0.0), (0.3, 0.0), (0.0, 0.5), (0.4, 0.4))


def random_plan(graph: Graph, choose: random.Random) -> Plan:
    """A plan: for each node any of its engines and components, at any folding."""
    search = Search(graph, device(choose.choice(DEVICES)), {}, {}, Cost(0, 0, 0, 0, 0))
    nodes = dict[str, NodePlan]()
    for node in search.steps:
        inputs = search.graph.types(node)
        x = inputs[0]
        if node.name in search.options:
            option = choose.choice(search.options[node.name])
            nodes[node.name] = NodePlan(option.engine, option.folding)
            if node.name in search.convs and takes_conv(option.engine):
                del nodes[node.inputs[0]]  # its window
            continue
        lanes = choose.choice(concat_lanes(node, inputs) if isinstance(node, Concat) else range(1, x.channels + 1))
        out = 1 if node.type.channels == 1 and x.channels > 1 else lanes
        nodes[node.name] = NodePlan(choose.choice(units(node, x)), Folding(out, lanes))
    return sized(graph, Plan(search.device, nodes))


def drawn(dialect: str, count: int) -> Iterator[Case]:
    """So many random models, those before that have the most operators which the ones before them have less often."""
    cases = list[Case]()

    @seed(0)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DIALECTS[dialect]())
    def draw(case: Case) -> None:
        cases.append(case)

    draw()
    had = Counter[str]()
    while cases:
        best = max(cases, key=lambda case: sum(0.5 ** had[operator] for operator in set(case.operators)))
        cases.remove(best)
        had.update(set(best.operators))
        yield best


def outcome(case: Case, folder: Path, number: int) -> Counter[str]:
    """What became of the case: "simulated" with its kinds of nodes, or "refused". Raises AssertionError if the Verilog
    does not compute what the golden model does, or not in the predicted cycles."""
    choose = random.Random(number)
    onnx.save(case.model, folder / "model.onnx")
    try:
        model = load(folder / "model.onnx", case.grid)
    except (ImportRefused, PlanError):
        return Counter(["refused by the importer"])
    graph = lower(model.graph)
    if all(isinstance(node, Input | Reshape) for node in graph) or any(
        refusal(node, *graph.types(node)) for node in graph if not isinstance(node, Dense)
    ):
        return Counter(["without hardware"])
    network = Network(model.graph, random_plan(model.graph, choose))
    kind = graph.input.type
    x = np.random.default_rng(number).integers(kind.lo, kind.hi + 1, (6, *kind.shape))
    golden, stalls = model.graph.evaluate(x), choose.choice(STALLS)
    frames = x.reshape(len(x), *network.i_beats.type.shape)
    ran = stream_frames(
        emit.verilog(network, "network"), "network", network.i_beats, network.o_beats, frames,
        stalls=stalls, seed=number, processes=1, optimize=False,
    )  # fmt: skip
    story = (
        f"model {number}: {[(part.name, part.component.i_beats, part.kind) for part in network.parts]}, stalls {stalls}"
    )
    assert np.array_equal(ran.outputs.reshape(golden.shape), golden), story
    if stalls == STALLS[0]:
        assert ran.last_beats.tolist() == network.course.last_beats(len(x)).tolist(), story
    return Counter(["simulated", *{type(node).__name__ for node in graph}])


def main(dialect: str) -> None:
    """The first models of those drawn of a dialect that have hardware."""
    found = Counter[str]()
    with tempfile.TemporaryDirectory(prefix="lutwright-") as folder:
        for number, case in enumerate(drawn(dialect, DRAWN)):
            if found["simulated"] < WANTED:
                found += outcome(case, Path(folder), number)
    print(dialect, dict(found))
    assert found["simulated"] == WANTED, found


if __name__ == "__main__":
    main(sys.argv[1])
