"""Vectors that are needed more than once."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory

from lutwright.errors import PlanError
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.timing import Control


class ReplayBuffer(StreamComponent):
    """y[..., t, c] = x[..., c] for t in 0 .. times - 1: every vector `times` times in a row.

    Two banks of a memory hold a vector each, so that one comes in while the other is given; the first time it is given
    beat by beat as it comes in.
    Ports: i: Beats(x, lanes), o: Beats(x with an axis of `times` before the channels, lanes). Latency: 1 cycle.
    Throughput: one beat a cycle at `o`, without bubbles between vectors. `i.ready` depends on state alone, and so does
    `o`, whose data come straight from the memory: where a register takes them, synthesis finds a block RAM.
    """

    def __init__(self, x: Type, lanes: int, times: int) -> None:
        if times < 2:
            raise PlanError(f"a replay buffer must give each vector at least 2 times, not {times}")
        super().__init__(Beats(x, lanes), Beats(Type((*x.shape[:-1], times, x.channels), x.lo, x.hi), lanes))
        self.times = times

    def control(self) -> Control:
        return ReplayControl(self.i_beats.per_vector, self.times)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats, times = self.i_beats.per_vector, self.times
        w_beat, r_beat, time = Signal(range(beats)), Signal(range(beats)), Signal(range(times))
        w_bank, r_bank = Signal(), Signal()
        full, last = Signal(2), Signal(2)  # by bank: a whole vector is in; it is its frame's last one
        tail = Signal()

        # A reader never meets the writer at an address, so synthesis need not care for that.
        width, attributes = self.i_beats.bits - 1, {"no_rw_check": 1}
        m.submodules.banks = banks = Memory(shape=unsigned(width), depth=2 << len(w_beat), init=[], attrs=attributes)
        write, read = banks.write_port(), banks.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(Cat(w_beat, w_bank)),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
            read.addr.eq(Cat(r_beat, r_bank)),
            self.i.ready.eq(~full.bit_select(w_bank, 1)),
            tail.eq((r_beat == beats - 1) & (time == times - 1)),
            self.o.payload.data.as_value().eq(read.data),
            self.o.payload.last.eq(tail & last.bit_select(r_bank, 1)),
            # In its own bank the reader is never ahead of the writer, so unequal beats mean that there is one to read.
            self.o.valid.eq(full.bit_select(r_bank, 1) | ((w_bank == r_bank) & (r_beat != w_beat))),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += r_beat.eq(r_beat + 1)
            with m.If(r_beat == beats - 1):
                m.d.sync += [r_beat.eq(0), time.eq(Mux(tail, 0, time + 1))]
            with m.If(tail):
                m.d.sync += [full.bit_select(r_bank, 1).eq(0), r_bank.eq(~r_bank)]
        with m.If(write.en):
            m.d.sync += w_beat.eq(w_beat + 1)
            with m.If(w_beat == beats - 1):
                m.d.sync += [w_beat.eq(0), w_bank.eq(~w_bank)]
                m.d.sync += [full.bit_select(w_bank, 1).eq(1), last.bit_select(w_bank, 1).eq(self.i.payload.last)]
        return m


class ReplayControl:
    """The twin of ReplayBuffer."""

    def __init__(self, beats: int, times: int) -> None:
        self.beats, self.times = beats, times
        self.full = [False, False]
        self.w_bank = self.r_bank = self.w_beat = self.r_beat = self.time = 0

    def valid(self, i_valid: bool) -> bool:
        return self.full[self.r_bank] or (self.w_bank == self.r_bank and self.r_beat != self.w_beat)

    def ready(self, o_ready: bool) -> bool:
        return not self.full[self.w_bank]

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        if o_fire:
            self.r_beat += 1
            if self.r_beat == self.beats:
                self.r_beat, self.time = 0, self.time + 1
                if self.time == self.times:
                    self.full[self.r_bank] = False
                    self.time, self.r_bank = 0, 1 - self.r_bank
        if i_fire:
            self.w_beat += 1
            if self.w_beat == self.beats:
                self.full[self.w_bank] = True
                self.w_beat, self.w_bank = 0, 1 - self.w_bank
