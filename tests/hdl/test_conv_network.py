"""Convolutional networks in a chain: equal to the golden model under stalls, in the cycles that the twins predict."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Conv, Dense, Pool, Reshape, Threshold
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Goal, Latency, NodePlan, Smallest
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.hdl.timing import simulate

from ..frontend.builder import Net
from ..frontend.onnx_graphs import imported
from .checks import check
from .grid import WindowCase, drawn
from .harness import run

PAD = ((1, 1), (1, 1))
PLANS: list[tuple[str, Goal | None, dict[str, str]]] = [
    ("ice40-hx8k", Smallest(), {}),
    ("ecp5-25k", None, {}),
    ("ecp5-25k", Latency(), {"act0": "requantize"}),
    ("ecp5-25k", Smallest(), {"conv0_window": "parallel", "conv2_window": "parallel", "pool": "pool"}),
    ("ecp5-25k", None, {"conv0": "winograd:m=2"}),
    ("ice40-hx8k", Smallest(), {"conv0": "winograd:m=4"}),
]


def network(seed: int) -> Graph:
    """conv 3x3, 16 levels, depthwise 3x3, 4 levels, max pool, grouped 1x3, dense."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input("x", (), Type((6, 5, 3), -4, 3))]

    def levels(name: str, count: int) -> None:
        """A staircase with steps of one height: in fixed point too."""
        kind = nodes[-1].type
        points = np.linspace(kind.lo * 0.6, kind.hi * 0.6, count).round().astype(np.int64)
        nodes.append(Threshold.of(name, nodes[-1], points[np.newaxis], np.zeros(1, np.int64), np.ones(1, np.int64)))

    def conv(name: str, outer: int, kernel: tuple[int, int], groups: int, window: Window, fill: int) -> None:
        inner = nodes[-1].type.channels // groups
        weight = rng.integers(-3, 4, (outer, *kernel, inner))
        nodes.append(Conv.of(name, nodes[-1], weight, rng.integers(-5, 6, outer), window, groups, fill))

    conv("conv0", 4, (3, 3), 1, Window((3, 3), (1, 1), (1, 1), PAD), -1)
    levels("act0", 15)
    conv("conv1", 4, (3, 3), 4, Window((3, 3), (1, 1), (1, 1), PAD), 0)
    levels("act1", 3)
    nodes.append(Pool.of("pool", nodes[-1], "max", Window((2, 2), (2, 2), (1, 1), ((0, 0), (0, 1)))))
    conv("conv2", 2, (1, 3), 2, Window((1, 3), (1, 1), (1, 1), ((0, 0), (0, 0))), 0)
    nodes.append(Reshape.of("flat", nodes[-1], (nodes[-1].type.size,)))
    nodes.append(Dense.of("dense", nodes[-1], rng.integers(-3, 4, (5, nodes[-1].type.size))))
    return verify(Graph(tuple(nodes), "dense"))


@pytest.mark.parametrize(("name", "goal", "pins"), PLANS, ids=lambda value: str(value))
def test_network(name: str, goal: Goal | None, pins: dict[str, str]) -> None:
    graph = network(0)
    chosen = plan(graph, device(name), goal, engines=pins)
    check(lambda: Network(graph, chosen), graph.evaluate, seed=4, frames=2)


def check_planned(case: WindowCase, graph: Graph) -> None:
    """Equal to the graph as planned for any goal and family."""
    name, goal = PLANS[case.x.size % len(PLANS)][:2]
    chosen = plan(graph, device(name), goal)
    check(lambda: Network(graph, chosen), graph.evaluate, seed=4, frames=2)


CONVS = drawn(seed=23, quick=3, slow=18, accepts=lambda case: case.held[1] > 0)


