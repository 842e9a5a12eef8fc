"""The planner: engine and folding for every node of a chain, for a device and a goal.

The slowest node sets the interval. So for a target interval T every node takes the cheapest option that is done in T
cycles, and the search is over T alone: all cycle counts that some option has. Cheap means a small share of the device,
summed over LUTs, block RAMs and DSPs; an adapter between unequal lanes counts too (a shortest path along the chain).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lutwright.errors import OptionError, PlanError
from lutwright.frontend.device import DEVICES, Device
from lutwright.frontend.ir import Graph, Node, Type
from lutwright.frontend.nodes import Dense
from lutwright.frontend.planning import Fps, Goal, Latency, NodePlan, Plan, Smallest
from lutwright.hdl.beats import Beats
from lutwright.hdl.cost import adapter_cost, unit_cost
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.network import work

HOST_LINK = Cost(700, 500, 3, 0, 0)
FILL = 0.85  # LUTs and FFs that place and route can be expected to fill
# What a plan without a goal takes at most, the first that fits: a share of every resource, and LUTs, because place and
# route takes a minute or two for 10,000 and many for more.
COMFORT = ((0.6, 10_000), (0.8, 20_000), (1.0, math.inf))
XC7 = Cost(50_000, 100_000, 75, 120, 0)  # xc7 is for synthesis only: planned as for a middling part
BEAM = 24  # options of a node that the shortest path looks at


@dataclass(frozen=True)
class Option:
    """One way to build a node."""

    engine: str
    folding: Folding
    cost: Cost


@dataclass
class Search:
    """The options of every node of a graph on a device, and the cheapest choice for a target interval."""

    graph: Graph
    device: Device
    engines: Mapping[str, str]
    folds: Mapping[str, Folding]
    reserve: Cost
    steps: list[tuple[Node, Type]] = field(init=False)
    options: dict[str, list[Option]] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = list(work(self.graph))
        _check_pins(self.steps, self.engines, self.folds)
        self.options = {node.name: self._options(node, x) for node, x in self.steps if isinstance(node, Dense)}

    @property
    def limits(self) -> dict[str, float]:
        """What is left for the network, by resource."""
        d, r = self.device, self.reserve
        if d.luts is None or d.brams is None or d.dsps is None:
            return {"LUT": XC7.luts, "FF": XC7.ffs, "BRAM": XC7.brams, "DSP": XC7.dsps}
        luts = FILL * d.luts - r.luts
        return {"LUT": luts, "FF": FILL * d.luts - r.ffs, "BRAM": d.brams - r.brams, "DSP": d.dsps - r.dsps}

    def shares(self, cost: Cost) -> dict[str, float]:
        """Of each resource, the share of what is left for the network."""
        needs = {"LUT": cost.luts, "FF": cost.ffs, "BRAM": cost.brams, "DSP": cost.dsps}
        return {
            name: needs[name] / limit if limit > 0 else (math.inf if needs[name] else 0.0)
            for name, limit in self.limits.items()
        }

    def weight(self, cost: Cost) -> float:
        return sum(self.shares(cost).values())

    def _options(self, node: Dense, x: Type) -> list[Option]:
        pinned, fold = self.engines.get(node.name), self.folds.get(node.name)
        found: list[Option] = []
        reasons: list[str] = []
        for name, engine in engines().items():
            if pinned is not None and name != pinned:
                continue
            if reason := engine.supports(node, x, self.device):
                reasons.append(f"{name}: {reason}")
                continue
            try:
                for folding in [fold] if fold is not None else engine.foldings(node, x):
                    found.append(Option(name, folding, engine.cost(node, x, folding, self.device)))
            except PlanError as error:  # the pinned folding is not one of this engine's
                reasons.append(f"{name}: {error}")
        if not found:
            raise PlanError(
                f"no engine can build '{node.name}': {'; '.join(reasons) or 'none is installed'}. "
                "Change --engine or --fold, or the model"
            )
        return found

    def candidates(self) -> list[int]:
        """Every interval that some option has, ascending."""
        return sorted({option.cost.cycles for options in self.options.values() for option in options} or {1})

    @property
    def longest(self) -> int:
        """An interval that every option meets."""
        return self.candidates()[-1] + max(node.type.size for node, _ in self.steps) * 4

    def solve(self, interval: int) -> Solution | None:
        """The cheapest choice in which no node takes more than `interval` cycles, or None."""
        paths: list[tuple[float, Beats | None, tuple[Step, ...]]] = [(0.0, None, ())]
        for position, (node, x) in enumerate(self.steps):
            best: dict[int, tuple[float, Beats | None, tuple[Step, ...]]] = {}
            for weight, beats, path in paths:
                for option in self._fitting(position, node, x, beats, interval):
                    step = self._join(node, x, beats, option)
                    if step.cost.cycles > interval:
                        continue
                    total = weight + self.weight(step.cost)
                    out = Beats(node.type, option.folding.pe)
                    if out.lanes not in best or total < best[out.lanes][0]:
                        best[out.lanes] = (total, out, (*path, step))
            paths = sorted(best.values(), key=lambda path: path[0])[:BEAM]
        return Solution(self, paths[0][2]) if paths else None

    def _fitting(self, position: int, node: Node, x: Type, beats: Beats | None, interval: int) -> Sequence[Option]:
        if isinstance(node, Dense):
            fast = [option for option in self.options[node.name] if option.cost.cycles <= interval]
            return sorted(fast, key=lambda option: self.weight(option.cost))[:BEAM]
        # The first node takes as many lanes as it needs to be done in time.
        lanes = min(x.channels, -(-x.size // interval)) if beats is None else beats.lanes
        if fold := self.folds.get(node.name):
            lanes = fold.simd
        pe = 1 if node.type.channels == 1 and x.channels > 1 else lanes
        return [Option(type(node).__name__.lower(), Folding(pe, lanes), unit_cost(node, x, lanes, self.device))]

    def _join(self, node: Node, x: Type, beats: Beats | None, option: Option) -> Step:
        target = Beats(x, option.folding.simd)
        joint = adapter_cost(beats, target, self.device) if beats is not None else Cost(0, 0, 0, 0, target.per_frame)
        return Step(node, option, option.cost + joint)


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

    @property
    def shares(self) -> dict[str, float]:
        return self.search.shares(self.cost)

    def fits(self, share: float = 1, luts: float = math.inf) -> bool:
        return max(self.shares.values()) <= share and self.cost.luts <= luts

    @property
    def bottleneck(self) -> Step:
        return max(self.steps, key=lambda step: step.cost.cycles)

    @property
    def binding(self) -> str:
        """The resource that is used most."""
        return max(self.shares, key=lambda name: self.shares[name])


def plan(
    graph: Graph,
    device: Device,
    goal: Goal | None = None,
    *,
    engines: Mapping[str, str] | None = None,
    folds: Mapping[str, Folding] | None = None,
    clock_mhz: float | None = None,
    board: bool = False,
) -> Plan:
    """The plan for a goal; without one, the fastest that leaves room: see COMFORT.

    `engines` and `folds` pin nodes; `clock_mhz` turns frames a second into cycles; `board` reserves what the host link
    needs. PlanError says what is impossible, by which resource, and what would do.
    """
    reserve = HOST_LINK if board else Cost(0, 0, 0, 0, 0)
    search = Search(graph, device, engines or {}, folds or {}, reserve)
    candidates = search.candidates()
    smallest = search.solve(search.longest)
    if smallest is None or not smallest.fits():
        raise PlanError(_too_big(search, smallest))
    match goal:
        case Smallest():
            chosen = smallest
        case Fps(wanted):
            chosen = _for_fps(search, candidates, wanted, clock_mhz)
        case Latency():
            chosen = _fastest(search, candidates) or smallest
        case None:
            found = (_fastest(search, candidates, *room) for room in COMFORT)
            chosen = next((solution for solution in found if solution is not None), smallest)
    nodes = {step.node.name: NodePlan(step.option.engine, step.option.folding) for step in chosen.steps}
    return Plan(device, nodes, tuple(_explain(search, chosen, goal, candidates, clock_mhz)))


def _fastest(search: Search, candidates: Sequence[int], *room: float) -> Solution | None:
    """The solution of the least interval that fits in `room`, as `Solution.fits` takes it."""
    low, high, found = 0, len(candidates), None
    while low < high:  # the cost falls as the interval grows
        middle = (low + high) // 2
        solution = search.solve(candidates[middle])
        if solution is not None and solution.fits(*room):
            found, high = solution, middle
        else:
            low = middle + 1
    return found


def _for_fps(search: Search, candidates: Sequence[int], wanted: float, clock_mhz: float | None) -> Solution:
    if clock_mhz is None:
        raise PlanError("--fps needs a clock to turn into cycles: give --clock MHZ, or a --board, which has one")
    if wanted <= 0:
        raise PlanError(f"--fps must be above 0, not {wanted:g}")
    cycles = int(clock_mhz * 1e6 / wanted)
    solution = search.solve(cycles) if cycles >= 1 else None
    if solution is not None and solution.fits():
        return solution
    best = _fastest(search, candidates)
    reach = f"{clock_mhz * 1e6 / best.cost.cycles:,.0f} frames/s" if best else "none"
    raise PlanError(
        f"--fps must be within reach: {wanted:,.0f} frames/s at {clock_mhz:g} MHz leave {cycles} cycles a frame, "
        f"and the fastest plan that fits {search.device.name} reaches {reach}. "
        "Ask for less, a faster --clock, or a larger device"
    )


def _too_big(search: Search, smallest: Solution | None) -> str:
    if smallest is None:
        return "no folding joins the pinned nodes: leave out a --fold"
    name = smallest.binding
    amount = {
        "LUT": smallest.cost.luts,
        "FF": smallest.cost.ffs,
        "BRAM": smallest.cost.brams,
        "DSP": smallest.cost.dsps,
    }
    larger = []
    for other in DEVICES.values():
        if other.luts is None or other is search.device:
            continue
        tried = Search(search.graph, other, search.engines, search.folds, search.reserve)
        solution = tried.solve(tried.longest)
        if solution is not None and solution.fits():
            larger.append(other.name)
    return (
        f"the network must fit {search.device.name}, but its smallest plan needs {amount[name]} {name} of "
        f"{search.limits[name]:.0f} to be had. "
        + (f"It fits {', '.join(larger)}" if larger else "It fits none of the known devices: make the model smaller")
    )


def _check_pins(steps: Sequence[tuple[Node, Type]], names: Mapping[str, str], folds: Mapping[str, Folding]) -> None:
    nodes = {node.name: (node, x) for node, x in steps}
    for option, pins in (("--engine", names), ("--fold", folds)):
        for name in pins:
            if name not in nodes:
                raise PlanError(f"{option} must name a node of the network, not '{name}'. They are {', '.join(nodes)}")
    for name, engine in names.items():
        if not isinstance(nodes[name][0], Dense):
            raise PlanError(f"--engine is for dense nodes, and '{name}' is a {type(nodes[name][0]).__name__}")
        if engine not in engines():
            raise PlanError(f"the engine of '{name}' must be one of {', '.join(engines())}, not '{engine}'")
    for name, fold in folds.items():
        node, x = nodes[name]
        if not (1 <= fold.pe <= node.type.channels and 1 <= fold.simd <= x.channels):
            raise PlanError(
                f"--fold {name} must lie between 1x1 and {node.type.channels}x{x.channels}, not {fold}: "
                "PE are output channels, SIMD input channels"
            )


def _explain(
    search: Search, chosen: Solution, goal: Goal | None, candidates: Sequence[int], clock_mhz: float | None
) -> list[str]:
    device, slow = search.device, chosen.bottleneck
    at_clock = f", {clock_mhz * 1e6 / chosen.cost.cycles:,.0f} frames/s at {clock_mhz:g} MHz" if clock_mhz else ""
    aim = {
        Fps: "the smallest plan that reaches the asked frames/s",
        Latency: "the lowest latency that fits",
        Smallest: "the fewest resources",
    }.get(type(goal), "the fastest plan that leaves room on the device and is placed in minutes")
    lines = [f"Goal on {device.name}: {aim}."]
    for step in chosen.steps:
        lines.append(
            f"{step.node.name}: {step.option.engine} {step.option.folding}, {step.cost.cycles} cycles a frame, "
            f"{step.cost.luts} LUT, {step.cost.brams} BRAM, {step.cost.dsps} DSP."
        )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in chosen.shares.items())
    lines.append(f"Bottleneck: {slow.node.name} with {slow.cost.cycles} cycles a frame{at_clock}.")
    lines.append(f"Of what is left for the network on the device: {shares}; {chosen.binding} binds.")
    twice = search.solve(max(1, chosen.cost.cycles // 2))
    if twice is None:
        lines.append("Twice the speed: no engine is that fast.")
    else:
        need = ", ".join(f"{name} {share:.0%}" for name, share in twice.shares.items())
        lines.append(f"Twice the speed needs {need}{'' if twice.fits() else ', which does not fit'}.")
    return lines


def parse_goal(*, fps: float | None, latency: bool, smallest: bool) -> Goal | None:
    """The goal of the options --fps, --latency and --smallest, of which one may be given."""
    goals: list[Goal] = [Fps(fps)] if fps is not None else []
    goals += [Latency()] * latency + [Smallest()] * smallest
    if len(goals) > 1:
        raise OptionError("only one of --fps, --latency and --smallest may be given")
    return goals[0] if goals else None


def parse_pin(text: str) -> tuple[str, str]:
    """`node=engine`."""
    node, equals, engine = text.rpartition("=")
    if not (node and equals and engine):
        raise OptionError(f"--engine must be NODE=NAME, such as fc1=xnor, not '{text}'")
    return node, engine


def parse_fold(text: str) -> tuple[str, Folding]:
    """`node=PExSIMD`."""
    match = re.fullmatch(r"(.+)=([0-9]{1,9})x([0-9]{1,9})", text)
    if match is None:
        raise OptionError(f"--fold must be NODE=PExSIMD, such as fc1=8x16, not '{text}'")
    return match[1], Folding(int(match[2]), int(match[3]))
