"""Rung 3: netlists of every family, with its LUTs, carries, memories and multipliers, equal the graph."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import OptionError, ToolError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Node, Type
from lutwright.frontend.nodes import ArgMax, Dense, Table
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl import emit
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.hdl.synth import synthesize
from lutwright.testbenches.netlist import plain
from lutwright.testbenches.runner import simulate

from ..hdl.networks import drawn, threshold

MULTIPLIERS = {"ice40-up5k": "SB_MAC16", "ecp5-25k": "MULT18X18D", "gw1n-9": "MULT9X9"}
MEMORIES = {
    "ice40-up5k": {"SB_RAM40_4K"},
    "ice40-hx8k": {"SB_RAM40_4K"},
    "ecp5-25k": {"DP16KD"},
    "gw1n-9": {"SP", "SPX9", "DPB", "DPX9B", "SDPB", "SDPX9B"},
}


def every_engine(name: str) -> tuple[Graph, Plan]:
    """A chain of every engine that the device has, with thresholds, a table and an ArgMax, and weights in block RAM."""
    rng = np.random.default_rng(7)
    nodes: list[Node] = [Input("in", (), Type((96,), 0, 1))]
    plans: dict[str, NodePlan] = {}

    def add(node: Node, engine: str, pe: int, simd: int) -> None:
        nodes.append(node)
        plans[node.name] = NodePlan(engine, Folding(pe, simd))

    add(Dense.of("xnor", nodes[-1], rng.choice((-1, 1), (96, 96))), "xnor", 2, 9)
    add(threshold("steps", nodes[-1], 3, rng), "", 2, 2)
    add(Dense.of("addsub", nodes[-1], rng.choice((-1, 0, 1), (40, 96))), "addsub", 3, 4)
    add(threshold("more", nodes[-1], 15, rng), "", 1, 1)
    fast = "multiply_dsp" if name in MULTIPLIERS else "multiply"
    add(Dense.of("product", nodes[-1], rng.integers(-128, 128, (24, 40))), fast, 2, 2)
    add(threshold("fewer", nodes[-1], 7, rng), "", 2, 2)
    add(Dense.of("multiply", nodes[-1], rng.integers(-4, 4, (20, 24))), "multiply", 4, 3)
    add(threshold("three", nodes[-1], 3, rng), "", 2, 2)
    add(Table.of("table", nodes[-1], rng.integers(-2, 2, (20, 4))), "", 2, 2)
    add(Dense.of("spatial", nodes[-1], rng.integers(-3, 4, (6, 20))), "spatial", 6, 20)
    add(ArgMax.of("class", nodes[-1]), "", 1, 2)
    return Graph(tuple(nodes), "class"), Plan(device(name), plans)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORIES)
def test_netlist_is_the_graph(name: str) -> None:
    graph, plan = every_engine(name)
    network, family = Network(graph, plan), device(name).family
    mapped = synthesize(emit.rtlil(network, "dut"), "dut", device(name))
    assert MEMORIES[name] & set(mapped.total.cells), "weights must be in block RAM"
    assert mapped.total.carry > 0
    if name in MULTIPLIERS:
        assert mapped.total.cells[MULTIPLIERS[name]] == 4
    samples, beats = drawn(graph.input.type, 40, 1), (network.i_beats, network.o_beats)
    ran = simulate(plain(mapped.netlist, "dut", family), "dut", *beats, samples, stalls=(0.3, 0.3))
    np.testing.assert_array_equal(ran.outputs, graph.evaluate(samples))


def test_a_cell_without_a_model_is_named() -> None:
    netlist = "module \\dut\n  wire input 1 \\a\n  cell \\SOMETHING \\cell\n    connect \\A \\a\n  end\nend\n"
    with pytest.raises(ToolError, match="SOMETHING"):
        plain(netlist, "dut", "ecp5")


def test_a_family_without_models_is_refused() -> None:
    with pytest.raises(OptionError, match="ice40, ecp5, gowin"):
        plain("", "dut", "xc7")
