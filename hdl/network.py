"""A whole graph as one component."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from amaranth import Module
from amaranth.lib import wiring

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Graph, Input, Node, Type
from lutwright.frontend.lowering import lower, slides
from lutwright.frontend.nodes import ArgMax, Conv, Dense, Pool, Reshape, Table, Threshold, Unfold
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.adapt import adapters
from lutwright.hdl.argmax import ArgMaxUnit
from lutwright.hdl.engines.base import Cost, StreamComponent
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.fifo import Slice
from lutwright.hdl.guard import FrameGuard
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.requantize import REQUANTIZE, RequantizeUnit
from lutwright.hdl.table import TableUnit
from lutwright.hdl.threshold import ThresholdUnit
from lutwright.hdl.timing import Chain, Control, Timing, measure
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow

READY_PATH = 2


@dataclass(frozen=True)
class Part:
    """A component of a network: its name there, itself, its predicted cost, and the node that it computes, if any."""

    name: str
    component: StreamComponent
    cost: Cost
    node: str | None = None

    @property
    def kind(self) -> str:
        return type(self.component).__name__

    @property
    def cycles(self) -> int:
        """Cycles a frame when nothing stalls it, exact."""
        part = self.component
        return measure(lambda: [part.control()], part.i_beats.per_frame, part.o_beats.per_frame).interval


def chain(graph: Graph) -> tuple[Node, ...]:
    """The nodes from the input to the output; GraphError if there are others, or one has several inputs."""
    path = [graph[graph.output]]
    while not isinstance(path[-1], Input):
        node = path[-1]
        if len(node.inputs) != 1:
            raise GraphError(
                f"'{node.name}' must have one input, not {list(node.inputs)}: hardware is a chain of nodes"
            )
        path.append(graph[node.inputs[0]])
    aside = [node.name for node in graph if node not in path]
    if aside:
        raise GraphError(f"every node must lead to '{graph.output}' in one chain, {aside} do not: remove the unused")
    return tuple(reversed(path))


def work(graph: Graph) -> tuple[tuple[Node, Type], ...]:
    """The nodes that need hardware, in order, each with its input's Type. A Reshape needs none."""
    nodes = tuple((node, graph.types(node)[0]) for node in chain(graph)[1:] if not isinstance(node, Reshape))
    if not nodes:
        raise GraphError(f"the graph must compute something, but '{graph.output}' only passes '{graph.input.name}' on")
    return nodes


def planned(node: Node, plan: Plan) -> NodePlan:
    """What the plan has for a node; PlanError if that can't be."""
    if node.name not in plan.nodes:
        raise PlanError(f"the plan must have a folding for '{node.name}', it has {sorted(plan.nodes)}")
    choice = plan.nodes[node.name]
    if min(choice.folding.pe, choice.folding.simd) < 1:
        raise PlanError(f"the folding of '{node.name}' must be at least 1x1, not {choice.folding}")
    if isinstance(node, Threshold | Table | Unfold | Pool | Conv) and choice.folding.pe != choice.folding.simd:
        raise PlanError(f"'{node.name}' must have as many lanes out as in, not {choice.folding}")
    return choice


def computing(node: Node, x: Type, plan: Plan) -> Part:
    """The component that computes `node` of an input of Type `x` as `plan` has it."""
    match node:
        case Dense():
            choice = planned(node, plan)
            if choice.engine not in engines():
                known = ", ".join(engines())
                raise PlanError(f"the engine of '{node.name}' must be one of {known}, not '{choice.engine}'")
            engine = engines()[choice.engine]
            if reason := engine.supports(node, x, plan.device):
                raise PlanError(f"the engine '{choice.engine}' can't compute '{node.name}': {reason}. Choose another")
            cost = engine.cost(node, x, choice.folding, plan.device)
            return Part(node.name, engine.build(node, x, choice.folding, plan.device), cost, node.name)
        case Threshold() if planned(node, plan).engine == REQUANTIZE:
            unit: Unit = RequantizeUnit(node, x, planned(node, plan).folding.simd)
        case Threshold():
            unit = ThresholdUnit(node, x, planned(node, plan).folding.simd)
        case Table():
            unit = TableUnit(node, x, planned(node, plan).folding.simd)
        case Unfold():
            unit = SlidingWindow(x, node.window, planned(node, plan).folding.simd, node.pad_value)
        case Pool() | Conv() if slides(node):
            unit = WindowReduce(node, x, planned(node, plan).folding.simd)
        case ArgMax():
            unit = ArgMaxUnit(node, x, planned(node, plan).folding.simd)
        case _:
            known = "Dense, Threshold, Table, ArgMax, Unfold, Pool, depthwise Conv and Reshape"
            raise GraphError(f"'{node.name}' is a {type(node).__name__}, but hardware is made of {known} only")
    return Part(node.name, unit, unit.cost(plan.device), node.name)


