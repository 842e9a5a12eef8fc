"""The token model: what every component does to the beats of its streams, without their data.

A component is a row of stages of a few kinds; a network is a graph of stages joined by streams. `lutwright.hdl.steps`
steps it cycle by cycle, exactly as the hardware: `valid` is a function of state and of the inputs' `valid`, `ready` one
of state, `valid` and the outputs' `ready`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array
from lutwright.hdl.timetable import Timetable


class Kind(IntEnum):
    """What a stage does; the numbers are those of `lutwright.hdl.steps`."""

    PIPELINE = 0
    SLICE = 1
    QUEUE = 2
    SERIALIZER = 3
    PACKER = 4
    REPLAY = 5
    SCHEDULE = 6
    FORK = 7
    JOIN = 8
    TURNS = 9
    FREE = 10


@dataclass(frozen=True, eq=False)
class Stage:
    """A kind with its parameters; `table` is of a SCHEDULE, the words of its `timetable`, and of TURNS."""

    kind: Kind
    parameters: tuple[int, ...] = ()
    table: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    timetable: Timetable | None = None


Stages = tuple[Stage, ...]
DEEPEST = 62  # stages of a pipeline, which are bits of one word


def _check_depth(depth: int) -> None:
    if not 1 <= depth <= DEEPEST:
        raise GraphError(f"a pipeline must have 1 to {DEEPEST} stages, not {depth}")


def pipeline(depth: int, every: int = 1, warmup: int = 0, held: int = 1) -> Stages:
    """A rigid pipeline: `depth` registers that advance together unless the last one's beat is not taken.

    Of every `every` beats taken only the last gives a beat. The first `warmup` cycles after reset take nothing.
    A beat is taken in the last of `held` cycles in which it is there and the registers advance.
    """
    _check_depth(depth)
    return (Stage(Kind.PIPELINE, (depth, every, warmup, held)),)


def free_running(depth: int, every: int, room: int) -> Stages:
    """A pipeline of `depth` registers that never wait, and a register slice behind it that has `room` for its beats.

    Of every `every` beats taken only the last gives a beat, and is only taken if there is room for that.
    """
    _check_depth(depth)
    return (Stage(Kind.FREE, (depth, every, room)),)


def register_slice(depth: int = 2) -> Stages:
    """Registers for `depth` beats."""
    return (Stage(Kind.SLICE, (depth,)),)


def queue(depth: int) -> Stages:
    """A queue whose last of `depth` beats is in a register that follows the memory."""
    return (Stage(Kind.QUEUE, (depth,)),)


def serializer(vector: int, parts: int, final_parts: int, empties: bool = False) -> Stages:
    """`parts` beats for each taken, `final_parts` for the last of `vector`; `empties`: none comes in beside another."""
    return (Stage(Kind.SERIALIZER, (vector, parts, final_parts, int(empties))),)


def packer(vector: int, parts: int, final_parts: int) -> Stages:
    """A beat for each `parts` taken, for `final_parts` the last of `vector`."""
    return (Stage(Kind.PACKER, (vector, parts, final_parts)),)


def replay(beats: int, times: int) -> Stages:
    """Two banks of `beats`, each given `times` times."""
    return (Stage(Kind.REPLAY, (beats, times)),)


def schedule(table: Timetable, depth: int, frame: int) -> Stages:
    """A buffer of `depth` beats, read in any order into a register; a frame has `frame` beats."""
    rows, length = len(table.bases), table.needs.shape[1]
    return (Stage(Kind.SCHEDULE, (depth, frame, rows, length), table.words, table),)


def fork(count: int) -> Stage:
    """Each beat taken is given at all `count` outputs, to each as soon as it takes it."""
    return Stage(Kind.FORK, (count,))


def join(count: int) -> Stage:
    """A beat of each of `count` inputs makes one, in the same cycle."""
    return Stage(Kind.JOIN, (count,))


def turns(beats: Sequence[int]) -> Stage:
    """`beats[k]` beats of input k, for one input after the other, over and over, in the same cycle."""
    return Stage(Kind.TURNS, (len(beats),), np.array(beats, np.int64))


@dataclass(frozen=True, eq=False)
class Tokens:
    """Stages in topological order, and the streams that each takes and gives, by number.

    Stream 0 is the network's input, stream `output` what it gives.
    """

    stages: Stages
    takes: tuple[tuple[int, ...], ...]
    gives: tuple[tuple[int, ...], ...]
    output: int

    @classmethod
    def row(cls, stages: Stages) -> Tokens:
        count = len(stages)
        return cls(stages, tuple((k,) for k in range(count)), tuple((k + 1,) for k in range(count)), count)

    @property
    def tight(self) -> Tokens:
        """The same with the room only that every stage has for certain: that of one register, in a pipeline.

        A pipeline with a gap behind its last beat takes none more, once that beat is not taken.
        """
        return replace(self, stages=tuple(map(_tight, self.stages)))


def _tight(stage: Stage) -> Stage:
    if stage.kind is Kind.PIPELINE:
        return replace(stage, parameters=(1, *stage.parameters[1:]))
    if stage.timetable is not None:
        depth, frame, *_ = stage.parameters
        return schedule(stage.timetable.certain(depth, frame), depth, frame)[0]
    return stage


class Weaver:
    """Builds Tokens: `through` leads streams through a stage, and says which come out."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.takes: list[tuple[int, ...]] = []
        self.gives: list[tuple[int, ...]] = []
        self.streams = 1

    def through(self, stage: Stage, *streams: int) -> tuple[int, ...]:
        count = stage.parameters[0] if stage.kind is Kind.FORK else 1
        given = tuple(range(self.streams, self.streams + count))
        self.streams += count
        self.stages.append(stage)
        self.takes.append(streams)
        self.gives.append(given)
        return given

    def along(self, row: Stages, stream: int) -> int:
        """The stream behind a row of stages."""
        for stage in row:
            (stream,) = self.through(stage, stream)
        return stream

    def tokens(self, output: int) -> Tokens:
        return Tokens(tuple(self.stages), tuple(self.takes), tuple(self.gives), output)
