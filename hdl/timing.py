"""Exact cycles without simulation of data: every component brings a control twin of its handshakes.

The twin's rules are those of the streams: `o.valid` is a function of state and `i.valid`, `i.ready` of state and
`o.ready`. A chain of twins stepped together gives the cycle of every transfer, so latency and interval are those of
the hardware, and the tests compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Control(Protocol):
    """The cycle-accurate twin of a component's handshakes; it carries no data."""

    def valid(self, i_valid: bool) -> bool:
        """`o.valid` in this cycle."""

    def ready(self, o_ready: bool) -> bool:
        """`i.ready` in this cycle."""

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        """The clock edge: whether a beat was taken at `i`, and one given at `o`."""


@dataclass(frozen=True)
class Timing:
    """`latency`: cycles from a frame's first beat in to its last beat out, in an idle network.

    `interval`: cycles between the last beats of successive frames, in steady state.
    """

    latency: int
    interval: int


def simulate(controls: Sequence[Control], beats_in: int, beats_out: int, frames: int) -> list[tuple[int, int]]:
    """Cycle of the first beat in and of the last beat out of each frame; source and sink never stall."""
    fed, given, cycle = 0, 0, 0
    starts, ends = [0] * frames, [0] * frames
    while given < frames * beats_out:
        valids = [fed < frames * beats_in]
        for control in controls:
            valids.append(control.valid(valids[-1]))
        readies = [True]
        for control in reversed(controls):
            readies.append(control.ready(readies[-1]))
        readies.reverse()
        fires = [valid and ready for valid, ready in zip(valids, readies, strict=True)]
        for index, control in enumerate(controls):
            control.tick(fires[index], fires[index + 1])
        if fires[0]:
            if fed % beats_in == 0:
                starts[fed // beats_in] = cycle
            fed += 1
        if fires[-1]:
            given += 1
            if given % beats_out == 0:
                ends[given // beats_out - 1] = cycle
        cycle += 1
    return list(zip(starts, ends, strict=True))
