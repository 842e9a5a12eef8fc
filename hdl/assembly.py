"""From a plan to the parts of a network and the streams between them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Graph, Input, Node
from lutwright.frontend.lowering import lower, margins
from lutwright.frontend.nodes import Reshape
from lutwright.frontend.planning import Plan
from lutwright.hdl.adapt import adapters
from lutwright.hdl.beats import Beats
from lutwright.hdl.branch import Fork, Joint
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.fifo import Fifo, Slice
from lutwright.hdl.guard import FrameGuard
from lutwright.hdl.parts import Part, computing
from lutwright.hdl.registers import wide
from lutwright.hdl.tokens import Tokens, Weaver
from lutwright.hdl.unit import Unit

READY_PATH = 2


@dataclass(frozen=True)
class Wire:
    """An output port of a placed part; part -1 is what feeds the network."""

    part: int
    port: str
    beats: Beats


Taken = tuple[int, int]  # a placed part's number, and that of one of its inputs


@dataclass(frozen=True)
class Placed:
    """A part with what it takes, and a number that no other part of the network has."""

    number: int
    part: Part
    takes: tuple[Wire, ...]

    @property
    def cuts_ready(self) -> bool:
        return self.part.component.cuts_ready


def origin(graph: Graph, name: str) -> str:
    """The node whose elements `name` has: itself, or what Reshapes pass on."""
    while isinstance(graph[name], Reshape):
        (name,) = graph[name].inputs
    return name


def work(graph: Graph) -> tuple[Node, ...]:
    """The nodes that need hardware, in order; a Reshape needs none. GraphError if any doesn't lead to the output."""
    needed = {graph.output}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    aside = [node.name for node in graph if node.name not in needed]
    if aside:
        raise GraphError(f"every node must lead to '{graph.output}', {aside} do not: remove the unused")
    nodes = tuple(node for node in graph if not isinstance(node, Reshape | Input))
    if not nodes:
        raise GraphError(f"the graph must compute something, but '{graph.output}' only passes '{graph.input.name}' on")
    return nodes


def queue_name(node: str, index: int) -> str:
    """The name, in a plan, of the queue before an input of a node."""
    return f"{node}:{index}"


@dataclass
class Assembly:
    """Places parts: those of the nodes, and between them forks, adapters, queues and register slices."""

    graph: Graph
    plan: Plan
    computing: dict[str, Part] = field(init=False)

    def __post_init__(self) -> None:
        engines = {name: choice.engine for name, choice in self.plan.nodes.items()}
        self.graph = margins(lower(self.graph, engines))
        nodes = work(self.graph)
        self.computing = {node.name: computing(node, self.graph.types(node), self.plan) for node in nodes}

    @property
    def edges(self) -> dict[str, Beats]:
        """The places where a queue can be, by its name, and what it holds: before every input of every node."""
        return {
            queue_name(name, index): beats
            for name, part in self.computing.items()
            for index, beats in enumerate(_inputs(part.component))
        }

    @property
    def queues(self) -> dict[str, Beats]:
        """Those where streams meet, which this network may need to go on at all."""
        return {
            queue_name(name, index): beats
            for name, part in self.computing.items()
            if isinstance(part.component, Joint)
            for index, beats in enumerate(part.component.inputs)
        }

    @property
    def bottleneck(self) -> int:
        """The cycles a frame of the slowest part."""
        return max(place.part.cost.cycles for place in self.placed({}))

    def streams(self, depths: Mapping[str, int]) -> tuple[Tokens, int, int, dict[str, int]]:
        """The token model with queues of `depths` beats, the beats of a frame in and out, and the queues' stages."""
        parts = self.placed(depths)
        first, last = parts[0].part.component, parts[-1].part.component
        tokens, stages = weave(parts)
        names = [name for name in self.edges if depths.get(name)]
        queues = dict(zip(names, stages.values(), strict=True))  # both in the order of the nodes
        return tokens, first.i_beats.per_frame, last.o_beats.per_frame, queues

    def placed(self, depths: Mapping[str, int]) -> list[Placed]:
        """All parts in topological order, with queues of `depths` beats, of which 0 is none."""
        device, parts = self.plan.device, list[Placed]()
        readers: dict[str, int] = defaultdict(int)
        for name in self.computing:
            for source in self.graph[name].inputs:
                readers[origin(self.graph, source)] += 1
        free: dict[str, list[Wire]] = {}

        def place(name: str, unit: Unit, *takes: Wire) -> Wire:
            parts.append(Placed(len(parts), Part(name, unit, unit.cost(device)), takes))
            return Wire(len(parts) - 1, "o", unit.o_beats)

        def offer(name: str, wire: Wire) -> None:
            count = readers[name]
            if count < 2:
                free[name] = [wire]
                return
            if not parts[wire.part].cuts_ready:
                wire = place(f"{name}_slice", Slice(wire.beats), wire)
            place(f"{name}_fork", Fork(wire.beats, count), wire)
            free[name] = [replace(wire, part=len(parts) - 1, port=f"o{index}") for index in range(count)]

        first = next(iter(self.computing.values())).component
        beats = first.i_beats
        offer(self.graph.input.name, place("guard", FrameGuard(beats), Wire(-1, "i", beats)))
        for name, part in self.computing.items():
            component, takes = part.component, list[Wire]()
            for index, (source, target) in enumerate(zip(self.graph[name].inputs, _inputs(component), strict=True)):
                wire = free[origin(self.graph, source)].pop(0)
                for adapter in adapters(wire.beats, target):
                    wire = place(f"{name}_{type(adapter).__name__.lower()}", adapter, wire)
                if depth := depths.get(queue_name(name, index), 0):
                    wire = place(f"{name}_queue", Fifo(target, depth), wire)
                takes.append(wire)
            parts.append(Placed(len(parts), part, tuple(takes)))
            offer(name, Wire(len(parts) - 1, "o", component.o_beats))
        return sliced(parts, device)


