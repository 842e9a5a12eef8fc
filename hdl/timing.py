"""Exact cycles of a network without simulation of its data: latency and interval from its token model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lutwright.frontend.ir import Array
from lutwright.hdl.steps import Machine
from lutwright.hdl.tokens import Tokens

FRAMES_TO_SETTLE = 24  # the state of a network that keeps up with its source repeats in far fewer


@dataclass(frozen=True)
class Timing:
    """`latency`: cycles from a frame's first beat in to its last beat out, in an idle network.

    `interval`: cycles between the last beats of successive frames, in steady state; where the frames of a steady
    period differ, their mean, rounded up.
    """

    latency: int
    interval: int


def simulate(tokens: Tokens, beats_in: int, beats_out: int, frames: int) -> list[tuple[int, int]]:
    """Cycle of the first beat in and of the last beat out of each frame; source and sink never stall."""
    found = Machine(tokens).frames(beats_in, beats_out, frames, entering=frames)
    return [(int(start), int(end)) for start, end in found]


class Course:
    """When the last beat of each frame leaves, in cycles after the first beat in; source and sink never stall.

    It is stepped as far as asked, or until the state of all stages repeats: what follows is as what came in between.
    """

    def __init__(self, tokens: Tokens, beats_in: int, beats_out: int) -> None:
        self._machine, self._beats = Machine(tokens), (beats_in, beats_out)
        self._ends, self._seen, self._period = list[int](), dict[bytes, int](), 0

    def last_beats(self, frames: int) -> Array:
        """[frames]: the cycles of each frame's last beat. PlanError at a deadlock."""
        while len(self._ends) < frames and not self._period:
            self._ends.append(_end(self._machine, *self._beats))
            before = self._seen.setdefault(self._machine.snapshot(), len(self._ends))
            self._period = len(self._ends) - before
        known: Array = np.array(self._ends, np.int64)
        if not self._period:
            return known[:frames]
        index: Array = np.arange(frames)
        periods: Array = np.maximum(0, index - (len(known) - self._period)) // self._period
        ends: Array = known[index - periods * self._period] + periods * (known[-1] - known[-1 - self._period])
        return ends


def measure(tokens: Tokens, beats_in: int, beats_out: int, bottleneck: int = 0) -> Timing:
    """Latency and interval of a network, of which no component is faster than `bottleneck` cycles a frame.

    PlanError at a deadlock. Where the state does not repeat soon, the interval is that of `paced`.
    """
    return _steady(Machine(tokens), beats_in, beats_out) or paced(tokens, beats_in, beats_out, bottleneck)


def paced(tokens: Tokens, beats_in: int, beats_out: int, bottleneck: int) -> Timing:
    """The same from a source that is slowed down to the pace of the bottleneck.

    Queues may take thousands of frames to fill, when a component is hardly slower than what is before it. A network
    of streams with bounded queues is linear over (max, +), so its frames leave at a rate, the cycle mean, that depends
    neither on its start nor on a source that is faster (F. Baccelli, G. Cohen, G. J. Olsder, J.-P. Quadrat,
    "Synchronization and Linearity", 1992). As no component is faster than the bottleneck, a source of its pace changes
    no rate. Where the network keeps up with it, no queue fills further and the state repeats soon. Where it does not,
    frames pile up before it, and the state without these repeats; if it does so late, the interval is the least pace
    that the network keeps up with. No frame delays those before it: the latency is that of the first.

    A pipeline that keeps the gaps between its beats is not linear: a beat that comes later may leave earlier. Thus in
    rare networks of shallow queues this interval is the shorter one.
    """
    pace, step = max(bottleneck, 1), 1
    found = _steady(Machine(tokens), beats_in, beats_out, pace)
    while found is None:
        low, pace, step = pace + 1, pace + step, 2 * step
        found = _steady(Machine(tokens), beats_in, beats_out, pace)
    if found.interval > pace or step == 1:
        return found
    while low < pace:
        middle = (low + pace) // 2
        slower = _steady(Machine(tokens), beats_in, beats_out, middle)
        if slower and slower.interval <= middle:
            pace, found = middle, slower
        else:
            low = middle + 1
    return found


def keeps_up(machine: Machine, beats_in: int, beats_out: int, pace: int, latency: float = math.inf) -> int | None:
    """The latency of a network after reset that takes a frame every `pace` cycles; PlanError at a deadlock.

    None if it can't, or if its latency is above `latency`.
    """
    first = _end(machine, beats_in, beats_out, pace)
    if first > latency:
        return None
    found = _steady(machine, beats_in, beats_out, pace)
    return first if found and found.interval <= pace else None


def _steady(machine: Machine, beats_in: int, beats_out: int, pace: int = 0) -> Timing | None:
    """The first frame's end from here and the interval, where the source has a frame every `pace` cycles at most.

    None if the state does not repeat in FRAMES_TO_SETTLE frames.
    """
    ends, seen = list[int](), dict[bytes, tuple[int, int, int]]()
    for index in range(FRAMES_TO_SETTLE):
        ends.append(_end(machine, beats_in, beats_out, pace))
        state, lag = machine.snapshot(), machine.lag(pace)
        before, earlier, waited = seen.get(state, (0, 0, -1))
        # The same with more frames waiting is the same only where the source had always one to offer.
        if waited >= 0 and (lag == earlier or (lag > earlier and machine.waited == waited)):
            return Timing(ends[0], -(-(ends[-1] - ends[before]) // (index - before)))
        seen[state] = index, lag, machine.waited
    return None


def _end(machine: Machine, beats_in: int, beats_out: int, pace: int = 0) -> int:
    """The cycle of the next frame's last beat out, after the first beat in."""
    ((_, last),) = machine.frames(beats_in, beats_out, 1, pace=pace)
    return int(last) - machine.first
