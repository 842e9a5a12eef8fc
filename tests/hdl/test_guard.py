"""The guard passes whole frames on, fills short ones up and cuts long ones, so that the next ones are right."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator, SimulatorContext

from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.guard import FrameGuard
from lutwright.hdl.timing import Timing, measure

from .checks import check

BEATS = Beats(Type((5,), 0, 15), 1)
LAST = 1 << BEATS.type.width


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_whole_frames(lanes: int) -> None:
    check(lambda: FrameGuard(Beats(Type((5,), -3, 9), lanes)), lambda samples: samples, seed=lanes)


def guarded(frames: list[list[int]], size: int) -> list[list[int]]:
    """What must come of `frames`, each of any length."""
    return [(frame + [0] * size)[:size] for frame in frames]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
@pytest.mark.parametrize("seed", range(3))
def test_malformed_frames(size: int, stalls: tuple[float, float], seed: int) -> None:
    rng = random.Random(seed)
    beats = Beats(Type((size,), 0, 15), 1)
    frames = [
        [rng.randint(1, 15) for _ in range(rng.choice([size, size, rng.randint(1, 2 * size)]))] for _ in range(20)
    ]
    words = [value | (LAST if index == len(frame) - 1 else 0) for frame in frames for index, value in enumerate(frame)]
    expected = [v | (LAST if k == size - 1 else 0) for frame in guarded(frames, size) for k, v in enumerate(frame)]
    found: list[int] = []
    dut = FrameGuard(beats)

    async def bench(ctx: SimulatorContext) -> None:
        fed, offered, after = 0, False, 0
        for _ in range(3000):
            after += len(found) >= len(expected) and fed == len(words)
            if after == 100:  # cycles in which no more may come
                return
            offered = offered or (fed < len(words) and rng.random() >= stalls[0])
            ctx.set(dut.i.valid, offered)
            ctx.set(dut.i.payload.as_value(), words[fed] if offered else rng.getrandbits(5))
            ctx.set(dut.o.ready, rng.random() >= stalls[1])
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                found.append(ctx.get(dut.o.payload.as_value()))
            if offered and ctx.get(dut.i.ready):
                fed, offered = fed + 1, False
            await ctx.tick()

    simulator = Simulator(Fragment.get(dut, None))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == expected, f"seed {seed}"


def test_frames_of_any_length_have_their_cycles() -> None:
    """A component without a stage holds no beat: what passes through it is no deadlock."""
    dut = FrameGuard(Beats(Type((100, 100, 1), 0, 1), 1))
    assert measure(dut.tokens(), 10_000, 10_000) == Timing(9_999, 10_000)
