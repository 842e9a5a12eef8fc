"""The device's end of the link: samples through a core, and every way a frame can be broken."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from lutwright.boards.framing import FLAG, VERSION, Decoder, Fault, Frame, Kind, encode
from lutwright.boards.link import ROWS, Link, SampleBuffer
from lutwright.boards.payload import pack
from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.registry import engines

DIGEST = 0x7E7D01C0
CORES = [
    ("xnor", 0, 1, (-1, 1), 7, 11, "3x2"),
    ("multiply", -128, 127, (-8, 0, 7), 5, 6, "2x3"),
    ("addsub", 0, 255, (-1, 0, 1), 3, 1, "3x1"),
]


def layer(case: tuple[Any, ...]) -> tuple[Dense, StreamComponent]:
    """A Dense node and its hardware."""
    engine, lo, hi, weights, rows, columns, fold = case
    source = Input("x", (), Type((columns,), lo, hi))
    node = Dense.of("dense", source, np.random.default_rng(7).choice(weights, (rows, columns)), None)
    pe, simd = map(int, fold.split("x"))
    return node, engines()[engine].build(node, source.type, Folding(pe, simd), device("ecp5-85k"))


def inputs(core: StreamComponent, count: int, seed: int = 1) -> Array:
    x = core.i_beats.type
    return np.random.default_rng(seed).integers(x.lo, x.hi + 1, (count, *x.shape))


def run_frames(core: StreamComponent, samples: Array) -> list[Frame]:
    payloads = pack(core.i_beats, samples)
    return [Frame(Kind.RUN, 100 + index, payload) for index, payload in enumerate(payloads)]


def results(node: Dense, core: StreamComponent, samples: Array) -> list[Frame]:
    payloads = pack(core.o_beats, node.evaluate(samples))
    return [Frame(Kind.RESULT, 100 + index, payload) for index, payload in enumerate(payloads)]


def status(fault: Fault, sequence: int, window: int = 2) -> Frame:
    return Frame(Kind.STATUS, sequence, bytes([fault, VERSION, window]) + DIGEST.to_bytes(4, "big"))


def answer(
    core: StreamComponent,
    line: Sequence[int | None],
    *,
    window: int = 2,
    spacing: int = 5,
    slow: float = 0.0,
    wait: int = 400,
) -> list[Frame]:
    """The frames that come back. None in `line`: wait for quiet; -1: reset. `slow`: how often the sink stalls."""
    m = Module()
    m.submodules.link = link = Link(core.i_beats, core.o_beats, DIGEST, window)
    m.submodules.core = core
    wiring.connect(m, link.to_core, core.i)
    wiring.connect(m, core.o, link.from_core)
    got, rng, reset, quiet = bytearray(), random.Random(5), Signal(), [0]

    async def drive(ctx: SimulatorContext) -> None:
        for byte in (*line, None):
            if byte is None:
                quiet[0] = 0
                while quiet[0] < wait:
                    await ctx.tick()
                continue
            ctx.set(reset if byte < 0 else link.i_valid, 1)
            ctx.set(link.i_data, byte & 0xFF)
            await ctx.tick()
            ctx.set(reset, 0)
            ctx.set(link.i_valid, 0)
            await ctx.tick().repeat(spacing - 1)

    async def collect(ctx: SimulatorContext) -> None:
        while True:
            ready = rng.random() >= slow
            ctx.set(link.o.ready, ready)
            _, _, valid, data = await ctx.tick().sample(link.o.valid, link.o.payload)
            quiet[0] += 1
            if valid and ready:
                got.append(data)
                quiet[0] = 0

    simulator = Simulator(ResetInserter(reset)(m))
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(collect, background=True)
    simulator.run()
    decoder = Decoder()
    frames = decoder.feed(bytes(got))
    assert -1 in line or got.count(FLAG) == 2 * len(frames), "the device sent what is no frame"
    return frames


def bytes_of(frames: Iterable[Frame]) -> list[int]:
    return [byte for frame in frames for byte in encode(frame)]


@pytest.mark.parametrize("case", CORES, ids=lambda case: case[0])
@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("slow", [0.0, 0.8])
def test_samples_through_the_core(case: tuple[Any, ...], window: int, slow: float) -> None:
    node, core = layer(case)
    samples = inputs(core, 6)
    line: list[int | None] = []
    for start in range(0, len(samples), window):
        line += [*bytes_of(run_frames(core, samples)[start : start + window]), None]
    assert answer(core, line, window=window, slow=slow) == results(node, core, samples)


def test_info_comes_after_all_earlier_results() -> None:
    node, core = layer(CORES[0])
    samples = inputs(core, 2)
    got = answer(core, bytes_of([*run_frames(core, samples), Frame(Kind.INFO, 9)]), slow=0.9)
    assert got == [*results(node, core, samples), status(Fault.NONE, 9)]


@pytest.mark.parametrize("window", [1, 2])
def test_too_many_requests_are_refused_and_harm_none(window: int) -> None:
    node, core = layer(CORES[1])
    samples = inputs(core, 5)
    got = answer(core, bytes_of(run_frames(core, samples)), window=window, slow=0.97)
    good = {frame.sequence: frame for frame in results(node, core, samples)}
    answered = [frame for frame in got if frame.kind == Kind.RESULT]
    refused = [frame for frame in got if frame.kind == Kind.STATUS]
    assert len(answered) >= window
    assert refused
    assert all(frame == good[frame.sequence] for frame in answered)
    assert all(frame == status(Fault.BUSY, frame.sequence, window) for frame in refused)


REQUEST = run_frames(layer(CORES[0])[1], inputs(layer(CORES[0])[1], 1))[0]
WRONG: list[tuple[str, bytes, Fault | None]] = [
    ("unknown-kind", encode(Frame(0x55, 1)), Fault.KIND),
    ("an-answer-as-request", encode(Frame(Kind.RESULT, 1, b"abc")), Fault.KIND),
    ("info-with-payload", encode(Frame(Kind.INFO, 1, b"a")), Fault.LENGTH),
    ("run-without-payload", encode(Frame(Kind.RUN, 1)), Fault.LENGTH),
    ("run-too-short", encode(Frame(Kind.RUN, 1, REQUEST.payload[:-1])), Fault.LENGTH),
    ("run-too-long", encode(Frame(Kind.RUN, 1, REQUEST.payload + b"a")), Fault.LENGTH),
    ("over-long", encode(Frame(Kind.RUN, 1, REQUEST.payload * 40)), Fault.LENGTH),
    ("garbage-then-delimiter", b"\x01\x02\xff\x7d\x00\x7e", Fault.CRC),
    ("garbage-without-delimiter", b"\x01\x02\xff\x7d\x00", Fault.CRC),
    ("truncated", encode(REQUEST)[:-5], Fault.CRC),
    ("truncated-in-an-escape", encode(REQUEST)[:-5] + b"\x7d", Fault.CRC),
    ("delimiters", b"\x7e" * 9, None),
    ("frame-in-frame", encode(REQUEST)[:6] + encode(REQUEST)[1:6], Fault.CRC),
]


@pytest.mark.parametrize(("broken", "fault"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_broken_frame_is_refused_and_the_next_one_works(broken: bytes, fault: Fault | None) -> None:
    node, core = layer(CORES[0])
    samples = inputs(core, 2)
    got = answer(core, [*broken, *bytes_of(run_frames(core, samples))])
    assert [frame for frame in got if frame.kind == Kind.RESULT] == results(node, core, samples)
    faults = [frame.payload[0] for frame in got if frame.kind == Kind.STATUS]
    assert faults[:1] == ([] if fault is None else [fault])


def test_flipped_bits_at_every_byte() -> None:
    node, core = layer(CORES[1])
    samples = inputs(core, 1)
    (request,) = run_frames(core, samples)
    (good,) = results(node, core, samples)
    line = encode(request)
    rng = random.Random(11)
    for place in range(len(line)):
        broken = bytearray(line)
        broken[place] ^= 1 << rng.randrange(8)
        got = answer(core, [*broken, None, *line], wait=150)
        assert [frame for frame in got if frame.kind == Kind.RESULT] == [good], f"byte {place}, seed 11"
        assert any(frame.kind == Kind.STATUS and frame.payload[0] != Fault.NONE for frame in got), f"byte {place}"


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic_never_gives_a_wrong_answer(seed: int) -> None:
    node, core = layer(CORES[2])
    rng = random.Random(seed)
    samples = inputs(core, 60, seed)
    good = {frame.sequence: frame for frame in results(node, core, samples)}
    line: list[int | None] = []
    for frame in run_frames(core, samples):
        sent = bytearray(encode(frame))
        match rng.randrange(4):
            case 0:
                sent = sent[: rng.randrange(len(sent))]
            case 1:
                sent[rng.randrange(len(sent))] = rng.randrange(256)
            case 2:
                sent += rng.randbytes(rng.randrange(9))
        line += sent
    last = Frame(Kind.INFO, 200)
    got = answer(core, [*line, None, *encode(last)], slow=0.5)
    assert got[-1] == status(Fault.NONE, 200)
    answered = [frame for frame in got if frame.kind == Kind.RESULT]
    assert len(answered) > 20
    assert all(frame == good[frame.sequence] for frame in answered), f"seed {seed}"


@pytest.mark.parametrize("cut", range(1, 24, 3))
def test_reset_amid_a_frame(cut: int) -> None:
    node, core = layer(CORES[0])
    samples = inputs(core, 2)
    line = bytes_of(run_frames(core, samples))
    got = answer(core, [*line[:cut], -1, *line])
    assert [frame for frame in got if frame.kind == Kind.RESULT] == results(node, core, samples)


@pytest.mark.parametrize("depth", [1, ROWS, ROWS + 1, 2 * ROWS + 700])
def test_a_buffer_of_many_memories(depth: int) -> None:
    """Every byte that it holds comes back, wherever memories meet; no other one is written with it."""
    buffer, rng = SampleBuffer(depth), random.Random(depth)
    held = [rng.randrange(256) for _ in range(depth)]
    simulator = Simulator(buffer)
    simulator.add_clock(1e-6)

    async def bench(context: SimulatorContext) -> None:
        for address, value in enumerate(held):
            context.set(buffer.w_address, address)
            context.set(buffer.w_data, value)
            context.set(buffer.w_enable, 1)
            await context.tick()
        context.set(buffer.w_enable, 0)
        for address in {0, depth - 1, *(rng.randrange(depth) for _ in range(200)), *range(depth)[ROWS - 2 : ROWS + 2]}:
            context.set(buffer.address, address)
            await context.tick().repeat(2)
            assert context.get(buffer.data) == held[address]

    simulator.add_testbench(bench)
    simulator.run()
