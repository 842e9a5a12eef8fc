"""The timing of chains of twins: known cases, and steady states that are found exactly."""

from __future__ import annotations

import pickle

import pytest

from lutwright.hdl.timing import Chain, Control, Pipeline, Timing, measure, simulate


class Worker:
    """Takes a frame of `beats`, works for `cycles`, and gives one beat; takes nothing meanwhile."""

    def __init__(self, beats: int, cycles: int) -> None:
        self.beats, self.cycles = beats, cycles
        self.taken = self.left = 0

    def valid(self, i_valid: bool) -> bool:
        return self.taken == self.beats and self.left == 0

    def ready(self, o_ready: bool) -> bool:
        return self.taken < self.beats

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        if o_fire:
            self.taken = 0
        elif self.left:
            self.left -= 1
        elif i_fire:
            self.taken += 1
            if self.taken == self.beats:
                self.left = self.cycles


class Endless:
    """A twin whose state never repeats."""

    def __init__(self) -> None:
        self.cycles = 0

    def valid(self, i_valid: bool) -> bool:
        return i_valid

    def ready(self, o_ready: bool) -> bool:
        return o_ready

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        self.cycles += 1


CASES = [
    ([("pipeline", 1, 1, 0)], 4, 4, Timing(4, 4)),
    ([("pipeline", 3, 1, 0)], 4, 4, Timing(6, 4)),
    ([("pipeline", 2, 4, 1)], 8, 2, Timing(9, 8)),
    ([("worker", 4, 5)], 4, 1, Timing(9, 10)),
    ([("pipeline", 2, 1, 0), ("worker", 4, 5), ("pipeline", 1, 1, 0)], 4, 1, Timing(12, 10)),
    ([("worker", 4, 20), ("worker", 1, 30)], 4, 1, Timing(55, 32)),
]


def twins(kinds: list[tuple[str, int, int] | tuple[str, int, int, int]]) -> list[Control]:
    return [Pipeline(*sizes) if kind == "pipeline" else Worker(*sizes) for kind, *sizes in kinds]


@pytest.mark.parametrize(("kinds", "beats_in", "beats_out", "timing"), CASES)
def test_measure(
    kinds: list[tuple[str, int, int] | tuple[str, int, int, int]], beats_in: int, beats_out: int, timing: Timing
) -> None:
    assert measure(lambda: twins(kinds), beats_in, beats_out) == timing
    seen = simulate(twins(kinds), beats_in, beats_out, 12)
    assert seen[0][1] - seen[0][0] == timing.latency
    assert seen[-1][1] - seen[-2][1] == timing.interval


@pytest.mark.parametrize(("kinds", "beats_in", "beats_out", "timing"), CASES)
def test_a_chain_is_one_twin(
    kinds: list[tuple[str, int, int] | tuple[str, int, int, int]], beats_in: int, beats_out: int, timing: Timing
) -> None:
    assert simulate([Chain(twins(kinds))], beats_in, beats_out, 5) == simulate(twins(kinds), beats_in, beats_out, 5)


def test_a_steady_period_of_several_frames_gives_its_mean() -> None:
    class Uneven(Worker):
        """Works one cycle longer on every other frame."""

        def tick(self, i_fire: bool, o_fire: bool) -> None:
            super().tick(i_fire, o_fire)
            if o_fire:
                self.cycles = 11 - self.cycles

    assert measure(lambda: [Uneven(1, 5)], 1, 1).interval == 8  # 7 and 8 in turn


def test_unbounded_state_is_found() -> None:
    with pytest.raises(AssertionError, match="must be bounded"):
        measure(lambda: [Endless()], 1, 1)


def test_twins_can_be_compared() -> None:
    assert pickle.dumps(vars(Pipeline(3))) == pickle.dumps(vars(Pipeline(3)))
