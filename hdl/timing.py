"""Exact cycles without simulation of data: every component brings a control twin of its handshakes.

The twin's rules are those of the streams: `o.valid` is a function of state and `i.valid`, `i.ready` of state and
`o.ready`. A chain of twins stepped together gives the cycle of every transfer, so latency and interval are those of
the hardware, and the tests compare them.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

FRAMES_TO_SETTLE = 1000


class Control(Protocol):
    """The cycle-accurate twin of a component's handshakes; it carries no data.

    Its whole state is in its attributes, and bounded, so that a repeated state shows a steady one.
    """

    def valid(self, i_valid: bool) -> bool:
        """`o.valid` in this cycle."""

    def ready(self, o_ready: bool) -> bool:
        """`i.ready` in this cycle."""

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        """The clock edge: whether a beat was taken at `i`, and one given at `o`."""


class Pipeline:
    """The twin of a rigid pipeline: `depth` stages that advance together unless the last one's beat is not taken.

    Of every `every` beats taken only the last gives a beat. The first `warmup` cycles after reset take nothing.
    """

    def __init__(self, depth: int, every: int = 1, warmup: int = 0) -> None:
        self.top, self.every, self.warmup = 1 << (depth - 1), every, warmup
        self.stages = 0
        self.beat = 0

    def valid(self, i_valid: bool) -> bool:
        return self.stages >= self.top

    def ready(self, o_ready: bool) -> bool:
        return (o_ready or self.stages < self.top) and not self.warmup

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        if self.warmup:
            self.warmup -= 1
        if o_fire:
            self.stages -= self.top
        if self.stages < self.top:
            self.stages <<= 1
            if i_fire:
                self.beat += 1
                if self.beat == self.every:
                    self.beat = 0
                    self.stages |= 1


class Chain:
    """The twin of components in a row, from the twins of each."""

    def __init__(self, controls: Sequence[Control]) -> None:
        self.controls = flat(controls)
        self.offers = [False] * len(self.controls)
        self.accepts = [False] * len(self.controls)

    def valid(self, i_valid: bool) -> bool:
        for index, control in enumerate(self.controls):
            self.offers[index] = i_valid = control.valid(i_valid)
        return i_valid

    def ready(self, o_ready: bool) -> bool:
        for index in range(len(self.controls) - 1, -1, -1):
            self.accepts[index] = o_ready = self.controls[index].ready(o_ready)
        return o_ready

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        fires = [offer and accept for offer, accept in zip(self.offers, self.accepts[1:], strict=False)]
        for control, taken, given in zip(self.controls, (i_fire, *fires), (*fires, o_fire), strict=True):
            control.tick(taken, given)


def flat(controls: Sequence[Control]) -> list[Control]:
    """The twins with chains among them taken apart; that is faster to step."""
    return [part for control in controls for part in (control.controls if isinstance(control, Chain) else [control])]


@dataclass(frozen=True)
class Timing:
    """`latency`: cycles from a frame's first beat in to its last beat out, in an idle network.

    `interval`: cycles between the last beats of successive frames, in steady state; where the frames of a steady
    period differ, their mean, rounded up.
    """

    latency: int
    interval: int


@dataclass(frozen=True)
class Frame:
    """What was seen of one frame: the cycles of its first beat in and of its last beat out.

    `ahead`: beats of later frames that had been taken by then, modulo a frame.
    """

    start: int
    end: int
    ahead: int


def run(controls: Sequence[Control], beats_in: int, beats_out: int, frames: int | None = None) -> Iterator[Frame]:
    """Each frame as it leaves; the source never stalls until `frames` (None: never) are in, the sink never."""
    controls = flat(controls)
    valids = [(index, control.valid) for index, control in enumerate(controls, 1)]
    readies = [(index, control.ready) for index, control in reversed(list(enumerate(controls)))]
    ticks = [(index, control.tick) for index, control in enumerate(controls)]
    offered, accepted = [False] * (len(controls) + 1), [True] * (len(controls) + 1)
    fires = [False] * (len(controls) + 1)
    starts: deque[int] = deque()
    phase = given = cycle = entered = 0
    while frames is None or entered < frames or starts:
        offer = offered[0] = frames is None or entered < frames
        for index, valid in valids:
            offered[index] = offer = valid(offer)
        accept = True
        for index, ready in readies:
            accepted[index] = accept = ready(accept)
        for index, offer in enumerate(offered):
            fires[index] = offer and accepted[index]
        for index, tick in ticks:
            tick(fires[index], fires[index + 1])
        if fires[0]:
            if phase == 0:
                starts.append(cycle)
            phase += 1
            if phase == beats_in:
                phase = 0
                entered += 1
        if fires[-1]:
            given += 1
            if given == beats_out:
                given = 0
                yield Frame(starts.popleft(), cycle, phase)
        cycle += 1


def simulate(controls: Sequence[Control], beats_in: int, beats_out: int, frames: int) -> list[tuple[int, int]]:
    """Cycle of the first beat in and of the last beat out of each frame; source and sink never stall."""
    return [(frame.start, frame.end) for frame in run(controls, beats_in, beats_out, frames)]


def measure(fresh: Callable[[], Sequence[Control]], beats_in: int, beats_out: int) -> Timing:
    """Latency and interval of a chain; `fresh` gives its twins as they are after reset.

    The interval is exact: it is taken over a period that begins and ends in the same state of all twins.
    """
    ((start, end),) = simulate(fresh(), beats_in, beats_out, 1)
    controls = fresh()
    seen: dict[tuple[bytes, int], tuple[int, int]] = {}
    for index, frame in enumerate(islice(run(controls, beats_in, beats_out), FRAMES_TO_SETTLE)):
        state = (pickle.dumps([vars(control) for control in controls]), frame.ahead)
        if state in seen:
            before, cycle = seen[state]
            return Timing(end - start, -(-(frame.end - cycle) // (index - before)))
        seen[state] = (index, frame.end)
    raise AssertionError(f"a twin's state must be bounded, but none repeated in {FRAMES_TO_SETTLE} frames")
