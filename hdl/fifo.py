"""Storage between components: a queue, and a register slice."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from lutwright.errors import OptionError
from lutwright.frontend.device import Device, Family
from lutwright.hdl.arith import carried_sum
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.resources import LUT_INPUTS, Usage, ram
from lutwright.hdl.tokens import Stages, queue, register_slice
from lutwright.hdl.unit import Unit

ALWAYS: dict[Family, int] = {"ice40": 10, "ecp5": 7, "gowin": 7, "xc7": 3}  # LUTs of a queue of any depth, a fit


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
        """Its memory and its counters; of the LUTs beside the memory, those of the counters' bits alone are no fit."""
        words, family = self.depth - 1, device.family
        counted, address = words.bit_length(), (words - 1).bit_length()
        counters = 2 * address + counted
        compared = counted if words & (words - 1) == 0 else 2 * counted + 2 * address
        always = min(3.5 + 2 * address, ALWAYS[family])
        luts = counters + compared / (LUT_INPUTS[family] - 1) + always
        usage = ram(words, self.i_beats.bits, family) + Usage(luts, counters + 1)
        return Cost(round(usage.luts), round(usage.ffs), usage.brams, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.depth - 1
        stored, head, tail = Signal(range(words + 1)), Signal(range(words)), Signal(range(words))
        # Never while its address is written: where both are the same there is nothing to read, or no room to write.
        read = Signal()
        write, word = buffer(m, "store", self.i_beats.bits, words, head, read)
        m.d.comb += [
            self.i.ready.eq(stored != words),
            read.eq((stored != 0) & (~self.o.valid | self.o.ready)),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
            self.o.payload.eq(word),
            self.level.eq(stored + self.o.valid),
        ]
        m.d.sync += stored.eq(carried_sum(stored, read.replicate(len(stored)), write.en))
        with m.If(read):
            m.d.sync += [self.o.valid.eq(1), head.eq(_following(head, words))]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(write.en):
            m.d.sync += tail.eq(_following(tail, words))
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
                m.d.sync += [given.eq(read.data), head.eq(_following(head, spares))]
        m.d.sync += level.eq(level + kept - (passes & (level != 0)))
        with m.If(kept):
            m.d.sync += tail.eq(_following(tail, spares))
        return m


def _following(address: Signal, words: int) -> Value:
    """The address of the word after that at `address`."""
    return (address + Mux(address == words - 1, 1 - words, 1))[: len(address)] if words & (words - 1) else address + 1


def slice_usage(bits: int, depth: int, family: Family) -> Usage:
    """Predicted resources of a Slice: what chooses between a beat that comes in and one that has been kept."""
    if depth == 2:
        return Usage(bits + 6, 2 * bits + 2)
    address = (depth - 2).bit_length()
    return ram(depth - 1, bits, family, blocks=False) + Usage(bits + 4 + 5 * address, 2 + 3 * address)
