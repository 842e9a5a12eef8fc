"""The serial port's physical layer: every byte, clocks that differ, glitches and broken bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator, SimulatorContext

from lutwright.boards.uart import BITS, Receiver, Transmitter, divisor
from lutwright.errors import OptionError

CLOCK = 1e-6
Line = Sequence[tuple[int, float]]  # levels, each with its time in bits


def byte(value: int, stop: int = 1) -> Line:
    return [(bit, 1.0) for bit in (0, *((value >> place) & 1 for place in range(8)), stop)]


def receive(line: Line, clocks: int, period: float) -> list[int]:
    """What a Receiver of `clocks` clocks a bit makes of a line whose bits last `period` clocks."""
    dut = Receiver(clocks)
    got: list[int] = []

    async def drive(ctx: SimulatorContext) -> None:
        for level, bits in ((1, 2.0), *line, (1, 3.0)):
            ctx.set(dut.rx, level)
            await ctx.delay(bits * period * CLOCK)

    async def watch(ctx: SimulatorContext) -> None:
        async for _, _, valid, data in ctx.tick().sample(dut.o_valid, dut.o_data):
            if valid:
                got.append(data)

    simulator = Simulator(dut)
    simulator.add_clock(CLOCK)
    simulator.add_testbench(drive)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    return got


@pytest.mark.parametrize("clocks", [8, 13, 104])
@pytest.mark.parametrize("mismatch", [0.975, 0.98, 1.0, 1.02, 1.025])
def test_bytes_of_a_sender_with_another_clock(clocks: int, mismatch: float) -> None:
    values = [0x00, 0xFF, 0x55, 0xAA, 0x7E, *random.Random(1).randbytes(20)]
    line = [bit for value in values for bit in byte(value)]
    assert receive(line, clocks, clocks * mismatch) == values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param([(0, 0.3), (1, 2.0), *byte(0x31)], [0x31], id="glitch"),
        pytest.param([*byte(0x31, stop=0), (1, 1.0), *byte(0x32)], [0x32], id="no-stop-bit"),
        pytest.param([(0, 40.0), (1, 1.0), *byte(0x33)], [0x33], id="break"),
        pytest.param([*byte(0x34), (0, 40.0), (1, 1.0), *byte(0x35)], [0x34, 0x35], id="break-between"),
    ],
)
def test_what_is_no_byte_is_dropped(line: Line, expected: list[int]) -> None:
    assert receive(line, 16, 16.0) == expected


@pytest.mark.parametrize("clocks", [4, 8, 27])
def test_transmitter_into_receiver(clocks: int) -> None:
    values = list(random.Random(2).randbytes(30)) + list(range(0, 256, 5))
    m = Module()
    m.submodules.transmitter = transmitter = Transmitter(clocks)
    m.submodules.receiver = receiver = Receiver(clocks)
    m.d.comb += receiver.rx.eq(transmitter.tx)
    got: list[int] = []
    sent: list[int] = []

    async def feed(ctx: SimulatorContext) -> None:
        cycle = 0
        for value in values:
            ctx.set(transmitter.i.payload, value)
            ctx.set(transmitter.i.valid, 1)
            while not ctx.get(transmitter.i.ready):
                await ctx.tick()
                cycle += 1
            sent.append(cycle)
            await ctx.tick()
            cycle += 1
        ctx.set(transmitter.i.valid, 0)
        await ctx.tick().repeat(clocks * (BITS + 1))

    async def watch(ctx: SimulatorContext) -> None:
        async for _, _, valid, data in ctx.tick().sample(receiver.o_valid, receiver.o_data):
            if valid:
                got.append(data)

    simulator = Simulator(m)
    simulator.add_clock(CLOCK)
    simulator.add_testbench(feed)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    assert got == values
    assert {later - earlier for earlier, later in pairwise(sent)} == {BITS * clocks + 1}


@pytest.mark.parametrize(
    ("clock", "baud", "clocks"), [(12e6, 1_000_000, 12), (25.125e6, 1_000_000, 25), (27e6, 115200, 234)]
)
def test_divisor(clock: float, baud: int, clocks: int) -> None:
    assert divisor(clock, baud) == clocks


@pytest.mark.parametrize(("clock", "baud"), [(12e6, 4_000_000), (16.5e6, 1_000_000)])
def test_divisor_refuses_what_would_not_be_understood(clock: float, baud: int) -> None:
    with pytest.raises(OptionError, match="Choose a lower baud rate"):
        divisor(clock, baud)
