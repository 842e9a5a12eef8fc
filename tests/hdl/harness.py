"""Drives a stream component in Amaranth's simulator, with stalls, against the rules of streams and its token model."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import numpy as np
from amaranth import ResetInserter, Signal
from amaranth.hdl import Fragment
from amaranth.sim import Simulator, SimulatorContext

from lutwright.frontend.ir import Array
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.network import Network
from lutwright.hdl.steps import Machine

from .memories import Memories

Stalls = Callable[[int, random.Random], tuple[bool, bool]]  # by the cycle: whether source and sink are there


@dataclass(frozen=True)
class Run:
    """The frames that came out, and the cycles of each frame's first beat in and last beat out."""

    outputs: Array
    first_in: list[int]
    last_out: list[int]

    @property
    def times(self) -> list[tuple[int, int]]:
        """What `lutwright.hdl.timing.simulate` gives for the twin."""
        return list(zip(self.first_in, self.last_out, strict=True))


class Bench:
    """A component in Amaranth's simulator: built once, for that takes as long as many a run, and reset for each run.

    Memories are as in devices (`Memories`), their contents drawn by `seed`.
    """

    def __init__(self, dut: StreamComponent, seed: int = 0) -> None:
        self.dut, self.reset, self.seed = dut, Signal(), seed
        self.simulator = Simulator(ResetInserter(self.reset)(Fragment.get(dut, Memories(seed))))
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self._testbench)
        self.testbench: Callable[[SimulatorContext], Coroutine[None, None, None]] | None = None

    async def _testbench(self, ctx: SimulatorContext) -> None:
        assert self.testbench is not None
        await self.testbench(ctx)

    def run(self, samples: Array, stalls: tuple[float, float] | Stalls = (0, 0), before: int = 0) -> Run:
        """Feed `samples`; source and sink stall with the given probabilities in every cycle, or by a pattern.

        Asserts in every cycle that the payload stays while valid & ~ready, that valid is not dropped, and that the twin
        has the same `o.valid`, `i.ready` and beats in every queue of a network; and of every frame its `last` and its
        padding. `before`: cycles of random traffic, then a reset, before the first sample.
        """
        dut, seed, reset = self.dut, self.seed, self.reset
        rng = random.Random(seed)
        pattern = stalls if callable(stalls) else randomly(*stalls)
        words = [word for sample in samples for word in dut.i_beats.pack(sample)]
        count, per_in, per_out = len(samples), dut.i_beats.per_frame, dut.o_beats.per_frame
        taken: list[int] = []
        first_in, last_out = [0] * count, [0] * count
        limit = 2000 + 40 * (len(words) + count * per_out) * (1 + max(1, count))
        twin = Machine(dut.tokens())
        queues = levels(dut, twin) if isinstance(dut, Network) else {}
        i_payload, o_payload = dut.i.payload.as_value(), dut.o.payload.as_value()

        async def testbench(ctx: SimulatorContext) -> None:
            for cycle in range(before):
                ctx.set(reset, cycle == before - 1)
                source, sink = pattern(cycle, rng)
                ctx.set(dut.i.valid, source)
                ctx.set(i_payload, rng.getrandbits(dut.i_beats.bits))
                ctx.set(dut.o.ready, sink)
                await ctx.tick()
            ctx.set(reset, 0)
            fed, offered, held = 0, False, None
            for cycle in range(limit):
                source, ready = pattern(cycle, rng)
                offered = offered or (source and fed < len(words))
                ctx.set(dut.i.valid, offered)
                ctx.set(i_payload, words[fed] if offered else rng.getrandbits(dut.i_beats.bits))
                ctx.set(dut.o.ready, ready)
                valid, payload = bool(ctx.get(dut.o.valid)), ctx.get(o_payload)
                accepted = bool(ctx.get(dut.i.ready))
                if held is not None:
                    assert valid and payload == held, (
                        f"cycle {cycle}, seed {seed}: valid or payload changed before ready"
                    )
                held = payload if valid and not ready else None
                said = twin.settle(offered, ready)
                assert said == (valid, accepted), (
                    f"cycle {cycle}, seed {seed}: (o.valid, i.ready) unlike the twin's {said}"
                )
                for name, (level, told) in queues.items():
                    assert ctx.get(level) == told(), f"cycle {cycle}, seed {seed}: {name} unlike the twin's {told()}"
                twin.tick()
                if offered and accepted:
                    if fed % per_in == 0:
                        first_in[fed // per_in] = cycle
                    fed, offered = fed + 1, False
                if valid and ready:
                    taken.append(payload)
                    if len(taken) % per_out == 0:
                        last_out[len(taken) // per_out - 1] = cycle
                    if len(taken) == count * per_out:
                        return
                await ctx.tick()
            raise AssertionError(f"seed {seed}: only {len(taken)} of {count * per_out} beats after {limit} cycles")

        if self.testbench is not None:
            self.simulator.reset()
        self.testbench = testbench
        self.simulator.run()
        frames = [taken[start : start + per_out] for start in range(0, len(taken), per_out)]
        for frame in frames:
            assert list(dut.o_beats.lasts(frame)) == [False] * (per_out - 1) + [True], "last is not at the frame's end"
            assert_padding_is_zero(dut, frame)
        return Run(np.array([dut.o_beats.unpack(frame) for frame in frames]), first_in, last_out)


def run(
    dut: StreamComponent,
    samples: Array,
    stalls: tuple[float, float] | Stalls = (0, 0),
    seed: int = 0,
    before: int = 0,
) -> Run:
    """A single run of a component's `Bench`."""
    return Bench(dut, seed).run(samples, stalls, before)


def randomly(source: float, sink: float) -> Stalls:
    """Stalls with these probabilities in every cycle."""
    return lambda cycle, rng: (rng.random() >= source, rng.random() >= sink)


def levels(network: Network, twin: Machine) -> dict[str, tuple[Signal, Callable[[], int]]]:
    """Of every queue how many beats it has in, and as its twin tells it."""
    components = {place.part.name: place.part.component for place in network.placed}
    return {name: (components[name].level, twin.levels(stage)) for name, stage in network.queues.items()}


def assert_padding_is_zero(dut: StreamComponent, frame: list[int]) -> None:
    """Lanes past a vector's last channel carry 0."""
    beats = dut.o_beats
    used = beats.type.channels - (beats.per_vector - 1) * beats.lanes
    for word in frame[beats.per_vector - 1 :: beats.per_vector]:
        lanes = word & ((1 << (beats.lanes * beats.type.width)) - 1)
        assert lanes >> (used * beats.type.width) == 0, "lanes past the last channel must carry 0"
