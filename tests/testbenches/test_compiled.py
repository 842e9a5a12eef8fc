"""The compiled bench: its cycles are cocotb's and the token model's, in one process or several; nothing is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.frontend.ir import Type
from lutwright.hdl import emit
from lutwright.hdl.beats import Beats
from lutwright.hdl.network import Network
from lutwright.hdl.timing import simulate as predicted
from lutwright.proof import compare_cycles
from lutwright.testbenches.cocotb_run import Simulator
from lutwright.testbenches.compiled import stream_frames
from lutwright.testbenches.runner import simulate

from ..hdl.networks import drawn, random_network
from ..hdl.test_branch import bursts

HANGING = """module dut (input clk, input rst, input [4:0] i_payload, input i_valid, output i_ready,
    output [4:0] o_payload, output o_valid, input o_ready);
    assign i_ready = 0; assign o_valid = 0; assign o_payload = 0;
    endmodule"""
PASSING = """module dut (input clk, input rst, input [4:0] i_payload, input i_valid, output i_ready,
    output [4:0] o_payload, output o_valid, input o_ready);
    assign i_ready = o_ready; assign o_valid = i_valid; assign o_payload = i_payload;
    endmodule"""


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_cycles_are_those_of_the_token_model(processes: int) -> None:
    graph, plan = random_network(61)
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 10, 0)
    beats = network.i_beats, network.o_beats
    reports = list[tuple[int, int, float]]()
    ran = stream_frames(
        emit.verilog(network, "dut"), "dut", *beats, samples, processes=processes,
        report=lambda *counts: reports.append(counts),
    )  # fmt: skip
    assert ran.slices == {1: (10,), 3: (4, 3, 3)}[processes]
    golden = graph.evaluate(samples.reshape(len(samples), *graph.input.type.shape))
    np.testing.assert_array_equal(ran.outputs, golden.reshape(ran.outputs.shape))
    times = [
        time
        for frames in ran.slices
        for time in predicted(network.tokens(), *(side.per_frame for side in beats), frames)
    ]
    assert list(zip(ran.first_in.tolist(), ran.last_out.tolist(), strict=True)) == times
    assert compare_cycles(network.course, ran).mismatches == 0
    assert (ran.latency, ran.interval) == (network.timing().latency, network.timing().interval)
    assert ran.speed is not None
    ends = np.split(ran.last_out, np.cumsum(ran.slices)[:-1])
    assert ran.speed.cycles == sum(int(last[-1]) + 1 for last in ends)
    assert reports[-1][:2] == (10, 10)


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.4)])
def test_a_queue_before_a_single_input(stalls: tuple[float, float]) -> None:
    """Verilog with a queue that evens bursts out: every element, and every frame's cycle without stalls."""
    graph, plan = bursts(1)
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 12, 0)
    ran = stream_frames(
        emit.verilog(network, "dut"), "dut", network.i_beats, network.o_beats, samples, stalls=stalls, processes=1
    )
    np.testing.assert_array_equal(ran.outputs.reshape(12, -1), graph.evaluate(samples).reshape(12, -1))
    if stalls == (0.0, 0.0):
        assert compare_cycles(network.course, ran).mismatches == 0
        assert (ran.latency, ran.interval) == (network.timing().latency, network.timing().interval)


def test_more_processes_than_samples_take_one_each() -> None:
    beats, samples = Beats(Type((2,), 0, 15), 1), np.array([[3, 15], [0, 7]])
    ran = stream_frames(PASSING, "dut", beats, beats, samples, processes=3)
    np.testing.assert_array_equal(ran.outputs, samples)
    assert ran.slices == (1, 1)
    assert ran.last_beats.tolist() == [1, 1]


def test_a_frame_that_leaves_in_another_cycle_is_found() -> None:
    graph, plan = random_network(61)
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 6, 0)
    ran = stream_frames(
        emit.verilog(network, "dut"), "dut", network.i_beats, network.o_beats, samples, stalls=(0.0, 0.3), processes=1
    )
    found = compare_cycles(network.course, ran)
    assert found.elements == 6
    assert found.first is not None
    late = [int(end) for end in ran.last_beats if end not in network.course.last_beats(6)]
    assert found.first.found == late[0]


@pytest.mark.parametrize(
    ("seed", "stalls"),
    [
        (62, (0.4, 0.0)),
        pytest.param(63, (0.3, 0.4), marks=pytest.mark.slow),
        pytest.param(64, (0.0, 0.9), marks=pytest.mark.slow),
    ],
)
def test_stalls_are_those_of_cocotb(seed: int, stalls: tuple[float, float], quick_simulator: Simulator) -> None:
    """The same seed stalls the same cycles, of which cocotb's bench counts one more."""
    graph, plan = random_network(seed)
    network = Network(graph, plan)
    samples = drawn(network.i_beats.type, 8, seed)
    given = (emit.verilog(network, "dut"), "dut", network.i_beats, network.o_beats, samples)
    ran = stream_frames(*given, stalls=stalls, seed=seed, processes=1)
    other = simulate(*given, stalls=stalls, seed=seed, simulator=quick_simulator)
    np.testing.assert_array_equal(ran.outputs, other.outputs)
    np.testing.assert_array_equal(ran.first_in + 1, other.first_in)
    np.testing.assert_array_equal(ran.last_out + 1, other.last_out)
    assert (
        ran.last_out[-1] > predicted(network.tokens(), network.i_beats.per_frame, network.o_beats.per_frame, 8)[-1][1]
    )


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    beats, seen = Beats(Type((2,), 0, 15), 1), list[int]()

    def interrupt(done: int, total: int, speed: float) -> None:
        seen.append(done)
        if len(seen) > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream_frames(
            HANGING, "dut", beats, beats, drawn(beats.type, 4, 0), frame_cycles=10**12, processes=2, report=interrupt
        )
    assert seen == [0, 0]
    assert list(tmp_path.iterdir()) == []
