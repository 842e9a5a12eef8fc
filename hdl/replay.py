"""Vectors that are needed more than once."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.memory import Memory

from lutwright.errors import PlanError
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.tokens import Stages, replay


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

    def control(self) -> Stages:
        return replay(self.i_beats.per_vector, self.times)

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
