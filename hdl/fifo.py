"""Storage between components: a queue, and a register slice."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib.fifo import SyncFIFOBuffered

from lutwright.errors import OptionError
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.timing import Control


class Fifo(StreamComponent):
    """A queue of `depth` beats.

    Ports: i, o: `beats`. Latency: 2 cycles. Throughput: one beat a cycle. `i.ready` and `o.valid` depend on registers
    only. All but one of the beats are in a memory.
    """

    cuts_ready = True

    def __init__(self, beats: Beats, depth: int) -> None:
        if depth < 2:
            raise OptionError(f"a FIFO's depth must be at least 2, not {depth}")
        super().__init__(beats, beats)
        self.depth = depth

    def control(self) -> Control:
        return FifoControl(self.depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(width=self.i_beats.bits, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m


class FifoControl:
    """The twin of Fifo: `stored` beats in the memory, and whether there is one at its output."""

    def __init__(self, depth: int) -> None:
        self.room = depth - 1
        self.stored = 0
        self.out = False

    def valid(self, i_valid: bool) -> bool:
        return self.out

    def ready(self, o_ready: bool) -> bool:
        return self.stored < self.room

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        if o_fire:
            self.out = False
        if self.stored and not self.out:
            self.out = True
            self.stored -= 1
        self.stored += i_fire


class Slice(StreamComponent):
    """A register slice of two beats, which cuts every combinational path between its sides, `ready` included.

    Ports: i, o: `beats`. Latency: 1 cycle. Throughput: one beat a cycle.
    """

    cuts_ready = True

    def __init__(self, beats: Beats) -> None:
        super().__init__(beats, beats)

    def control(self) -> Control:
        return SliceControl()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spare, full = Signal.like(self.i.payload), Signal()
        m.d.comb += self.i.ready.eq(~full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid | full), full.eq(0)]
            with m.If(full):
                m.d.sync += self.o.payload.eq(spare)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [spare.eq(self.i.payload), full.eq(1)]
        return m


class SliceControl:
    """The twin of Slice: how many of its two registers hold a beat."""

    def __init__(self) -> None:
        self.held = 0

    def valid(self, i_valid: bool) -> bool:
        return self.held > 0

    def ready(self, o_ready: bool) -> bool:
        return self.held < 2

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        self.held += i_fire - o_fire
