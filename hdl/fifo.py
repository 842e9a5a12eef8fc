"""Storage between components: a queue, and a register slice."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib.fifo import SyncFIFOBuffered

from lutwright.errors import OptionError
from lutwright.frontend.device import Device
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.resources import ram
from lutwright.hdl.tokens import Stages, queue, register_slice
from lutwright.hdl.unit import Unit


class Fifo(Unit):
    """A queue of `depth` beats.

    Ports: i, o: `beats`. Latency: 2 cycles. Throughput: one beat a cycle. `i.ready` and `o.valid` depend on registers
    only. All but one of the beats are in a memory. `level`: how many are in.
    """

    cuts_ready = True

    def __init__(self, beats: Beats, depth: int) -> None:
        if depth < 2:
            raise OptionError(f"a FIFO's depth must be at least 2, not {depth}")
        super().__init__(beats, beats)
        self.depth = depth
        self.level = Signal(range(depth + 1))

    def control(self) -> Stages:
        return queue(self.depth)

    def cost(self, device: Device) -> Cost:
        """Its words in block RAMs, beside them what passes on a word that is just being written."""
        address, bits = (self.depth - 1).bit_length(), self.i_beats.bits
        brams = ram(self.depth - 1, bits, device.family).brams
        return Cost(bits + 8 * address, 2 * bits + 5 * address, brams, 0, self.i_beats.per_frame)

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
            self.level.eq(queue.level),
        ]
        return m


class Slice(Unit):
    """A register slice of two beats, which cuts every combinational path between its sides, `ready` included.

    Ports: i, o: `beats`. Latency: 1 cycle. Throughput: one beat a cycle.
    """

    cuts_ready = True

    def __init__(self, beats: Beats) -> None:
        super().__init__(beats, beats)

    def control(self) -> Stages:
        return register_slice()

    def cost(self, device: Device) -> Cost:
        """Predicted resources of Slice."""
        return Cost(self.i_beats.bits + 6, 2 * self.i_beats.bits + 2, 0, 0, self.i_beats.per_frame)

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
