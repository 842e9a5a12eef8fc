"""Exact cycles of a network without simulation of its data: latency and interval from its token model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array
from lutwright.hdl.steps import Machine
from lutwright.hdl.tokens import Tokens

FRAMES_TO_SETTLE = 1000


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


@dataclass(frozen=True)
class Course:
    """When the last beat of each frame leaves, in cycles after the first beat in; source and sink never stall.

    `ends` are of the frames until the state of all stages repeats: what follows is as its last `period` frames.
    """

    ends: tuple[int, ...]
    period: int

    @property
    def timing(self) -> Timing:
        return Timing(self.ends[0], -(-self._cycles // self.period))

    def last_beats(self, frames: int) -> Array:
        """[frames]: the cycles of each frame's last beat."""
        known: Array = np.array(self.ends, np.int64)
        index: Array = np.arange(frames)
        periods: Array = np.maximum(0, index - (len(known) - self.period)) // self.period
        ends: Array = known[index - periods * self.period] + periods * self._cycles
        return ends

    @property
    def _cycles(self) -> int:
        return self.ends[-1] - self.ends[-1 - self.period]


def course(tokens: Tokens, beats_in: int, beats_out: int) -> Course:
    """The course of a network, exact: up to where a frame ends in a state of all stages that was seen before."""
    machine, start, ends = Machine(tokens), 0, list[int]()
    seen: dict[bytes, int] = {}
    for index in range(FRAMES_TO_SETTLE):
        first, last = machine.frames(beats_in, beats_out, 1)[0]
        start = start if ends else int(first)
        ends.append(int(last) - start)
        state = machine.snapshot()
        if state in seen:
            return Course(tuple(ends), index - seen[state])
        seen[state] = index
    raise PlanError(
        f"the network must come into a steady state in {FRAMES_TO_SETTLE} frames, but its buffers fill too slowly, "
        "since a node is hardly slower than what is before it: make one of them faster or slower by a --fold"
    )


def measure(tokens: Tokens, beats_in: int, beats_out: int) -> Timing:
    """Latency and interval of a network."""
    return course(tokens, beats_in, beats_out).timing
