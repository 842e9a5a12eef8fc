"""The planner: engine and folding for every node of a chain, for a device and a goal.

The slowest node sets the interval. So for a target interval T every node takes the cheapest option that is done in T
cycles (`frontend.search`), and what is left to choose is T alone: of all cycle counts that some option has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from lutwright.errors import OptionError, PlanError
from lutwright.frontend.device import DEVICES, Device
from lutwright.frontend.hardware import hardware
from lutwright.frontend.ir import Graph
from lutwright.frontend.lowering import lower
from lutwright.frontend.nodes import Dense
from lutwright.frontend.planning import Fps, Goal, Latency, Plan, Smallest
from lutwright.frontend.search import Search, Solution
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.sizing import sized

HOST_LINK = Cost(700, 500, 3, 0, 0)
# What a plan without a goal takes at most, the first that fits: a share of every resource, and LUTs, because place and
# route takes a minute or two for 10,000 and many for more.
COMFORT = ((0.6, 10_000), (0.8, 20_000), (1.0, math.inf))
HASTE, HASTE_STEPS = (-40.0, 10.0), 16  # powers of two of a cycle's worth between which the lowest latency is searched


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
    graph = lower(graph)
    lacking = [node for node in graph if not isinstance(node, Dense) and not hardware(node, *graph.types(node))]
    if lacking:
        names = ", ".join(f"'{node.name}' ({type(node).__name__})" for node in lacking)
        raise PlanError(
            f"every node of the network must have hardware, and there is none yet for {names}. "
            "The golden model computes them: use `simulate --with golden`, or leave these layers out of the model"
        )
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
            chosen = _quickest(search, candidates) or smallest
        case None:
            found = (_fastest(search, candidates, *room) for room in COMFORT)
            chosen = next((solution for solution in found if solution is not None), smallest)
    explanation = tuple(_explain(search, chosen, goal, candidates, clock_mhz))
    return sized(graph, Plan(device, chosen.nodes, explanation))


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


def _quickest(search: Search, candidates: Sequence[int]) -> Solution | None:
    """The solution of the lowest latency that fits, of those found while cycles are made ever dearer.

    The latency is about the sum of all nodes' cycles, where the interval is the largest of them.
    """
    found = [solution for solution in [_fastest(search, candidates)] if solution is not None]
    low, high = HASTE
    for _ in range(HASTE_STEPS):
        middle = (low + high) / 2
        solution = search.solve(search.longest, 2.0**middle)
        if solution is not None and solution.fits():
            found.append(solution)
            low = middle
        else:
            high = middle
    return min(found, key=lambda solution: solution.latency, default=None)


def _for_fps(search: Search, candidates: Sequence[int], wanted: float, clock_mhz: float | None) -> Solution:
    if clock_mhz is None:
        raise PlanError("--fps needs a clock to turn into cycles: give --clock MHZ, or a --board, which has one")
    if not wanted > 0:
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
