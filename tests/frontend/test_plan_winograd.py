"""The planner's choice between a convolution's window with a dense layer and Winograd's filters."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Add, Clamp, Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Fps, Smallest
from lutwright.hdl import emit
from lutwright.hdl.network import Network
from lutwright.testbenches.compiled import stream_frames

SAME = Window.of((3, 3), pads=((1, 1), (1, 1)))
ECP5 = device("ecp5-85k")


def conv(name: str, source: Node, channels: int, seed: int) -> Conv:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (channels, 3, 3, source.type.channels))
    return Conv.of(name, source, weight, rng.integers(-999, 999, channels), SAME)


def blocks(size: int, channels: int, count: int) -> Graph:
    """Convolutions in a row, each clamped to 8 bits."""
    nodes: list[Node] = [Input("x", (), Type((size, size, channels), -128, 127))]
    for index in range(count):
        nodes.append(conv(f"conv{index}", nodes[-1], channels, index))
        nodes.append(Clamp.of(f"clamp{index}", nodes[-1], -128, 127))
    return verify(Graph(tuple(nodes), nodes[-1].name))


def test_taken_where_multipliers_bind() -> None:
    graph = blocks(16, 64, 1)
    made = plan(graph, ECP5)
    assert made.nodes["conv0"].engine.startswith("winograd:")
    assert "conv0_window" not in made.nodes
    direct = plan(graph, ECP5, engines={"conv0": "multiply_dsp"})
    assert Network(graph, made).timing().interval * 3 < 2 * Network(graph, direct).timing().interval
    assert any("conv0: winograd:" in line for line in made.explanation)


def test_not_taken_where_it_costs_more() -> None:
    made = plan(blocks(16, 64, 1), ECP5, Smallest())
    assert not made.nodes["conv0"].engine.startswith("winograd")


@pytest.mark.parametrize("pins", [{"conv0_window": "unfold"}, {"conv0": "multiply_dsp"}])
def test_pins_rule_it_out(pins: dict[str, str]) -> None:
    made = plan(blocks(16, 64, 1), ECP5, engines=pins)
    assert {name: made.nodes[name].engine for name in pins} == pins
    assert not made.nodes["conv0"].engine.startswith("winograd")


@pytest.mark.parametrize("kernel", [(7, 7), (9, 9), (1, 9), (1, 31)])
def test_filters_that_there_are_not_rule_nothing_else_out(kernel: tuple[int, int]) -> None:
    x, rng = Input("x", (), Type((12, 40, 2), -128, 127)), np.random.default_rng(0)
    window = Window.of(kernel, pads=tuple((taps // 2, taps // 2) for taps in kernel))
    weight = rng.integers(-128, 128, (2, *kernel, 2))
    graph = verify(Graph((x, Conv.of("conv", x, weight, np.zeros(2, np.int64), window)), "conv"))
    for goal in (None, Smallest()):
        assert not plan(graph, ECP5, goal).nodes["conv"].engine.startswith("winograd:m=4")
    if kernel == (1, 31):
        with pytest.raises(PlanError, match=r"no engine can build 'conv': winograd:m=2: .*13 at most"):
            plan(graph, ECP5, engines={"conv": "winograd"})


@pytest.mark.slow
@pytest.mark.parametrize("branch", [False, True])
def test_a_network_with_both_in_verilog(branch: bool) -> None:
    """Direct or not as the planner likes, then by tiles, of one branch or of one of two."""
    graph = blocks(8, 8, 2)
    if branch:
        graph = verify(
            Graph((*graph.nodes, Add.of("sum", (graph["clamp1"], graph["clamp0"]), np.ones((1, 2), np.int64))), "sum")
        )
    made = plan(graph, ECP5, Fps(25_000), engines={"conv1": "winograd"}, clock_mhz=80)
    network = Network(graph, made)
    x = np.random.default_rng(7).integers(-128, 128, (4, 8, 8, 8))
    ran = stream_frames(
        emit.verilog(network, "dut"), "dut", network.i_beats, network.o_beats, x, optimize=False, processes=1
    )
    np.testing.assert_array_equal(ran.outputs.reshape(4, 8, 8, 8), graph.evaluate(x))
