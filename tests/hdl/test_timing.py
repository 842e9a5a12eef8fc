"""The timing of token models: known cases, and steady states that are found exactly."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from lutwright.errors import GraphError, PlanError
from lutwright.hdl import tokens
from lutwright.hdl.network import Network
from lutwright.hdl.steps import Machine
from lutwright.hdl.timing import Course, Timing, measure, paced, simulate
from lutwright.hdl.tokens import Stages, Tokens, Weaver, pipeline

from .networks import random_network

CASES: list[tuple[Stages, int, int, Timing]] = [
    ((), 4, 4, Timing(3, 4)),
    (pipeline(1), 4, 4, Timing(4, 4)),
    (pipeline(3), 4, 4, Timing(6, 4)),
    (pipeline(2, every=4, warmup=1), 8, 2, Timing(9, 8)),
    (pipeline(2, held=3), 2, 2, Timing(5, 6)),
    ((*pipeline(2), *tokens.serializer(1, 5, 5)), 1, 5, Timing(7, 5)),
    ((*tokens.replay(4, 3), *pipeline(1, every=4)), 4, 3, Timing(13, 12)),
    ((*tokens.packer(2, 3, 1), *tokens.queue(4), *tokens.register_slice()), 4, 2, Timing(7, 4)),
]


@pytest.mark.parametrize(("row", "beats_in", "beats_out", "timing"), CASES)
def test_measure(row: Stages, beats_in: int, beats_out: int, timing: Timing) -> None:
    assert measure(Tokens.row(row), beats_in, beats_out) == timing
    seen = simulate(Tokens.row(row), beats_in, beats_out, 12)
    assert seen[0][1] - seen[0][0] == timing.latency
    assert seen[-1][1] - seen[-2][1] == timing.interval
    ends = Course(Tokens.row(row), beats_in, beats_out).last_beats(12)
    assert ends.tolist() == [end - seen[0][0] for _, end in seen]


def test_a_steady_period_of_several_frames_gives_its_mean() -> None:
    row = (*tokens.serializer(2, 2, 3), *tokens.packer(2, 2, 3))
    ends = [end for _, end in simulate(Tokens.row(row), 1, 1, 12)]
    assert {after - before for before, after in pairwise(ends[4:])} == {2, 3}
    assert measure(Tokens.row(row), 1, 1).interval == 3
    assert Course(Tokens.row(row), 1, 1).last_beats(12).tolist() == ends


def test_a_pipeline_too_deep_is_refused() -> None:
    with pytest.raises(GraphError, match="1 to 62 stages, not 63"):
        pipeline(63)


def test_a_deadlock_is_an_error() -> None:
    """One branch gives its first beat after three, the other holds one."""
    weaver = Weaver()
    slow, fast = weaver.through(tokens.fork(2), 0)
    slow = weaver.along(tokens.packer(1, 3, 3), slow)
    (both,) = weaver.through(tokens.join(2), slow, fast)
    with pytest.raises(PlanError, match="deadlock, but no beat moves after cycle"):
        measure(weaver.tokens(both), 3, 1)


def test_turns() -> None:
    weaver = Weaver()
    first, second = weaver.through(tokens.fork(2), 0)
    queued = weaver.along(tokens.queue(4), second)
    (joined,) = weaver.through(tokens.turns((2, 2)), first, queued)
    assert measure(weaver.tokens(joined), 2, 4) == Timing(3, 4)


def test_a_snapshot_is_of_the_whole_state() -> None:
    machine, other = Machine(Tokens.row(pipeline(3))), Machine(Tokens.row(pipeline(3)))
    assert machine.snapshot() == other.snapshot()
    machine.frames(2, 2, 1)
    assert machine.snapshot() != other.snapshot()


def test_a_queue_that_fills_slowly_has_the_interval_of_the_slowest() -> None:
    """Its component takes 1001 cycles for what comes in 1000, so it is full after five thousand frames."""
    row = Tokens.row((*tokens.queue(5000), *tokens.serializer(1000, 1, 2)))
    for bottleneck in (1001, 1000, 0):
        assert measure(row, 1000, 1001, bottleneck) == Timing(1003, 1001)
    ends = [end for _, end in simulate(row, 1000, 1001, 60)]
    found = Course(row, 1000, 1001)
    assert found.last_beats(40).tolist() == ends[:40]
    assert found.last_beats(60).tolist() == ends


@pytest.mark.parametrize("seed", range(40))
def test_a_source_at_the_bottlenecks_pace_changes_no_interval(seed: int) -> None:
    """Chains that settle by themselves, of which about one in ten waits for its own nodes."""
    network = Network(*random_network(seed))
    row, beats_in, beats_out = network.tokens(), network.i_beats.per_frame, network.o_beats.per_frame
    steady = [end for _, end in simulate(row, beats_in, beats_out, 120)]
    whole = paced(row, beats_in, beats_out, network.cost.cycles)
    assert whole == measure(row, beats_in, beats_out)
    assert (whole.latency, whole.interval) == (steady[0], -(-(steady[-1] - steady[-61]) // 60))


@pytest.mark.parametrize("seed", range(200))
def test_the_pace_changes_no_interval_of_branches(seed: int) -> None:
    """Streams part, go through components and queues of random depths, and meet."""
    choose, weaver = random.Random(seed), Weaver()
    beats = 12
    streams = list(weaver.through(tokens.fork(2), 0))
    for _ in range(choose.randint(1, 3)):
        for index in range(2):
            parts = choose.choice([1, 2, 3, 4])
            vector = choose.choice([1, 2, 3])
            row = (*tokens.queue(choose.randint(2, 9)), *tokens.serializer(vector, parts, parts + 1))
            row += (*tokens.pipeline(choose.randint(1, 3)), *tokens.packer(vector, parts, parts + 1))
            streams[index] = weaver.along(row, streams[index])
    streams[0] = weaver.along(tokens.replay(choose.choice([3, 4]), 1), streams[0])
    streams[1] = weaver.along(tokens.queue(choose.randint(8, 20)), streams[1])
    (joined,) = weaver.through(tokens.join(2), *streams)
    network = weaver.tokens(joined)
    free = measure(network, beats, beats)
    assert paced(network, beats, beats, beats) == free
