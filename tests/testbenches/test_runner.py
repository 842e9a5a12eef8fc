"""The Verilog bench: whole networks equal their graphs in real simulators, and what is wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from lutwright.errors import ToolError
from lutwright.frontend.ir import Graph, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl import emit
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.proof import Comparison
from lutwright.testbenches.compiled import stream_frames
from lutwright.testbenches.runner import Simulation, simulate

from ..hdl.networks import DEVICE, drawn, random_network

Run = Callable[..., Simulation]
RUNS = [
    pytest.param(simulate, marks=pytest.mark.slow, id="verilator"),
    pytest.param(partial(simulate, simulator="icarus"), marks=pytest.mark.icarus, id="icarus"),
    pytest.param(stream_frames, id="compiled"),
]
STALLS = [(0.0, 0.0), (0.5, 0.0), (0.3, 0.4)]


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("seed", range(60, 66))
def test_verilog_is_the_graph(seed: int, run: Run) -> None:
    graph, plan = random_network(seed)
    network, stalls = Network(graph, plan), STALLS[seed % 3]
    samples = drawn(network.i_beats.type, 24, seed)
    timing = network.timing()
    verilog = emit.verilog(network, "dut")
    ran = run(verilog, "dut", network.i_beats, network.o_beats, samples, stalls=stalls, seed=seed)
    golden = graph.evaluate(samples.reshape(len(samples), *graph.input.type.shape))
    np.testing.assert_array_equal(ran.outputs, golden.reshape(ran.outputs.shape), err_msg=f"seed {seed}")
    if stalls == (0.0, 0.0):
        assert (ran.latency, ran.interval) == (timing.latency, timing.interval)


def dense(weight: np.ndarray) -> tuple[Graph, Network]:
    x = Input("in", (), Type((4,), 0, 3))
    node = Dense.of("fc", x, weight)
    return (graph := Graph((x, node), "fc")), Network(graph, Plan(DEVICE, {"fc": NodePlan("multiply", Folding(1, 2))}))


@pytest.mark.parametrize("run", RUNS)
def test_a_wrong_weight_is_found_with_its_place(run: Run) -> None:
    weight = np.arange(12).reshape(3, 4) - 5
    graph, _ = dense(weight)
    weight = weight.copy()
    weight[1, 2] += 1
    _, network = dense(weight)
    samples = drawn(graph.input.type, 8, 0)
    samples[:3, 2], samples[3, 2] = 0, 1
    outputs = run(emit.verilog(network, "dut"), "dut", network.i_beats, network.o_beats, samples).outputs
    found = Comparison.of("node 'fc'", graph.evaluate(samples), outputs)
    assert found.mismatches == np.count_nonzero(samples[:, 2])
    assert found.first is not None
    assert (found.first.sample, found.first.index) == (3, (1,))


BEATS = Beats(Type((2,), 0, 15), 1)
WRONG = [
    ("hung", "assign i_ready = 1; assign o_valid = 0; assign o_payload = 0;", "hung"),
    (
        "valid drops",
        "reg t; always @(posedge clk) t <= rst ? 0 : !t; assign i_ready = 1; assign o_valid = t; assign o_payload = 0;",
        "changed before o_ready",
    ),
    (
        "payload changes",
        "reg [4:0] c; always @(posedge clk) c <= rst ? 0 : c + 1;"
        " assign i_ready = 1; assign o_valid = 1; assign o_payload = c;",
        "changed before o_ready",
    ),
    ("no last", "assign i_ready = o_ready; assign o_valid = i_valid; assign o_payload = i_payload & 15;", "'last'"),
]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("body", "says"), [pytest.param(*case[1:], id=case[0]) for case in WRONG])
def test_a_module_that_breaks_the_rules_of_streams_is_refused(body: str, says: str, run: Run) -> None:
    verilog = f"""module dut (input clk, input rst, input [4:0] i_payload, input i_valid, output i_ready,
        output [4:0] o_payload, output o_valid, input o_ready);
        {body}
        endmodule"""
    with pytest.raises(ToolError, match=says):
        run(verilog, "dut", BEATS, BEATS, drawn(BEATS.type, 6, 0), stalls=(0.2, 0.5), frame_cycles=50)


@pytest.mark.parametrize("run", RUNS)
def test_verilog_that_is_none_is_refused_with_the_simulators_words(run: Run) -> None:
    with pytest.raises(ToolError, match="syntax error"):
        run("module dut (; endmodule", "dut", BEATS, BEATS, drawn(BEATS.type, 1, 0))
