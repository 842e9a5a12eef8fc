"""Storage between components: a queue, and a register slice."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory

from lutwright.errors import OptionError
from lutwright.frontend.device import Device, Family
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.resources import Usage, ram
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
    """A register slice of `depth` beats, which cuts every combinational path between its sides, `ready` included.

    Ports: i, o: `beats`. Latency: 1 cycle. Throughput: one beat a cycle. All but one of the beats are in a register,
    or in a memory of logic.
    """

    cuts_ready = True

    def __init__(self, beats: Beats, depth: int = 2) -> None:
        if depth < 2:
            raise OptionError(f"a register slice's depth must be at least 2, not {depth}")
        super().__init__(beats, beats)
        self.depth = depth

    def control(self) -> Stages:
        return register_slice(self.depth)

    def cost(self, device: Device) -> Cost:
        """Predicted resources of Slice."""
        usage = slice_usage(self.i_beats.bits, self.depth, device.family)
        return Cost(round(usage.luts), round(usage.ffs), 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spares = self.depth - 1
        level, head, tail = Signal(range(spares + 1)), Signal(range(spares)), Signal(range(spares))
        m.submodules.spare = spare = Memory(shape=unsigned(self.i_beats.bits), depth=spares, init=[])
        write, read = spare.write_port(), spare.read_port(domain="comb")
        passes, kept, given = Signal(), Signal(), Signal.like(self.o.payload, reset_less=True)
        m.d.comb += [
            self.o.payload.eq(given),
            self.i.ready.eq(level != spares),
            passes.eq(~self.o.valid | self.o.ready),
            kept.eq(self.i.valid & self.i.ready & ~(passes & (level == 0))),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            write.en.eq(kept),
            read.addr.eq(head),
        ]
        with m.If(passes):
            m.d.sync += [self.o.valid.eq(self.i.valid | (level != 0)), given.eq(self.i.payload)]
            with m.If(level != 0):
                m.d.sync += [given.eq(read.data), head.eq(Mux(head == spares - 1, 0, head + 1))]
        m.d.sync += level.eq(level + kept - (passes & (level != 0)))
        with m.If(kept):
            m.d.sync += tail.eq(Mux(tail == spares - 1, 0, tail + 1))
        return m


def slice_usage(bits: int, depth: int, family: Family) -> Usage:
    """Predicted resources of a Slice: what chooses between a beat that comes in and one that has been kept."""
    if depth == 2:
        return Usage(bits + 6, 2 * bits + 2)
    address = (depth - 2).bit_length()
    return ram(depth - 1, bits, family, blocks=False) + Usage(bits + 4 + 5 * address, 2 + 3 * address)