def _inputs(component: StreamComponent) -> tuple[Beats, ...]:
    return component.inputs if isinstance(component, Joint) else (component.i_beats,)


def sliced(parts: Sequence[Placed], device: Device) -> list[Placed]:
    """The same with register slices, so that `ready` passes at most READY_PATH components in a row.

    A slice stands where the beats have the fewest bits; and behind a component of many registers (`wide`).
    """
    result, spare = list[Placed](), len(parts)
    behind: dict[int, list[Taken]] = {}  # by part: the longest row since `ready` was last cut, itself the last
    cuts = set[Taken]()
    by_number = {place.number: place for place in parts}
    for place in parts:
        if isinstance(place.part.component, Fork):
            behind[place.number] = behind[place.takes[0].part]
        elif place.cuts_ready:
            behind[place.number] = [] if isinstance(place.part.component, Slice) else [(place.number, 0)]
        else:
            rows = [[*behind.get(wire.part, []), (place.number, k)] for k, wire in enumerate(place.takes)]
            for k, row in enumerate(rows):
                if cut := _cut([(by_number[number], index) for number, index in row]):
                    cuts.add(row[cut])
                    rows[k] = row[cut:]
            behind[place.number] = max(rows, key=len)
    for place in parts:
        takes = list(place.takes)
        for index, wire in enumerate(takes):
            if (place.number, index) in cuts:
                unit = Slice(wire.beats)
                result.append(Placed(spare, Part(f"{place.part.name}_slice", unit, unit.cost(device)), (wire,)))
                takes[index] = Wire(spare, "o", wire.beats)
                spare += 1
        result.append(replace(place, takes=tuple(takes)))
    return result


def _cut(row: Sequence[tuple[Placed, int]]) -> int:
    """Before which part of a row, by its number in it, a slice should stand; 0 if none. Each with the input it takes.

    A part with several inputs, if it is not the last, has other rows behind it: a slice stands behind it, not before.
    """
    last, index = row[-1]
    if len(row) > 1 and _wide(row[-2][0], last.takes[index]):
        return len(row) - 1
    if len(row) <= READY_PATH:
        return 0
    met = max((k for k, (place, _) in enumerate(row[:-1]) if len(place.takes) > 1), default=0)
    return min(range(len(row) - 1, met, -1), key=lambda k: row[k][0].takes[row[k][1]].beats.bits)


def _wide(place: Placed, wire: Wire) -> bool:
    """Whether a slice of what a component gives is worth its while."""
    return not place.part.component.free and wide(place.part.cost.ffs, 2 * wire.beats.bits)


def named(parts: Sequence[Placed]) -> Iterator[Placed]:
    """The same with names that are unique identifiers."""
    names: set[str] = set()
    for place in parts:
        name = re.sub(r"\W", "_", place.part.name)
        while name in names:
            name += "_"
        names.add(name)
        yield replace(place, part=replace(place.part, name=name))


def weave(parts: Sequence[Placed]) -> tuple[Tokens, dict[int, int]]:
    """The token model of all parts, and the stage of each queue by its part's number."""
    weaver, streams, queues = Weaver(), {(-1, "i"): 0}, dict[int, int]()
    for place in parts:
        component = place.part.component
        taken = [streams[wire.part, wire.port] for wire in place.takes]
        if isinstance(component, Fork):
            given = weaver.through(component.stage, *taken)
            streams |= {(place.number, f"o{index}"): stream for index, stream in enumerate(given)}
            continue
        if isinstance(component, Joint):
            taken = list(weaver.through(component.stage, *taken))
        if isinstance(component, Fifo):
            queues[place.number] = len(weaver.stages)
        streams[place.number, "o"] = weaver.along(component.control(), taken[0])
    return weaver.tokens(streams[parts[-1].number, "o"]), queues


def check_queues(assembly: Assembly) -> None:
    """PlanError if the plan lacks the depth of a queue."""
    missing = [name for name in assembly.queues if name not in assembly.plan.queues]
    if missing:
        raise PlanError(f"the plan must have a depth for the queues {missing}: take what `sized` makes of it")
