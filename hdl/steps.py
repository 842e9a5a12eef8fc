"""Steps a token model, compiled to machine code: some hundred million stages a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array
from lutwright.hdl.tokens import Kind, Stage, Tokens

PIPELINE, SLICE, QUEUE, SERIALIZER, PACKER, REPLAY, SCHEDULE, FORK, JOIN, TURNS, FREE = (int(kind) for kind in Kind)
STATE = 6  # words of a stage's state
PARAMETERS = 5  # the last one is where its table begins
IDLE = 4096  # cycles in a row without a transfer, beyond those that pipelines take, that only a deadlock has


class Machine:
    """A token model and its state after reset, stepped a cycle or many at a time.

    `peaks`: by stage, the most beats that a QUEUE held.
    """

    def __init__(self, tokens: Tokens) -> None:
        stages = tokens.stages
        self.tokens = tokens
        self.kinds = np.array([stage.kind for stage in stages], np.int64)
        self.parameters = np.zeros((len(stages), PARAMETERS), np.int64)
        tables, start = [stage.table for stage in stages], 0
        for index, stage in enumerate(stages):
            self.parameters[index, : len(stage.parameters)] = stage.parameters
            self.parameters[index, PARAMETERS - 1] = start
            start += len(stage.table)
        self.tables = np.concatenate([np.zeros(1, np.int64), *tables])[1:] if start else np.zeros(1, np.int64)
        self.takes, self.gives = _padded(tokens.takes), _padded(tokens.gives)
        streams = 1 + sum(map(len, tokens.gives))
        self.valid, self.ready = np.zeros(streams, np.bool_), np.zeros(streams, np.bool_)
        self.state = np.zeros((len(stages), STATE), np.int64)
        self.peaks = np.zeros(len(stages), np.int64)
        self.idle = IDLE + sum(_pause(stage) for stage in stages)
        for index, stage in enumerate(stages):
            if stage.kind is Kind.PIPELINE:
                self.state[index, 2] = stage.parameters[2]
        # In a frame, beats taken so far; those given; the cycle; frames taken; the cycle of the first beat in; the
        # cycles in which the source had no frame to offer.
        self.counts = np.array([0, 0, 0, 0, -1, 0], np.int64)

    @property
    def _arrays(self) -> tuple[Array, ...]:
        return self.kinds, self.parameters, self.tables, self.takes, self.gives, self.state

    def settle(self, i_valid: bool, o_ready: bool) -> tuple[bool, bool]:
        """`o.valid` and `i.ready` in this cycle."""
        _settle(*self._arrays, self.valid, self.ready, self.tokens.output, i_valid, o_ready)
        return bool(self.valid[self.tokens.output]), bool(self.ready[0])

    def tick(self) -> None:
        """The clock edge after `settle`."""
        _tick(*self._arrays, self.valid, self.ready, self.peaks)

    def frames(self, beats_in: int, beats_out: int, count: int, entering: int = -1, pace: int = 0) -> Array:
        """[count, 2]: the cycles of the next frames' first beat in and last beat out; the sink never stalls.

        The source stalls only from when `entering` frames are in (-1: never), and where it has frame k no sooner than
        k * pace cycles after the first. PlanError at a deadlock.
        """
        found = np.zeros((count, 2), np.int64)
        done = _run(
            *self._arrays, self.valid, self.ready, self.peaks, self.tokens.output, self.counts,
            beats_in, beats_out, entering, pace, self.idle, found,
        )  # fmt: skip
        if done < count:
            raise PlanError(
                f"the network must not deadlock, but no beat moves after cycle {self.counts[2]}: deepen its queues"
            )
        return found

    def levels(self, stage: int) -> Callable[[], int]:
        """How many beats a QUEUE holds."""
        return lambda: int(self.state[stage, 0] + self.state[stage, 1])

    def snapshot(self) -> bytes:
        """All that the future depends on, when the source never stalls."""
        return self.state.tobytes() + self.counts[:2].tobytes()

    def lag(self, pace: int) -> int:
        """Cycles since the source had a frame as many as are in, at a `pace`."""
        return int(self.counts[2] - self.counts[4] - self.counts[3] * pace)

    @property
    def first(self) -> int:
        """The cycle of the first beat in."""
        return int(self.counts[4])

    @property
    def waited(self) -> int:
        """Cycles in which the source had nothing to offer, because of the pace."""
        return int(self.counts[5])


def _pause(stage: Stage) -> int:
    return sum(stage.parameters) if stage.kind in (Kind.PIPELINE, Kind.FREE) else 4


def _padded(rows: tuple[tuple[int, ...], ...]) -> Array:
    width = max(map(len, rows), default=1)
    return np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64).reshape(len(rows), width)


@njit(cache=True)
def _settle(
    kinds: Any, parameters: Any, tables: Any, takes: Any, gives: Any, state: Any,
    valid: Any, ready: Any, output: int, i_valid: bool, o_ready: bool,
) -> None:  # fmt: skip
    valid[0] = i_valid
    for k in range(len(kinds)):
        kind, give = kinds[k], gives[k, 0]
        if kind == PIPELINE:
            valid[give] = state[k, 0] >= 1 << (parameters[k, 0] - 1)
        elif kind in (SLICE, SERIALIZER):
            valid[give] = state[k, 0] > 0
        elif kind in (QUEUE, FREE):
            valid[give] = state[k, 1] > 0
        elif kind in (PACKER, SCHEDULE):
            valid[give] = state[k, 2] > 0
        elif kind == REPLAY:
            valid[give] = ((state[k, 0] >> state[k, 2]) & 1) == 1 or (
                state[k, 1] == state[k, 2] and state[k, 4] != state[k, 3]
            )
        elif kind == FORK:
            for n in range(parameters[k, 0]):
                valid[gives[k, n]] = valid[takes[k, 0]] and ((state[k, 0] >> n) & 1) == 0
        elif kind == JOIN:
            there = True
            for n in range(parameters[k, 0]):
                there = there and valid[takes[k, n]]
            valid[give] = there
        else:
            valid[give] = valid[takes[k, state[k, 0]]]
    ready[output] = o_ready
    for k in range(len(kinds) - 1, -1, -1):
        kind, take = kinds[k], takes[k, 0]
        accepted = ready[gives[k, 0]]
        if kind == PIPELINE:
            ready[take] = (
                (accepted or state[k, 0] < 1 << (parameters[k, 0] - 1))
                and state[k, 2] == 0
                and state[k, 3] == parameters[k, 3] - 1
            )
        elif kind == SLICE:
            ready[take] = state[k, 0] < parameters[k, 0]
        elif kind == FREE:
            ready[take] = state[k, 2] < parameters[k, 2] or state[k, 3] < parameters[k, 1] - 1
        elif kind == QUEUE:
            ready[take] = state[k, 0] < parameters[k, 0] - 1
        elif kind == SERIALIZER:
            ready[take] = state[k, 0] == 0 or (state[k, 0] == 1 and accepted and parameters[k, 3] == 0)
        elif kind == PACKER:
            ready[take] = accepted or state[k, 2] == 0
        elif kind == REPLAY:
            ready[take] = ((state[k, 0] >> state[k, 1]) & 1) == 0
        elif kind == SCHEDULE:
            row = parameters[k, 4] + state[k, 3]
            ready[take] = (
                state[k, 0]
                < tables[row]
                + tables[parameters[k, 4] + tables[row + parameters[k, 2]] + parameters[k, 3] + state[k, 1]]
                + parameters[k, 0]
            )
        elif kind == FORK:
            every = True
            for n in range(parameters[k, 0]):
                every = every and (ready[gives[k, n]] or ((state[k, 0] >> n) & 1) == 1)
            ready[take] = every
        elif kind == JOIN:
            for n in range(parameters[k, 0]):
                ready[takes[k, n]] = accepted and valid[gives[k, 0]]
        else:
            for n in range(parameters[k, 0]):
                ready[takes[k, n]] = accepted and n == state[k, 0]


@njit(cache=True)
def _tick(
    kinds: Any, parameters: Any, tables: Any, takes: Any, gives: Any, state: Any, valid: Any, ready: Any, peaks: Any
) -> bool:
    moved = False
    for k in range(len(kinds)):
        kind, take, give = kinds[k], takes[k, 0], gives[k, 0]
        taken, given = valid[take] and ready[take], valid[give] and ready[give]
        moved = moved or taken or given
        if kind == PIPELINE:
            top = 1 << (parameters[k, 0] - 1)
            if state[k, 2] > 0:
                state[k, 2] -= 1
            if given:
                state[k, 0] -= top
            if state[k, 0] < top:
                state[k, 0] <<= 1
                if valid[take] and state[k, 2] == 0:
                    state[k, 3] = (state[k, 3] + 1) % parameters[k, 3]
                if taken:
                    state[k, 1] += 1
                    if state[k, 1] == parameters[k, 1]:
                        state[k, 1] = 0
                        state[k, 0] |= 1
        elif kind == SLICE:
            state[k, 0] += int(taken) - int(given)
        elif kind == QUEUE:
            if given:
                state[k, 1] = 0
            if state[k, 0] > 0 and state[k, 1] == 0:
                state[k, 1] = 1
                state[k, 0] -= 1
            state[k, 0] += int(taken)
            peaks[k] = max(peaks[k], state[k, 0] + state[k, 1])
        elif kind == FREE:
            top = 1 << (parameters[k, 0] - 1)
            if state[k, 0] >= top:
                state[k, 0] -= top
                state[k, 1] += 1
            state[k, 0] <<= 1
            state[k, 1] -= int(given)
            state[k, 2] -= int(given)
            state[k, 3] += int(taken)
            if state[k, 3] == parameters[k, 1]:
                state[k, 3] = 0
                state[k, 0] |= 1
                state[k, 2] += 1
        elif kind == SERIALIZER:
            state[k, 0] -= int(given)
            if taken:
                state[k, 1] += 1
                state[k, 0] = parameters[k, 1]
                if state[k, 1] == parameters[k, 0]:
                    state[k, 1] = 0
                    state[k, 0] = parameters[k, 2]
        elif kind == PACKER:
            if given:
                state[k, 2] = 0
            if taken:
                state[k, 0] += 1
                if state[k, 0] == (parameters[k, 2] if state[k, 1] == parameters[k, 0] - 1 else parameters[k, 1]):
                    state[k, 0] = 0
                    state[k, 2] = 1
                    state[k, 1] = (state[k, 1] + 1) % parameters[k, 0]
        elif kind == REPLAY:
            if given:
                state[k, 4] += 1
                if state[k, 4] == parameters[k, 0]:
                    state[k, 4] = 0
                    state[k, 5] += 1
                    if state[k, 5] == parameters[k, 1]:
                        state[k, 0] &= ~(1 << state[k, 2])
                        state[k, 5] = 0
                        state[k, 2] = 1 - state[k, 2]
            if taken:
                state[k, 3] += 1
                if state[k, 3] == parameters[k, 0]:
                    state[k, 0] |= 1 << state[k, 1]
                    state[k, 3] = 0
                    state[k, 1] = 1 - state[k, 1]
        elif kind == SCHEDULE:
            row = parameters[k, 4] + state[k, 3]
            there = tables[row] + tables[parameters[k, 4] + tables[row + parameters[k, 2]] + state[k, 1]] <= state[k, 0]
            step = there and (given or state[k, 2] == 0)
            if given:
                state[k, 2] = 0
            if step:
                state[k, 2] = 1
                state[k, 1] += 1
                if state[k, 1] == parameters[k, 3]:
                    state[k, 1] = 0
                    state[k, 3] += 1
                    if state[k, 3] == parameters[k, 2]:
                        state[k, 3] = 0
                        state[k, 0] -= parameters[k, 1]
            state[k, 0] += int(taken)
        elif kind == FORK:
            for n in range(parameters[k, 0]):
                if valid[gives[k, n]] and ready[gives[k, n]]:
                    state[k, 0] |= 1 << n
            if taken:
                state[k, 0] = 0
        elif kind == TURNS and given:
            state[k, 1] += 1
            if state[k, 1] == tables[parameters[k, 4] + state[k, 0]]:
                state[k, 1] = 0
                state[k, 0] = (state[k, 0] + 1) % parameters[k, 0]
    return moved


@njit(cache=True)
def _run(
    kinds: Any, parameters: Any, tables: Any, takes: Any, gives: Any, state: Any, valid: Any, ready: Any, peaks: Any,
    output: int, counts: Any, beats_in: int, beats_out: int, entering: int, pace: int, idle: int, found: Any,
) -> int:  # fmt: skip
    started, done, still = 0, 0, 0
    while done < len(found):
        there = counts[0] > 0 or counts[4] < 0 or counts[2] - counts[4] >= counts[3] * pace
        offered = there and (entering < 0 or counts[3] < entering)
        _settle(kinds, parameters, tables, takes, gives, state, valid, ready, output, offered, True)
        taken, given = valid[0] and ready[0], valid[output]
        moved = _tick(kinds, parameters, tables, takes, gives, state, valid, ready, peaks)
        counts[5] += int(not there)
        still = 0 if moved or taken or given or not there else still + 1
        if still > idle:
            break
        if taken:
            if counts[0] == 0:
                if started < len(found):
                    found[started, 0] = counts[2]
                started += 1
                if counts[4] < 0:
                    counts[4] = counts[2]
            counts[0] += 1
            if counts[0] == beats_in:
                counts[0] = 0
                counts[3] += 1
        if given:
            counts[1] += 1
            if counts[1] == beats_out:
                counts[1] = 0
                found[done, 1] = counts[2]
                done += 1
        counts[2] += 1
    return done
