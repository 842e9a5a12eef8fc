"""The planner: engine and folding for every node of a chain, for a device and a goal.

The slowest node sets the interval. So for a target interval T every node takes the cheapest option that is done in T
cycles (`frontend.search`), and what is left to choose is T alone: of all cycle counts that some option has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from lutwright.errors import OptionError, PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.explain import explain
from lutwright.frontend.ir import Graph
from lutwright.frontend.planning import Fps, Goal, Latency, Plan, Smallest
from lutwright.frontend.search import Room, Search, Solution
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.network import Network
from lutwright.hdl.pool import SEPARATE
from lutwright.hdl.sizing import sized

BUFFERED = "pool"  # a Pool with a buffer of its input, which evens bursts out
HOST_LINK = Cost(700, 500, 3, 0, 0)
# What a plan without a goal takes at most: a share of every resource, and LUTs, because place and route takes a minute
# or two for 10,000 and many for more. A larger room has to make LUTs times cycles less by WORTH. So has what takes more
# than LEAN and leaves MANY block RAMs for LUTs: thousands of LUTs that hold weights are hard to route.
LEAN, MANY = Room(0.6, 5_000), 10
COMFORT = (Room(0.6, 10_000), Room(0.7, 15_000), Room(0.8, 20_000))
WORTH = 1.5
FULL = 0.8  # of a room's LUTs, from where on a larger one may help
DEARER = [1.2**step for step in range(1, 17)]  # prices of a LUT, in search of plans with more blocks in their place
WAITS = 1.02  # of the slowest node's cycles, that an interval may take before queues are worth their while
# Shares of the device that the nodes may take: what stands between them is known once they are chosen.
SLACK = (1.0, 0.95, 0.85, 0.7)
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
    reserve = HOST_LINK if board else Cost(0, 0, 0, 0, 0)
    search = Search(graph, device, engines or {}, folds or {}, reserve)
    candidates = search.candidates()
    tried: Network | None = None

    def quick(cycles: float, room: Room | None = None) -> Plan | None:
        """The plan of the lowest latency, whose nodes wait for one another the least, if it is done in `cycles`."""
        with suppress(PlanError):
            found = plan(graph, device, Latency(), engines=engines, folds=folds, clock_mhz=clock_mhz, board=board)
            network = Network(graph, found)
            return found if network.timing().interval <= cycles and search.fits(network.cost, room) else None
        return None

    for share in SLACK:
        chosen = _choice(search, candidates, goal, clock_mhz, share)
        while chosen is not None:
            tried = Network(chosen.graph, chosen.plan)
            if not search.fits(tried.cost):
                break
            if bursts := _bursts(search, chosen, tried, goal):
                with suppress(PlanError):
                    pins = {**search.engines, **dict.fromkeys(bursts, BUFFERED)}
                    other = plan(graph, device, goal, engines=pins, folds=folds, clock_mhz=clock_mhz, board=board)
                    found = Network(graph, other).timing()
                    if found.interval < tried.timing().interval and (
                        goal != Latency() or found.latency <= tried.timing().latency
                    ):
                        return other
            made, tried = _evened(search, chosen, tried, goal, clock_mhz)
            if _reached(tried, goal, clock_mhz):
                waits = goal is None and tried.timing().interval > WAITS * tried.cost.cycles
                if waits and (sooner := quick(tried.timing().interval - 1, COMFORT[0])):
                    return sooner
                return replace(made, explanation=tuple(explain(search, chosen, tried, goal, clock_mhz)))
            # Nodes that wait for one another take longer than the slowest of them: a faster choice may be in time.
            faster = search.solve(chosen.cost.cycles - 1, room=Room(share)) if chosen.cost.cycles > 1 else None
            if faster is None or not faster.fits(Room(share)):
                if isinstance(goal, Fps) and clock_mhz and (sooner := quick(clock_mhz * 1e6 / goal.frames_per_second)):
                    return sooner
                raise PlanError(
                    f"--fps must be within reach, but the fastest plan found for {device.name} takes "
                    f"{tried.timing().interval} cycles a frame, as nodes wait for one another. Ask for less, a faster "
                    "--clock, or a larger device"
                )
            chosen = faster
        if chosen is None:
            break
    if goal is None:  # the nodes alone have no smaller plan but the smallest, which may leave room for the rest
        return plan(graph, device, Smallest(), engines=engines, folds=folds, clock_mhz=clock_mhz, board=board)
    raise PlanError(_too_big(search, tried.cost if tried else None, "the plan for this goal"))


def _evened(
    search: Search, chosen: Solution, network: Network, goal: Goal | None, clock_mhz: float | None
) -> tuple[Plan, Network]:
    """A choice with queues that keep its nodes from waiting for one another, where they do and the queues fit.

    Without them where the goal is reached as it is, or there is none and they hardly wait.
    """
    waits = network.timing().interval / network.cost.cycles
    if waits > WAITS if goal is None else waits > 1 and not _reached(network, goal, clock_mhz):
        made = sized(chosen.graph, chosen.bare, even=True)
        evened = Network(chosen.graph, made)
        if search.fits(evened.cost) and evened.timing().interval < network.timing().interval:
            return made, evened
    return chosen.plan, network


def _reached(network: Network, goal: Goal | None, clock_mhz: float | None) -> bool:
    """Whether the network, in which nodes may wait for one another, is as fast as asked."""
    if not isinstance(goal, Fps) or clock_mhz is None:
        return True
    return network.timing().interval * goal.frames_per_second <= clock_mhz * 1e6


def _bursts(search: Search, chosen: Solution, network: Network, goal: Goal | None) -> list[str]:
    """The pools without a buffer that give lines in bursts, where nodes wait for one another because of that."""
    if isinstance(goal, Smallest) or network.timing().interval <= network.cost.cycles:
        return []
    pools = [step.node for step in chosen.steps if step.option.engine == SEPARATE]
    return [node.name for node in pools if node.type.size > node.type.channels and node.name not in search.engines]


def _choice(
    search: Search, candidates: Sequence[int], goal: Goal | None, clock_mhz: float | None, share: float
) -> Solution | None:
    """The choice for a goal, in a share of the device; None if there is none, PlanError if none in the whole."""
    room = Room(share)
    smallest = search.solve(search.longest, room=room)
    if smallest is None or not smallest.fits(room):
        if share < 1:
            return None
        raise PlanError(_too_big(search, smallest.cost if smallest else None))
    match goal:
        case Smallest():
            return smallest
        case Fps(wanted):
            return _for_fps(search, candidates, wanted, clock_mhz, room)
        case Latency():
            return _quickest(search, candidates, room) or smallest
    best = lean = _fastest(search, candidates, replace(LEAN, share=min(share, LEAN.share)))
    for comfort in COMFORT:
        found = _fastest(search, candidates, replace(comfort, share=min(share, comfort.share)))
        if found is not None and (
            best is None
            or (best is lean and found.cost.brams > best.cost.brams - MANY)
            or _work(found) * WORTH <= _work(best)
        ):
            best = found
        if best is not None and best.cost.luts < FULL * comfort.luts:
            break
    return best or _fastest(search, candidates, room) or smallest


def _work(solution: Solution) -> int:
    """LUTs times cycles."""
    return solution.cost.luts * solution.cost.cycles


def _fastest(search: Search, candidates: Sequence[int], room: Room) -> Solution | None:
    """The solution of the least interval that fits in `room`."""
    low, high, found = 0, len(candidates), None
    while low < high:  # the cost falls as the interval grows
        middle = (low + high) // 2
        solution = search.solve(candidates[middle], room=room)
        if solution is not None and solution.fits(room):
            found, high = solution, middle
        else:
            low = middle + 1
    return found


def _quickest(search: Search, candidates: Sequence[int], room: Room) -> Solution | None:
    """The solution of the lowest latency that fits, of those found while cycles are made ever dearer.

    The latency is about the sum of all nodes' cycles, where the interval is the largest of them.
    """
    found = [solution for solution in [_fastest(search, candidates, room)] if solution is not None]
    low, high = HASTE
    for _ in range(HASTE_STEPS):
        middle = (low + high) / 2
        solution = search.solve(search.longest, 2.0**middle, room)
        if solution is not None and solution.fits(room):
            found.append(solution)
            low = middle
        else:
            high = middle
    return min(found, key=lambda solution: solution.latency, default=None)


def _for_fps(search: Search, candidates: Sequence[int], wanted: float, clock_mhz: float | None, room: Room) -> Solution:
    if clock_mhz is None:
        raise PlanError("--fps needs a clock to turn into cycles: give --clock MHZ, or a --board, which has one")
    if not wanted > 0:
        raise PlanError(f"--fps must be above 0, not {wanted:g}")
    cycles = int(clock_mhz * 1e6 / wanted)
    solution = search.solve(cycles, room=room) if cycles >= 1 else None
    if solution is not None and solution.fits(room):
        return _eased(search, cycles, room, solution)
    best = _fastest(search, candidates, room)
    reach = f"{clock_mhz * 1e6 // best.cost.cycles:,.0f} frames/s" if best else "none"
    if solution is None:
        slow = search.slower(cycles)
        why = f"In {cycles} cycles no engine does {', '.join(slow)}. " if slow else ""
    else:
        others = search.elsewhere(cycles)
        why = f"In {cycles} cycles the nodes need {search.overdrawn(solution.cost)}, which " + (
            f"{', '.join(others)} would have. " if others else "no known device has. "
        )
    raise PlanError(
        f"--fps must be within reach: {wanted:,.0f} frames/s at {clock_mhz:g} MHz leave {cycles} cycles a frame, "
        f"and the fastest plan that fits {search.device.name} reaches {reach}. {why}"
        "Ask for less, a faster --clock, or a larger device"
    )


def _eased(search: Search, cycles: int, room: Room, solution: Solution) -> Solution:
    """The same interval in fewer LUTs, where there are many and blocks of the device can take their place."""
    least, found = COMFORT[0].luts, [solution]
    for price in DEARER if solution.cost.luts > least else ():
        other = search.solve(cycles, room=room, luts=price)
        if other is not None and other.fits(room):
            found.append(other)
    return min(found, key=lambda one: max(one.cost.luts, least))


def _too_big(search: Search, cost: Cost | None, what: str = "its smallest plan") -> str:
    if cost is None:
        return "no folding joins the pinned nodes: leave out a --fold"
    larger = search.elsewhere()
    return f"the network must fit {search.device.name}, but {what} needs {search.overdrawn(cost)} to be had. " + (
        f"It fits {', '.join(larger)}" if larger else "It fits none of the known devices: make the model smaller"
    )


def parse_goal(*, fps: float | None, latency: bool, smallest: bool) -> Goal | None:
    """The goal of the options --fps, --latency and --smallest, of which one may be given."""
    goals: list[Goal] = [Fps(fps)] if fps is not None else []
    goals += [Latency()] * latency + [Smallest()] * smallest
    if len(goals) > 1:
        raise OptionError("only one of --fps, --latency and --smallest may be given")
    return goals[0] if goals else None


def parse_pin(text: str) -> tuple[str, str]:
    """`node=engine`, where an engine may have parameters behind a colon."""
    match = re.fullmatch(r"(.+?)=([^=:]+(?::.+)?)", text)
    if match is None:
        raise OptionError(f"--engine must be NODE=NAME, such as fc1=xnor or conv1=winograd:m=2, not '{text}'")
    return match[1], match[2]


def parse_fold(text: str) -> tuple[str, Folding]:
    """`node=PExSIMD`."""
    match = re.fullmatch(r"(.+)=([0-9]{1,9})x([0-9]{1,9})", text)
    if match is None:
        raise OptionError(f"--fold must be NODE=PExSIMD, such as fc1=8x16, not '{text}'")
    return match[1], Folding(int(match[2]), int(match[3]))