def named(parts: list[Part]) -> Iterator[Part]:
    """The same with names that are unique identifiers."""
    names: set[str] = set()
    for part in parts:
        name = re.sub(r"\W", "_", part.name)
        while name in names:
            name += "_"
        names.add(name)
        yield replace(part, name=name)


def connected(graph: Graph, plan: Plan) -> list[Part]:
    """The nodes' components, with a guard before them and adapters between neighbours whose beats differ."""
    parts: list[Part] = []

    def unit(name: str, component: Unit) -> None:
        parts.append(Part(name, component, component.cost(plan.device)))

    for node, x in work(lower(graph)):
        part = computing(node, x, plan)
        if not parts:
            unit("guard", FrameGuard(part.component.i_beats))
        for adapter in adapters(parts[-1].component.o_beats, part.component.i_beats):
            unit(f"{node.name}_{type(adapter).__name__.lower()}", adapter)
        parts.append(part)
    return parts


def sliced(parts: list[Part], device: Device) -> list[Part]:
    """The same with register slices, so that `ready` passes at most READY_PATH components in a cycle.

    A slice stands where the beats have the fewest bits.
    """
    start, index = 0, 0
    parts = list(parts)
    while index < len(parts):
        if parts[index].component.cuts_ready:
            start = index  # it takes no part in the path before it, but in that behind it
        elif index - start == READY_PATH:
            cut = min(range(index, start, -1), key=lambda place: parts[place].component.i_beats.bits)
            unit = Slice(parts[cut].component.i_beats)
            parts.insert(cut, Part(f"{parts[cut].name}_slice", unit, unit.cost(device)))
            index, start = cut, cut + 1
        index += 1
    return parts


class Network(StreamComponent):
    """The output of a lowered graph for each frame: a component a node, adapters between neighbours whose beats differ.

    Ports: i: Beats(first node's input, its lanes), o: Beats(last node's output, its lanes); Reshapes before and after
    them change no beat. Frames at `i` may be malformed (see FrameGuard), every frame at `o` is whole. Latency and
    interval: `timing()`. Submodules are named after the nodes; adapters and slices after the node that they feed.
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.parts = tuple(named(sliced(connected(graph, plan), plan.device)))
        super().__init__(self.parts[0].component.i_beats, self.parts[-1].component.o_beats)

    @property
    def cost(self) -> Cost:
        """Predicted resources of all parts, and the cycles a frame of the slowest."""
        return sum((part.cost for part in self.parts[1:]), self.parts[0].cost)

    @property
    def controls(self) -> list[Control]:
        """Fresh twins of all parts, in order."""
        return [part.component.control() for part in self.parts]

    def timing(self) -> Timing:
        """Latency and interval in cycles, exact: equal to simulation."""
        return measure(lambda: self.controls, self.i_beats.per_frame, self.o_beats.per_frame)

    def control(self) -> Control:
        return Chain(self.controls)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = wiring.flipped(self.i)
        for part in self.parts:
            m.submodules[part.name] = part.component
            wiring.connect(m, source, part.component.i)
            source = part.component.o
        wiring.connect(m, source, wiring.flipped(self.o))
        return m
