"""Exact cycles of a network without simulation of its data: latency and interval from its token model."""

from __future__ import annotations

from dataclasses import dataclass

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


def measure(tokens: Tokens, beats_in: int, beats_out: int) -> Timing:
    """Latency and interval of a network.

    The interval is exact: it is taken over a period that begins and ends in the same state of all stages.
    """
    ((start, end),) = simulate(tokens, beats_in, beats_out, 1)
    machine = Machine(tokens)
    seen: dict[bytes, tuple[int, int]] = {}
    for index in range(FRAMES_TO_SETTLE):
        last = int(machine.frames(beats_in, beats_out, 1)[0, 1])
        state = machine.snapshot()
        if state in seen:
            before, cycle = seen[state]
            return Timing(end - start, -(-(last - cycle) // (index - before)))
        seen[state] = (index, last)
    raise AssertionError(f"the state of a token model is bounded, but none repeated in {FRAMES_TO_SETTLE} frames")