@pytest.mark.parametrize("case", CONVS)
def test_matrix(case: WindowCase) -> None:
    rng, groups = np.random.default_rng(5), case.groups
    weight = rng.integers(-3, 4, (groups * case.lanes, *case.window.kernel, case.x.channels // groups))
    bias = rng.integers(-5, 6, len(weight))
    x = Input("x", (), case.x)
    check_planned(case, verify(Graph((x, Conv.of("y", x, weight, bias, case.window, groups, case.fill)), "y")))


def is_small(case: WindowCase) -> bool:
    """In products, of which a ConvTranspose has the kernel's and the channels' at every place of x."""
    products = case.x.size * math.prod(case.window.kernel) * multiplier(case)
    return case.held[1] > 0 and products <= 2800


def multiplier(case: WindowCase) -> int:
    """Results of a group."""
    return 2 - case.lanes % 2


TRANSPOSED = drawn(seed=24, quick=3, slow=18, accepts=is_small)


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_matrix(case: WindowCase, tmp_path: Path) -> None:
    """A ConvTranspose from the results of a window to what it slides over."""
    window, groups, size = case.window, case.groups, case.x.shape[:-1]
    given = window.output(size)
    covered = Window(window.kernel, (1,) * len(size), window.dilations, window.pads).output(size)
    net = Net(case.x.channels, *given)
    weight = np.random.default_rng(6).integers(-3, 4, (case.x.channels, multiplier(case), *window.kernel))
    y = net.op(
        "ConvTranspose",
        net.quant("input", bits=3),
        weight.astype(np.float32),
        group=groups,
        strides=window.strides,
        dilations=window.dilations,
        pads=[before for before, _ in window.pads] + [after for _, after in window.pads],
        output_padding=[(count - 1) % stride for count, stride in zip(covered, window.strides, strict=True)],
    )
    graph = imported(net.model(y), tmp_path).graph
    assert graph[graph.output].type.size == math.prod(size) * groups * weight.shape[1]
    check_planned(case, graph)


@pytest.mark.parametrize(("name", "goal", "pins"), PLANS, ids=lambda value: str(value))
def test_cycles_are_predicted(name: str, goal: Goal | None, pins: dict[str, str]) -> None:
    graph = network(0)
    dut = Network(graph, plan(graph, device(name), goal, engines=pins))
    samples = np.random.default_rng(1).integers(-4, 4, (3, 6, 5, 3))
    assert run(dut, samples).times == simulate(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame, 3)


def test_a_convolution_of_tiles_is_pinned_where_it_can_be() -> None:
    graph = network(0)
    for pinned, chosen in (("winograd:m=4", "winograd:m=4"), ("winograd", "winograd:m=2")):
        assert plan(graph, device("ecp5-25k"), Smallest(), engines={"conv0": pinned}).nodes["conv0"].engine == chosen
    for name, text in (("conv1", "must be one of conv, .* not 'winograd:m=2'"), ("conv2", "conv2.* 2 groups")):
        with pytest.raises(PlanError, match=text):
            plan(graph, device("ecp5-25k"), engines={name: "winograd:m=2"})
    with pytest.raises(PlanError, match=r"must be one of .*winograd:m=4,.* not 'winograd:m=3'"):
        plan(graph, device("ecp5-25k"), engines={"conv0": "winograd:m=3"})


def test_components_are_chosen_for_the_goal() -> None:
    graph = network(0)
    small, quick = (plan(graph, device("ecp5-25k"), goal).nodes for goal in (Smallest(), Latency()))
    assert small["conv0_window"].engine == "unfold"
    assert quick["conv0_window"] == NodePlan("parallel", Folding(27, 3))
    assert small["pool"].engine == quick["pool"].engine == "separate"


@pytest.mark.parametrize(
    ("engines", "folds", "text"),
    [
        ({"conv0_window": "parallel"}, {"conv0_window": Folding(3, 3)}, "or be 27x3 with --engine conv0_window="),
        ({}, {"conv0_window": Folding(2, 2)}, "divide its 3 channels"),
        ({}, {"pool": Folding(1, 2)}, "as many lanes out as in"),
        ({"conv1": "separate"}, {}, "must be one of conv, .*, not 'separate'"),
    ],
)
def test_pins_that_no_window_has(engines: dict[str, str], folds: dict[str, Folding], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        plan(network(0), device("ecp5-25k"), Smallest(), engines=engines, folds=folds)
