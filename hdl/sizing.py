"""The depths of the queues before nodes, from the token model.

A network in which every pipeline has room for one beat only is a Kahn process network: every component takes and gives
beats in an order that no timing changes, and a bounded queue is one more such order. So whether it deadlocks does not
depend on when anything stalls: if it runs for ever when a frame enters once that before has left (which is seen, as its
state repeats), it runs at any stalls. A deeper pipeline never has room for less. It has room for more only while there
are no gaps between its beats, so that alone, which stalls can change, must not be what keeps a network going. Neither
must the room that a buffer has for a while only (`Timetable.certain`): what it has for certain never shrinks.

Why that is enough: in such a network every event (a beat taken or given) waits for some earlier ones alone, so all can
be put in one order. Whatever has happened in the hardware, the first event of that order that has not can happen now,
for the hardware has no less room in any state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from lutwright.errors import PlanError
from lutwright.frontend.ir import Graph
from lutwright.frontend.planning import Plan
from lutwright.hdl.assembly import Assembly
from lutwright.hdl.steps import Machine
from lutwright.hdl.timing import keeps_up, measure

AMPLE = 4  # frames in a queue that never hinders
SHALLOWEST = 2
# Beats up to which a depth is the least there is; a deeper one is within CLOSE of that, for every trial takes long.
EXACT = 64
CLOSE = 1 / 32


def sized(graph: Graph, plan: Plan, even: bool = False) -> Plan:
    """The plan with the least depths at which it never deadlocks, with latency and interval of queues without bounds.

    Queues stand where streams meet. If `even`, and nodes wait for one another since some take or give their beats in
    bursts, there are queues at a few other places too, so that the interval is that of the slowest node. No single
    depth of up to EXACT beats can be one less, no greater one less by CLOSE of it, and no single place be spared; 0 is
    no queue.
    """
    assembly = Assembly(graph, plan)
    ample = {name: AMPLE * beats.per_frame + SHALLOWEST for name, beats in assembly.edges.items()}
    depths = {name: depth for name, depth in ample.items() if name in assembly.queues}
    pace = assembly.bottleneck
    trial = Trial(assembly, pace)
    if even and trial(depths) is None and trial(ample) is not None:
        deepest = trial.peaks(ample)
        bits = {name: beats.bits * deepest[name] for name, beats in assembly.edges.items()}
        depths = _spared(ample, sorted(ample.keys() - depths.keys(), key=lambda name: (bits[name], name)), trial)
    if not depths:
        return plan
    if trial(depths) is None:
        tokens, beats_in, beats_out, _ = assembly.streams(depths)
        pace = measure(tokens, beats_in, beats_out, pace).interval
        trial = Trial(assembly, pace)
    best = trial(depths)
    if best is None:  # no steady state is found at that pace: nothing shallower can be told to be enough
        return replace(plan, queues=depths)
    return replace(plan, queues=_shallow(trial.peaks(depths), trial, best))


class Trial:
    """The latency of a network with queues of some depths.

    None if it does not take a frame every `pace` cycles, or may deadlock.
    """

    def __init__(self, assembly: Assembly, pace: int) -> None:
        self.assembly, self.pace = assembly, pace
        self.known: dict[tuple[frozenset[tuple[str, int]], float], tuple[int | None, dict[str, int]]] = {}

    def __call__(self, depths: Mapping[str, int], most: float = math.inf) -> int | None:
        """None as well where the latency is above `most`."""
        return self._run(depths, most)[0]

    def peaks(self, depths: Mapping[str, int]) -> dict[str, int]:
        """Depths that hinder no more than `depths` do, as the queues are never that full."""
        return self._run(depths, math.inf)[1]

    def _run(self, depths: Mapping[str, int], most: float) -> tuple[int | None, dict[str, int]]:
        key = frozenset((name, depth) for name, depth in depths.items() if depth), most
        if key not in self.known:
            tokens, beats_in, beats_out, queues = self.assembly.streams(depths)
            machines, latency = [Machine(tokens)], None
            with suppress(PlanError):  # a deadlock
                latency = keeps_up(machines[0], beats_in, beats_out, self.pace, most)
            if latency is not None:
                machines.append(Machine(tokens.tight))
                if not goes_on(machines[1], beats_in, beats_out):
                    latency = None
            peaks = {name: int(max(m.peaks[stage] for m in machines)) + 2 for name, stage in queues.items()}
            self.known[key] = latency, peaks
        return self.known[key]


def goes_on(machine: Machine, beats_in: int, beats_out: int) -> bool:
    """Whether frames go through for ever, each of which enters when that before has left."""
    seen = set[bytes]()
    with suppress(PlanError):  # a deadlock
        while (state := machine.snapshot()) not in seen:
            seen.add(state)
            machine.frames(beats_in, beats_out, 1, entering=len(seen))
        return True
    return False


def _spared(depths: Mapping[str, int], places: Sequence[str], trial: Trial) -> dict[str, int]:
    """The same without the queues at those of `places` that can be spared, the first ones first."""
    less = {name: depth for name, depth in depths.items() if name not in places}
    if not places or trial(less) is not None:
        return less
    if len(places) == 1:
        return dict(depths)
    half = (len(places) + 1) // 2
    return _spared(_spared(depths, places[:half], trial), places[half:], trial)


def _shallow(depths: Mapping[str, int], trial: Trial, best: int) -> dict[str, int]:
    """The least depths at which the network keeps up with its latency at most `best`."""

    def enough(name: str, depth: int) -> bool:
        return trial({**depths, name: depth}, best) is not None

    settled, depths = dict[str, int](), dict(depths)
    while depths != settled:  # a queue may do with less once another has become less
        settled = dict(depths)
        for name in depths:
            depths[name] = _least(depths[name], partial(enough, name))
    return depths


def _least(high: int, enough: Callable[[int], bool]) -> int:
    """The least depth that is enough, where `high` is, or one close to it: none, or found from there downwards."""
    if high == 0 or enough(0):
        return 0
    low, step = SHALLOWEST, _close(high)
    while high - low >= _close(high):
        tried = max(low, high - step) if step else (low + high) // 2
        if enough(tried):
            high, step = tried, 2 * step
        else:
            low, step = tried + 1, 0
    return high


def _close(depth: int) -> int:
    """The beats by which a depth is worth being less."""
    return 1 if depth <= EXACT else math.ceil(depth * CLOSE)
