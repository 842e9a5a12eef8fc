"""The planner's search: the ways to build every node, and the cheapest choice for a target interval.

Cheap means a small share of the device, summed over LUTs, registers, block RAMs and DSPs; an adapter between unequal
lanes counts too (a beam search along the nodes, whose state are the lanes of the streams that are still to be taken).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lutwright.errors import PlanError
from lutwright.frontend.device import DEVICES, Device
from lutwright.frontend.hardware import refusal
from lutwright.frontend.ir import Array, Graph, Node, Type
from lutwright.frontend.lowering import WINOGRAD, lower, restored, takes_conv
from lutwright.frontend.nodes import Concat, Conv, Dense, Unfold
from lutwright.frontend.options import Option, Ways, check_pins, lanes_out
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.assembly import origin, work
from lutwright.hdl.beats import Beats
from lutwright.hdl.branch import concat_lanes
from lutwright.hdl.cost import adapter_cost, unit_cost
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.foldings import useful_parts
from lutwright.hdl.network import Network
from lutwright.hdl.sizing import sized
from lutwright.hdl.units import units
from lutwright.hdl.winograd.method import no_tiles

FILL = 0.85  # LUTs and FFs that place and route can be expected to fill
XC7 = Cost(50_000, 100_000, 75, 120, 0)  # xc7 is for synthesis only: planned as for a middling part
ROUNDS = 4  # of prices in a search for a choice that fits
BEAM = 24  # options of a node that the shortest path looks at


def amounts(cost: Cost) -> dict[str, int]:
    """A cost's resources by name."""
    return {"LUT": cost.luts, "FF": cost.ffs, "BRAM": cost.brams, "DSP": cost.dsps}


@dataclass(frozen=True)
class Room:
    """What a plan may take: a share of every resource, and so many LUTs at most."""

    share: float = 1
    luts: float = math.inf

    def of(self, limits: Mapping[str, float]) -> dict[str, float]:
        return {
            name: min(limit * self.share, self.luts if name == "LUT" else math.inf) for name, limit in limits.items()
        }


