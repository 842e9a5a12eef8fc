"""The planner's search: the ways to build every node, and the cheapest choice for a target interval.

Cheap means a small share of the device, summed over LUTs, registers, block RAMs and DSPs; an adapter between unequal
lanes counts too (a beam search along the nodes, whose state are the lanes of the streams that are still to be taken).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Graph, Node, Type
from lutwright.frontend.lowering import WINOGRAD, takes_conv
from lutwright.frontend.nodes import Concat, Conv, Dense, Embedding, Pool, Unfold
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.assembly import origin, work
from lutwright.hdl.beats import Beats
from lutwright.hdl.branch import concat_lanes
from lutwright.hdl.cost import adapter_cost, unit_cost
from lutwright.hdl.depthwise import depthwise_cost, grouped, in_bursts
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.foldings import useful_parts
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import PARALLEL
from lutwright.hdl.moves import Move, move_lanes
from lutwright.hdl.network import Network
from lutwright.hdl.sizing import sized
from lutwright.hdl.units import units
from lutwright.hdl.winograd.engine import ENGINES, foldings, winograd_cost

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
class Option:
    """One way to build a node, which takes so many lanes."""

    engine: str
    folding: Folding
    lanes: int
    cost: Cost


@dataclass
class Search:
    """The options of every node of a graph on a device, and the cheapest choice for a target interval."""

    graph: Graph
    device: Device
    engines: Mapping[str, str]
    folds: Mapping[str, Folding]
    reserve: Cost
    steps: tuple[Node, ...] = field(init=False)
    options: dict[str, list[Option]] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = work(self.graph)
        self.readers = Counter(origin(self.graph, name) for node in self.steps for name in node.inputs)
        _check_pins(self.graph, self.steps, self.engines, self.folds)
        self.options = {}
        for node in self.steps:
            if isinstance(node, Conv) and takes_conv(self.engines.get(node.name, "")):
                self.options[node.name] = self._tiles(node, *self.graph.types(node))
            elif isinstance(node, Dense | Conv):
                self.options[node.name] = self._options(node, *self.graph.types(node))
            elif isinstance(node, Unfold | Pool):
                self.options[node.name] = self._windows(node, *self.graph.types(node))
            elif isinstance(node, Move):
                self.options[node.name] = self._moves(node, *self.graph.types(node))
            elif isinstance(node, Embedding):
                self.options[node.name] = self._embeddings(node, *self.graph.types(node))
            else:
                self._check_fold(node, self.graph.types(node)[0])

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

    def _options(self, node: Dense | Conv, x: Type) -> list[Option]:
        """The engines'; of a depthwise Conv those for the Dense that it unfolds to, and its own component's."""
        pinned, fold = self.engines.get(node.name), self.folds.get(node.name)
        found: list[Option] = []
        reasons: list[str] = []
        dense, under = (node, x) if isinstance(node, Dense) else grouped(node, x)
        if isinstance(node, Conv):
            for name in units(node, x):
                if pinned in (None, name) and (fold is None or fold.pe == fold.simd):
                    lanes = useful_parts(x.channels) if fold is None else [fold.simd]
                    found += self._equal(node, x, name, lanes)
                elif pinned in (None, name):
                    reasons.append(f"{name}: must have as many lanes out as in, not {fold}")
        for name, engine in engines().items():
            if pinned not in (None, name):
                continue
            if reason := engine.supports(dense, under, self.device):
                reasons.append(f"{name}: {reason}")
                continue
            try:
                for folding in [fold] if fold is not None else engine.foldings(dense, under):
                    if isinstance(node, Conv) and fold is None and in_bursts(node, folding):
                        continue
                    if isinstance(node, Dense):
                        found.append(Option(name, folding, folding.simd, engine.cost(node, x, folding, self.device)))
                    else:
                        found.append(Option(name, folding, *depthwise_cost(node, x, engine, folding, self.device)))
            except PlanError as error:  # the pinned folding is not one of this engine's
                reasons.append(f"{name}: {error}")
        if not found:
            raise PlanError(
                f"no engine can build '{node.name}': {'; '.join(reasons) or 'none is installed'}. "
                "Change --engine or --fold, or the model"
            )
        return found

    def _equal(self, node: Node, x: Type, name: str, lanes: Iterable[int]) -> list[Option]:
        """A component with as many lanes out as in."""
        return [Option(name, Folding(n, n), n, unit_cost(node, (x,), n, self.device, name)) for n in lanes]

    def _windows(self, node: Unfold | Pool, x: Type) -> list[Option]:
        """As many lanes out as in, those of an Unfold divide a group; or, of a parallel one, those of some groups."""
        fold, pinned = self.folds.get(node.name), self.engines.get(node.name)
        lanes = useful_parts(x.channels) if fold is None else [fold.simd] if fold.pe == fold.simd else []
        groups = node.groups if isinstance(node, Unfold) else 1
        if isinstance(node, Unfold):
            lanes = [count for count in lanes if x.channels // groups % count == 0]
        parts = [part for part in range(groups, 0, -1) if groups % part == 0]  # of a vector, of some groups each
        whole = [Folding(node.type.channels // part, x.channels // part) for part in parts]
        found = list[Option]()
        for name in units(node, x):
            if pinned not in (None, name):
                continue
            if name == PARALLEL:
                foldings = [folding for folding in whole if fold in (None, folding)]
                costs = (unit_cost(node, (x,), folding.simd, self.device, name) for folding in foldings)
                found += [Option(name, f, f.simd, cost) for f, cost in zip(foldings, costs, strict=True)]
            else:
                found += self._equal(node, x, name, lanes)
        if not found:
            more = ""
            if isinstance(node, Unfold):
                more = (
                    f", which divide its {x.channels // groups} channels, or be {' or '.join(map(str, whole))} with "
                    f"--engine {node.name}={PARALLEL}"
                )
            raise PlanError(f"--fold {node.name} must have as many lanes out as in{more}, not {fold}")
        return found

    def _tiles(self, node: Conv, x: Type) -> list[Option]:
        """A Conv that its pinned engine takes as it is, by any of the filters where the pin names none."""
        pinned, fold = self.engines[node.name], self.folds.get(node.name)
        return [
            Option(name, each, each.simd, winograd_cost(node, x, name, each, self.device))
            for name in (ENGINES if pinned == WINOGRAD else (pinned,))
            for each in (foldings(node, name) if fold is None else (fold,))
        ]

    def _moves(self, node: Move, x: Type) -> list[Option]:
        """As many lanes out as in, which keep beats whole."""
        fold, possible = self.folds.get(node.name), move_lanes(node, x)
        lanes = [count for count in useful_parts(x.channels) if count in possible] if fold is None else [fold.simd]
        if fold is not None and (fold.pe != fold.simd or fold.simd not in possible):
            raise PlanError(
                f"--fold {node.name} must have as many lanes out as in, one of {possible}, which keep beats whole, "
                f"not {fold}"
            )
        (name,) = units(node, x)
        return self._equal(node, x, name, lanes)

    def _embeddings(self, node: Embedding, x: Type) -> list[Option]:
        """One index at a time, and any elements of its vector."""
        fold = self.folds.get(node.name)
        if fold is not None and fold.simd != 1:
            raise PlanError(f"--fold {node.name} must take one index at a time, such as {fold.pe}x1, not {fold}")
        lanes = useful_parts(node.type.channels) if fold is None else [fold.pe]
        (name,) = units(node, x)
        return [Option(name, Folding(n, 1), 1, unit_cost(node, (x,), n, self.device, name)) for n in lanes]

    def _check_fold(self, node: Node, x: Type) -> None:
        """PlanError if a node without options is pinned to give other lanes than its own."""
        fold = self.folds.get(node.name)
        if fold is not None and fold.pe != (pe := _lanes_out(node, x, fold.simd)):
            raise PlanError(f"--fold {node.name} must give {pe} for {fold.simd} lanes, {pe}x{fold.simd}, not {fold}")

    def candidates(self) -> list[int]:
        """Every interval that some option has, ascending."""
        return sorted({option.cost.cycles for options in self.options.values() for option in options} or {1})

    @property
    def longest(self) -> int:
        """An interval that every option meets."""
        return self.candidates()[-1] + max(node.type.size for node in self.steps) * 4

    def solve(self, interval: int, haste: float = 0.0, room: Room | None = None) -> Solution | None:
        """The cheapest choice in which no node takes more than `interval` cycles, or None.

        `haste`: what a cycle of any node is worth, in shares of the device. Where the choice does not fit in `room`,
        what it overdraws is made dearer, a few times; then the choice that overdraws the least.
        """
        limits = (room or Room()).of(self.limits)
        prices, best = dict.fromkeys(limits, 1.0), None
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

        def price(cost: Cost) -> float:
            return luts * cost.luts + ffs * cost.ffs + brams * cost.brams + dsps * cost.dsps + haste * cost.cycles

        paths = [Path(0.0, {}, ())]
        left = Counter(self.readers)
        for node in self.steps:
            sources = [origin(self.graph, name) for name in node.inputs]
            left.subtract(sources)
            best: dict[tuple[int, ...], Path] = {}
            steps: dict[tuple[int, ...], list[Step]] = {}  # by the lanes of the inputs
            for path in paths:
                beats = [path.streams.get(source) for source in sources]
                lanes = tuple(stream.lanes if stream else 0 for stream in beats)
                if lanes not in steps:
                    fitting = self._fitting(node, beats, interval, price, limits)
                    joined = (self._join(node, beats, option) for option in fitting)
                    steps[lanes] = [step for step in joined if step.cost.cycles <= interval]
                for step in steps[lanes]:
                    option = step.option
                    # The network's input has the lanes of the first node that takes it.
                    first = {} if path.steps else {sources[0]: Beats(self.graph.types(node)[0], option.lanes)}
                    streams = {**path.streams, **first, node.name: Beats(node.type, option.folding.pe)}
                    open_ = {name: beats for name, beats in streams.items() if left[name] or name == node.name}
                    key = tuple(beats.lanes for beats in open_.values())
                    found = Path(path.weight + price(step.cost), open_, (*path.steps, step))
                    if key not in best or found.weight < best[key].weight:
                        best[key] = found
            paths = sorted(best.values(), key=lambda path: path.weight)[:BEAM]
        return Solution(self, paths[0].steps) if paths else None

    def _fitting(
        self,
        node: Node,
        beats: Sequence[Beats | None],
        interval: int,
        price: Callable[[Cost], float],
        limits: Mapping[str, float],
    ) -> Sequence[Option]:
        if node.name in self.options:
            fast = [option for option in self.options[node.name] if option.cost.cycles <= interval]
            fast = [option for option in fast if _within(option.cost, limits)] or fast
            return sorted(fast, key=lambda option: price(option.cost))[:BEAM]
        inputs = self.graph.types(node)
        x = inputs[0]
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
            for pe in (_lanes_out(node, x, count),)
        ]

    def _join(self, node: Node, beats: Sequence[Beats | None], option: Option) -> Step:
        cost = option.cost
        for x, source in zip(self.graph.types(node), beats, strict=True):
            target = Beats(x, option.lanes)
            cost += Cost(0, 0, 0, 0, target.per_frame) if source is None else adapter_cost(source, target, self.device)
        return Step(node, option, cost)


def _lanes_out(node: Node, x: Type, lanes: int) -> int:
    """Those of a node without options: as many as it takes; of one channel, one."""
    return 1 if node.type.channels == 1 and x.channels > 1 else lanes


def _within(cost: Cost, limits: Mapping[str, float]) -> bool:
    return (
        cost.luts <= limits["LUT"]
        and cost.ffs <= limits["FF"]
        and cost.brams <= limits["BRAM"]
        and cost.dsps <= limits["DSP"]
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

    @property
    def bare(self) -> Plan:
        """The plan of this choice, without any queues."""
        return Plan(self.search.device, self.nodes)

    @cached_property
    def plan(self) -> Plan:
        """The same with the queues where streams meet."""
        return sized(self.search.graph, self.bare)

    @cached_property
    def latency(self) -> int:
        """Cycles from the first beat in to the last beat out, exactly."""
        return Network(self.search.graph, self.plan).timing().latency

    @property
    def bottleneck(self) -> Step:
        return max(self.steps, key=lambda step: step.cost.cycles)


def _check_pins(graph: Graph, steps: Sequence[Node], names: Mapping[str, str], folds: Mapping[str, Folding]) -> None:
    nodes = {node.name: (node, graph.types(node)[0]) for node in steps}
    for option, pins in (("--engine", names), ("--fold", folds)):
        for name in pins:
            if name not in nodes:
                raise PlanError(f"{option} must name a node of the network, not '{name}'. They are {', '.join(nodes)}")
    for name, engine in names.items():
        node, x = nodes[name]
        known = () if isinstance(node, Dense) else units(node, x)
        known += tuple(engines()) if isinstance(node, Dense | Conv) else ()
        if engine not in known:
            raise PlanError(f"the engine of '{name}' must be one of {', '.join(known)}, not '{engine}'")
    for name, fold in folds.items():
        node, x = nodes[name]
        columns, simd = x.channels, "input channels"
        if isinstance(node, Conv):
            columns, simd = columns * math.prod(node.window.kernel), "those under the kernel"
        if not (1 <= fold.pe <= node.type.channels and 1 <= fold.simd <= columns):
            raise PlanError(
                f"--fold {name} must lie between 1x1 and {node.type.channels}x{columns}, not {fold}: "
                f"PE are output channels, SIMD {simd}"
            )
