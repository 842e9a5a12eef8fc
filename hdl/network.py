"""A whole graph as one component."""

from __future__ import annotations

from functools import cached_property

from amaranth import Module
from amaranth.lib import wiring

from lutwright.frontend.ir import Graph
from lutwright.frontend.planning import Plan
from lutwright.hdl.assembly import Assembly, check_queues, named, weave
from lutwright.hdl.engines.base import Cost, StreamComponent
from lutwright.hdl.parts import Part
from lutwright.hdl.timing import Course, Timing, measure
from lutwright.hdl.tokens import Tokens


class Network(StreamComponent):
    """The output of a graph for each frame: a component a node, and what stands between them (`hdl.assembly`).

    Ports: i: Beats(first node's input, its lanes), o: Beats(last node's output, its lanes); Reshapes before and after
    them change no beat. Frames at `i` may be malformed (see FrameGuard), every frame at `o` is whole. Latency and
    interval: `timing()`. Submodules are named after the nodes; what stands between them after the node that it feeds.
    Where streams meet, the plan has the depths of the queues before (`hdl.sizing`).
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        assembly = Assembly(graph, plan)
        check_queues(assembly)
        self.placed = tuple(named(assembly.placed(plan.queues)))
        super().__init__(self.parts[0].component.i_beats, self.parts[-1].component.o_beats)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in topological order."""
        return tuple(place.part for place in self.placed)

    @property
    def cost(self) -> Cost:
        """Predicted resources of all parts, and the cycles a frame of the slowest."""
        return sum((part.cost for part in self.parts[1:]), self.parts[0].cost)

    def tokens(self) -> Tokens:
        return weave(self.placed)[0]

    @property
    def queues(self) -> dict[str, int]:
        """The stages of the token model that are queues, by the part's name."""
        names = {place.number: place.part.name for place in self.placed}
        return {names[number]: stage for number, stage in weave(self.placed)[1].items()}

    def timing(self) -> Timing:
        """Latency and interval in cycles, exact: equal to simulation."""
        return self._timing

    @cached_property
    def _timing(self) -> Timing:
        return measure(self.tokens(), self.i_beats.per_frame, self.o_beats.per_frame, self.cost.cycles)

    @cached_property
    def course(self) -> Course:
        """The cycle of every frame's last beat, as exact."""
        return Course(self.tokens(), self.i_beats.per_frame, self.o_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = {(-1, "i"): wiring.flipped(self.i)}
        for place in self.placed:
            component = place.part.component
            m.submodules[place.part.name] = component
            names = list(component.ports)
            for name, wire in zip(names, place.takes, strict=False):
                wiring.connect(m, ports[wire.part, wire.port], getattr(component, name))
            ports |= {(place.number, name): getattr(component, name) for name in names[len(place.takes) :]}
        wiring.connect(m, ports[self.placed[-1].number, "o"], wiring.flipped(self.o))
        return m