@dataclass(frozen=True)
class Costs:
    """The costs of a node's options, each amount an array over them."""

    luts: Array
    ffs: Array
    brams: Array
    dsps: Array
    cycles: Array

    @staticmethod
    def of(costs: Iterable[Cost]) -> Costs:
        rows = [(cost.luts, cost.ffs, cost.brams, cost.dsps, cost.cycles) for cost in costs]
        return Costs(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


@dataclass
class Search:
    """The options of every node of a graph on a device, and the cheapest choice for a target interval.

    A Conv is searched as the Unfold and the Dense that it becomes. Where an engine takes it as it is, that is an option
    of the Dense, and the Unfold has one to pass its input on. PlanError if a node has no hardware.
    """

    model: Graph
    device: Device
    engines: Mapping[str, str]
    folds: Mapping[str, Folding]
    reserve: Cost
    graph: Graph = field(init=False)
    steps: tuple[Node, ...] = field(init=False)
    options: dict[str, list[Option]] = field(init=False)
    convs: dict[str, Conv] = field(init=False)

    def __post_init__(self) -> None:
        self.graph = lower(self.model, self.engines)
        refusals = [refusal(node, *self.graph.types(node)) for node in self.graph if not isinstance(node, Dense)]
        if lacking := [reason for reason in refusals if reason]:
            raise PlanError(
                f"every node of the network must have hardware: {'; '.join(lacking)}. The golden model computes them "
                "all: use `simulate --with golden`"
            )
        self.steps = work(self.graph)
        self.readers = Counter(origin(self.graph, name) for node in self.steps for name in node.inputs)
        check_pins(self.graph, self.steps, self.engines, self.folds)
        ways = Ways(self.device, self.engines, self.folds)
        found = {node.name: ways.options(node, self.graph.types(node)[0]) for node in self.steps}
        self.options = {name: options for name, options in found.items() if options is not None}
        self.convs = {}
        for node in self.model:
            if isinstance(node, Conv) and self._free(node) and (tiles := ways.tiles(node, self.model.types(node)[0])):
                self.convs[node.name] = node
                self.options[node.name] = [*self.options[node.name], *tiles]
        self.windows = {self.graph[name].inputs[0] for name in self.convs}
        self.costs = {name: Costs.of(option.cost for option in options) for name, options in self.options.items()}
        self.whole = {
            name: np.array([takes_conv(option.engine) for option in self.options[name]]) for name in self.convs
        }

    def elsewhere(self, interval: int | None = None) -> list[str]:
        """The other devices that the network fits, in so many cycles or, without a number, in any."""
        found = list[Device]()
        for other in DEVICES.values():
            if not other.may_hold_more(self.device):
                continue
            if not all(smaller.may_hold_more(other) for smaller in found):
                found.append(other)
                continue
            with suppress(PlanError):  # a pinned engine may not be there
                tried = Search(self.model, other, self.engines, self.folds, self.reserve)
                solution = tried.solve(tried.longest if interval is None else max(1, interval))
                if solution is not None and solution.fits():
                    found.append(other)
        return [other.name for other in found]

    def _free(self, node: Conv) -> bool:
        """Whether an engine may take it as it is, and no pin says otherwise."""
        names = {node.name, *self.graph[node.name].inputs}
        return no_tiles(node) is None and not names & (self.engines.keys() | self.folds.keys())

    @property
    def limits(self) -> dict[str, float]:
        """What is left for the network, by resource."""
        d, r = self.device, self.reserve
        if d.luts is None or d.brams is None or d.dsps is None:
            return {"LUT": XC7.luts, "FF": XC7.ffs, "BRAM": XC7.brams, "DSP": XC7.dsps}
        luts = FILL * d.luts - r.luts
        return {"LUT": luts, "FF": FILL * d.luts - r.ffs, "BRAM": d.brams - r.brams, "DSP": d.dsps - r.dsps}

    def shares(self, cost: Cost, room: Room | None = None) -> dict[str, float]:
        """Of each resource, the share of what is left for the network, or of a part of it."""
        limits = room.of(self.limits) if room else self.limits
        return {
            name: need / limits[name] if limits[name] > 0 else (math.inf if need else 0.0)
            for name, need in amounts(cost).items()
        }

    def fits(self, cost: Cost, room: Room | None = None) -> bool:
        """Whether no resource is overdrawn."""
        return max(self.shares(cost, room).values()) <= 1

    def overdrawn(self, cost: Cost) -> str:
        """What there is too little of; what is nearest to that where all fits."""
        shares, need = self.shares(cost), amounts(cost)
        names = [name for name in shares if shares[name] > 1] or [max(shares, key=lambda name: shares[name])]
        return " and ".join(f"{need[name]} {name} of {self.limits[name]:.0f}" for name in names)

    def slower(self, cycles: int) -> list[str]:
        """The nodes of which no option is done in so many cycles."""
        return [node.name for node in self.steps if self._least_cycles(node) > cycles]

    def _least_cycles(self, node: Node) -> int:
        """A frame's cycles in the fastest option of a node."""
        if node.name in self.options:
            return int(self.costs[node.name].cycles.min())
        inputs = self.graph.types(node)
        names = [name for name in units(node, inputs[0]) if self.engines.get(node.name, name) == name]
        return min(unit_cost(node, inputs, inputs[0].channels, self.device, name).cycles for name in names)

    def candidates(self) -> list[int]:
        """Every interval that some option has, ascending."""
        return sorted({option.cost.cycles for options in self.options.values() for option in options} or {1})

    @property
    def longest(self) -> int:
        """An interval that every option meets."""
        return self.candidates()[-1] + max(node.type.size for node in self.steps) * 4

    def solve(self, interval: int, haste: float = 0.0, room: Room | None = None, luts: float = 1.0) -> Solution | None:
        """The cheapest choice in which no node takes more than `interval` cycles, or None.

        `haste`: what a cycle of any node is worth, in shares of the device; `luts`: what a share of the LUTs is, others
        being 1. Where the choice does not fit in `room`, what it overdraws is made dearer, a few times; then the choice
        that overdraws the least.
        """
        limits = (room or Room()).of(self.limits)
        prices, best = dict.fromkeys(limits, 1.0) | {"LUT": luts}, None
        for _ in range(ROUNDS):
            weights = {name: prices[name] / limit if limit > 0 else 1e9 for name, limit in limits.items()}
            found = self._cheapest(interval, haste, weights, limits)
            if found is None:
                return best
            shares = self.shares(found.cost, room)
            if best is None or max(shares.values()) < max(self.shares(best.cost, room).values()):
                best = found
            if max(shares.values()) <= 1:
                return found
            prices = {name: price * min(4, max(0.5, shares[name])) for name, price in prices.items()}
        return best

    def _cheapest(
        self, interval: int, haste: float, weights: Mapping[str, float], limits: Mapping[str, float]
    ) -> Solution | None:
        luts, ffs, brams, dsps = weights["LUT"], weights["FF"], weights["BRAM"], weights["DSP"]

        def price(cost: Cost | Costs) -> Any:
            return luts * cost.luts + ffs * cost.ffs + brams * cost.brams + dsps * cost.dsps + haste * cost.cycles

        paths = [Path(0.0, {}, ())]
        left = Counter(self.readers)
        for node in self.steps:
            sources = [origin(self.graph, name) for name in node.inputs]
            left.subtract(sources)
            best: dict[tuple[tuple[int, int], ...], Path] = {}
            steps: dict[tuple[tuple[int, int], ...], list[Step]] = {}  # by the forms of the inputs
            for path in paths:
                beats = [path.streams.get(source) for source in sources]
                form = tuple(_form(stream) for stream in beats)
                if form not in steps:
                    fitting = self._fitting(node, beats, interval, price, limits)
                    joined = (self._join(node, beats, option) for option in fitting)
                    steps[form] = [step for step in joined if step.cost.cycles <= interval]
                for step in steps[form]:
                    option = step.option
                    # The network's input has the lanes of the first node that takes it.
                    first = {} if path.steps else {sources[0]: Beats(self.graph.types(node)[0], option.lanes)}
                    kind = self.graph.types(node)[0] if _passes(node, option) else node.type
                    streams = {**path.streams, **first, node.name: Beats(kind, option.folding.pe)}
                    open_ = {name: beats for name, beats in streams.items() if left[name] or name == node.name}
                    key = tuple(_form(stream) for stream in open_.values())
                    found = Path(path.weight + price(step.cost), open_, (*path.steps, step))
                    if key not in best or found.weight < best[key].weight:
                        best[key] = found
            ordered = sorted(best.values(), key=lambda path: path.weight)
            passing = [path for path in ordered if path.streams[node.name].type != node.type]
            paths = [path for path in ordered if path.streams[node.name].type == node.type][:BEAM] + passing[:BEAM]
        if not paths:
            return None
        return Solution(self, tuple(step for step in paths[0].steps if not _passes(step.node, step.option)))

    def _fitting(
        self,
        node: Node,
        beats: Sequence[Beats | None],
        interval: int,
        price: Callable[[Cost | Costs], Any],
        limits: Mapping[str, float],
    ) -> Sequence[Option]:
        inputs = self.graph.types(node)
        x = inputs[0]
        if node.name in self.options:
            options, costs = self.options[node.name], self.costs[node.name]
            fast = costs.cycles <= interval
            if node.name in self.convs:
                passed = beats[0] is not None and beats[0].type != x
                fast &= self.whole[node.name] == passed
            within = fast & _within(costs, limits)
            (found,) = np.nonzero(within if within.any() else fast)
            best = [options[found[place]] for place in np.argsort(price(costs)[found], kind="stable")[:BEAM]]
            return [*best, *_passing(x, beats[0])] if node.name in self.windows else best
        # As many lanes as an input has; the first node takes as many as it needs to be done in time.
        needed = min(x.channels, -(-x.size // interval))
        lanes = {needed if stream is None else stream.lanes for stream in beats}
        if len(beats) > 1:
            lanes.add(needed)
        if isinstance(node, Concat):
            possible = concat_lanes(node, inputs)
            lanes = {max(lane for lane in possible if lane <= count) for count in lanes} | {possible[-1]}
        if fold := self.folds.get(node.name):
            lanes = {fold.simd}
        names = units(node, x)
        if node.name in self.engines:
            names = tuple(name for name in names if name == self.engines[node.name])
        return [
            Option(name, Folding(pe, count), count, unit_cost(node, inputs, count, self.device, name))
            for name in names
            for count in sorted(lanes)
            for pe in (lanes_out(node, x, count),)
        ]

    def _join(self, node: Node, beats: Sequence[Beats | None], option: Option) -> Step:
        cost = option.cost
        graph = self.model if node.name in self.convs and takes_conv(option.engine) else self.graph
        for x, source in zip(graph.types(graph[node.name]), beats, strict=True):
            target = Beats(x, option.lanes)
            cost += Cost(0, 0, 0, 0, target.per_frame) if source is None else adapter_cost(source, target, self.device)
        return Step(node, option, cost)


def _passing(x: Type, stream: Beats | None) -> list[Option]:
    """How a window passes its input on, at the lanes of its stream; at any of the network's input."""
    lanes = useful_parts(x.channels) if stream is None else [stream.lanes]
    return [Option(WINOGRAD, Folding(count, count), count, Cost(0, 0, 0, 0, 0)) for count in lanes]


def _passes(node: Node, option: Option) -> bool:
    """Whether the node is a window that passes its input on."""
    return isinstance(node, Unfold) and option.engine == WINOGRAD


def _form(stream: Beats | None) -> tuple[int, int]:
    """What streams of the same elements differ in."""
    return (stream.lanes, stream.type.channels) if stream else (0, 0)


def _within(costs: Costs, limits: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    return (
        (costs.luts <= limits["LUT"])
        & (costs.ffs <= limits["FF"])
        & (costs.brams <= limits["BRAM"])
        & (costs.dsps <= limits["DSP"])
    )


@dataclass(frozen=True)
class Path:
    """The nodes so far with their options, what they weigh, and the streams that later nodes take, by node."""

    weight: float
    streams: Mapping[str, Beats]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Step:
    """A node with its option; `cost` is that of the node and of the adapter before it."""

    node: Node
    option: Option
    cost: Cost


@dataclass(frozen=True)
class Solution:
    """A choice for every node."""

    search: Search
    steps: tuple[Step, ...]

    @property
    def cost(self) -> Cost:
        total = Cost(0, 0, 0, 0, 0)
        for step in self.steps:
            total = total + step.cost
        return total

    def fits(self, room: Room | None = None) -> bool:
        return self.search.fits(self.cost, room)

    @property
    def nodes(self) -> dict[str, NodePlan]:
        return {step.node.name: NodePlan(step.option.engine, step.option.folding) for step in self.steps}

    @cached_property
    def graph(self) -> Graph:
        """What the plan is for: the searched one, with each Conv that an engine takes."""
        taken = {step.node.name for step in self.steps if takes_conv(step.option.engine)}
        convs = {name: node for name, node in self.search.convs.items() if name in taken}
        return restored(self.search.graph, convs) if convs else self.search.graph

    @property
    def bare(self) -> Plan:
        """The plan of this choice, without any queues."""
        return Plan(self.search.device, self.nodes)

    @cached_property
    def plan(self) -> Plan:
        """The same with the queues where streams meet."""
        return sized(self.graph, self.bare)

    @cached_property
    def latency(self) -> int:
        """Cycles from the first beat in to the last beat out, exactly."""
        return Network(self.graph, self.plan).timing().latency

    @property
    def bottleneck(self) -> Step:
        return max(self.steps, key=lambda step: step.cost.cycles)
