"""Between neighbours whose beats differ: other lanes, or the same elements in another shape."""

from __future__ import annotations

import math

from amaranth import Module, Mux, Signal

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.tokens import Stages, packer, serializer
from lutwright.hdl.unit import Unit


class Serializer(Unit):
    """From many lanes to a divisor of them: a wide beat is shifted out in narrow ones; those all padding are left out.

    Ports: i: Beats(x, wide), o: Beats(x, narrow). Latency: 1 cycle. Throughput: one narrow beat a cycle.
    """

    def __init__(self, x: Type, wide: int, narrow: int) -> None:
        if wide % narrow:
            raise PlanError(f"a serializer's lanes must divide those before it: {narrow} does not divide {wide}")
        super().__init__(Beats(x, wide), Beats(x, narrow))
        self.parts = min(wide // narrow, self.o_beats.per_vector)
        self.final_parts = self.o_beats.per_vector - (self.i_beats.per_vector - 1) * self.parts

    def control(self) -> Stages:
        return serializer(self.i_beats.per_vector, self.parts, self.final_parts)

    def cost(self, device: Device) -> Cost:
        """A register a bit of the wide beat, and a LUT for each bit that is shifted into."""
        bits = self.i_beats.shape.width * self.o_beats.lanes * self.parts
        control = self.parts.bit_length() + self.i_beats.per_vector.bit_length()
        shifted = bits - bits // self.parts
        return Cost(shifted + 2 * control, bits + control, 0, 0, self.o_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds, lanes = self.i_beats.per_vector, self.o_beats.lanes
        # How many narrow beats are left after the one at `o`, and whether none is.
        left, none_left, fold, last = Signal(range(self.parts)), Signal(), Signal(range(folds)), Signal()
        width = self.i_beats.shape.width * lanes
        held = [Signal(width, name=f"held{part}", reset_less=True) for part in range(self.parts)]
        following = Signal.like(left)
        parts = self.i.payload.data.as_value()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | (self.o.ready & none_left)),
            self.o.payload.data.eq(held[0]),
            self.o.payload.last.eq(last & none_left),
            following.eq(left - 1),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.comb += following.eq(Mux(fold == folds - 1, self.final_parts - 1, self.parts - 1))
            m.d.sync += [self.o.valid.eq(1), last.eq(self.i.payload.last)]
            m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(self.o.valid & ~none_left)
        # So many registers are enabled by what `o` says alone: they take what is at `i` even where that means nothing.
        loads = ~self.o.valid | none_left
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [left.eq(following), none_left.eq(following == 0)]
            for k, register in enumerate(held):
                part = parts[k * width : (k + 1) * width]
                m.d.sync += register.eq(Mux(loads, part, held[k + 1]) if k + 1 < len(held) else part)
        return m


class Packer(Unit):
    """From few lanes to a multiple of them: narrow beats are collected; a vector's end is filled up with zeros.

    Ports: i: Beats(x, narrow), o: Beats(x, wide). Latency: 1 cycle after the last narrow beat. Throughput: one narrow
    beat a cycle.
    """

    def __init__(self, x: Type, narrow: int, wide: int) -> None:
        if wide % narrow:
            raise PlanError(f"a packer's lanes must be a multiple of those before it: {wide} is none of {narrow}")
        super().__init__(Beats(x, narrow), Beats(x, wide))
        self.parts = min(wide // narrow, self.i_beats.per_vector)
        self.final_parts = self.i_beats.per_vector - (self.o_beats.per_vector - 1) * self.parts

    def control(self) -> Stages:
        return packer(self.o_beats.per_vector, self.parts, self.final_parts)

    def cost(self, device: Device) -> Cost:
        """A register a bit of the wide beat, and a LUT for each bit that a vector's end may leave to be cleared."""
        bits = self.i_beats.shape.width * self.i_beats.lanes
        whole = self.final_parts == self.parts
        control = self.parts.bit_length() + (1 if whole else self.o_beats.per_vector.bit_length())
        cleared = bits * (self.parts - self.final_parts)
        return Cost(cleared + self.parts + 2 * control, bits * self.parts + control, 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds = self.o_beats.per_vector
        part, fold, done = Signal(range(self.parts)), Signal(range(folds)), Signal()
        width = self.i_beats.shape.width * self.i_beats.lanes
        held = [Signal(width, name=f"held{k}", reset_less=True) for k in range(self.parts)]
        x = self.i.payload.data.as_value()
        m.d.comb += [
            done.eq(part == Mux(fold == folds - 1, self.final_parts - 1, self.parts - 1)),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        m.d.comb += [self.o.payload.data.as_value()[k * len(x) : (k + 1) * len(x)].eq(h) for k, h in enumerate(held)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & done)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [self.o.payload.last.eq(self.i.payload.last), part.eq(Mux(done, 0, part + 1))]
            with m.If(done):
                m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
            for k, register in enumerate(held):
                with m.If(part == k):
                    m.d.sync += register.eq(x)
                if self.final_parts <= k:  # a vector's end may not reach this part
                    with m.Elif(part == 0):
                        m.d.sync += register.eq(0)
        return m


def common_lanes(source: Beats, target: Beats) -> int:
    """The lanes at which a stream passes from the one form into the other: the most that divide both lanes.

    Where the shapes differ, they divide both numbers of channels too, so that no beat is padded there.
    """
    if (source.type.size, source.shape) != (target.type.size, target.shape):
        raise GraphError(f"neighbours must have the same elements, not {source.type} and {target.type}")
    lanes = math.gcd(source.lanes, target.lanes)
    if source.type.channels != target.type.channels:
        lanes = math.gcd(lanes, source.type.channels, target.type.channels)
    return lanes


def adapters(source: Beats, target: Beats) -> tuple[Unit, ...]:
    """What turns the beats of a stream into others of the same elements: nothing, one component, or two.

    They take `source.per_frame`, `target.per_frame` or Beats(source.type, common_lanes).per_frame cycles a frame,
    whichever is the most.
    """
    if source == target:
        return ()
    lanes = common_lanes(source, target)
    chain: list[Unit] = []
    if lanes < source.lanes:
        chain.append(Serializer(source.type, source.lanes, lanes))
    if lanes < target.lanes:
        chain.append(Packer(target.type, lanes, target.lanes))
    return tuple(chain)
