"""The replay buffer repeats vectors, without bubbles, in the cycles of its twin."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Type
from lutwright.hdl.replay import ReplayBuffer
from lutwright.hdl.timing import measure

from .harness import run

CASES = [
    # shape, lo, hi, lanes, times
    ((1,), 0, 1, 1, 2),
    ((5,), 0, 1, 5, 3),
    ((7,), -4, 3, 2, 2),
    ((3, 8), 0, 15, 2, 5),
    ((2, 2, 3), -128, 127, 1, 4),
]


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.3, 0.3), (0.9, 0.2)])
@pytest.mark.parametrize(("shape", "lo", "hi", "lanes", "times"), CASES)
def test_replay_repeats(
    shape: tuple[int, ...], lo: int, hi: int, lanes: int, times: int, stalls: tuple[float, float]
) -> None:
    dut = ReplayBuffer(Type(shape, lo, hi), lanes, times)
    samples = np.random.default_rng(lanes).integers(lo, hi + 1, (5, *shape))
    ran = run(dut, samples, stalls, seed=times, before=11)
    np.testing.assert_array_equal(ran.outputs, np.repeat(samples[..., np.newaxis, :], times, axis=-2))


@pytest.mark.parametrize(("shape", "lo", "hi", "lanes", "times"), CASES)
def test_replay_has_no_bubbles(shape: tuple[int, ...], lo: int, hi: int, lanes: int, times: int) -> None:
    dut = ReplayBuffer(Type(shape, lo, hi), lanes, times)
    timing = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame)
    assert timing.interval == dut.o_beats.per_frame
    assert timing.latency == dut.o_beats.per_frame


def test_replay_must_repeat() -> None:
    with pytest.raises(PlanError, match="at least 2 times, not 1"):
        ReplayBuffer(Type((4,), 0, 1), 2, 1)
