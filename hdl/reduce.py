"""What folds a window into one value a channel: pools and depthwise convolutions."""

from __future__ import annotations

import math

import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Conv, Pool
from lutwright.hdl.arith import typed
from lutwright.hdl.beats import Beats
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.packing import in_dsp
from lutwright.hdl.registers import Registers
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow

MULTIPLIER = 2.6  # LUTs a bit of both factors, of a product that no block takes


class WindowReduce(Unit):
    """y[o.., c] = the maximum or sum over k.. of x, or bias[c] + the sum of weight[c, k..] * x, over a window of x.

    `lanes` channels at a time, as many out as in: a SlidingWindow gives each block of them what lies under the kernel,
    a beat a place, and every lane folds it into its result, modulo 2 ** (width of y).
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Throughput: ceil(C / lanes) * kernel cycles a position,
    without bubbles while the input is there. Latency: `depth` cycles after the window's last beat. `i.ready` depends
    on state alone. Two registers stand before each multiplier, behind the memories, and two after it.
    Source: the vector-vector unit of FINN for depthwise layers.
    """

    cuts_ready = True

    def __init__(self, node: Pool | Conv, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.node, self.weighted = node, isinstance(node, Conv)
        fill = node.pad_value if isinstance(node, Conv) else x.lo if node.kind == "max" else 0
        self.window = SlidingWindow(x, node.window, lanes, fill, by_block=True)
        self.places, self.blocks = math.prod(node.window.kernel), self.window.blocks
        self.depth = 6 if self.weighted else 2

    def control(self) -> Stages:
        return (*self.window.control(), *pipeline(self.depth, every=self.places))

    def weight_words(self) -> list[int]:
        """The lanes' weights for each block of channels and place."""
        assert isinstance(self.node, Conv)
        lanes, width = self.i_beats.lanes, self.node.weight_type.width
        padded = np.zeros((self.blocks * lanes, self.places), np.int64)
        padded[: len(self.node.weight)] = self.node.weight.reshape(-1, self.places)
        words = padded.reshape(self.blocks, lanes, self.places).transpose(0, 2, 1)
        return [concatenated(word.tolist(), width) for word in words.reshape(-1, lanes)]

    def start_words(self) -> list[int]:
        """What the lanes' sums begin with, for each block."""
        assert isinstance(self.node, Conv)
        padded = np.zeros(self.blocks * self.i_beats.lanes, np.int64)
        padded[: len(self.node.bias)] = self.node.bias
        words = padded.reshape(self.blocks, -1)
        return [concatenated(word.tolist(), self.node.type.width) for word in words]

    def cost(self, device: Device) -> Cost:
        """The window, and in each lane a multiplier, an adder or a comparison."""
        lanes, x, y = self.i_beats.lanes, self.window.o_beats.type.width, self.o_beats.type.width
        control = 2 * (self.places.bit_length() + self.blocks.bit_length()) + 5
        luts, ffs, dsps = lanes * (x + y), lanes * (x + y) + control, 0
        total = self.window.cost(device)
        if isinstance(self.node, Conv):
            luts = lanes * 2 * y
            kind, starts = self.node.weight_type, rom_cost(self.start_words(), device)
            # Registers of element, weight and product, and of what the sums begin with.
            ffs += lanes * y if starts.brams else starts.ffs
            ffs += lanes * 3 * (x + kind.width)
            factor = x + (kind.signed and not self.window.o_beats.type.signed)  # its sign, where the product has one
            if in_dsp(factor, kind.width, device.family) and device.dsps != 0:
                dsps = lanes
            else:
                luts += round(lanes * MULTIPLIER * x * kind.width)
            if not (dsps and device.family in FAMILIES):  # whose blocks hold one of each factor's
                ffs += lanes * (x + kind.width)
            total += rom_cost(self.weight_words(), device) + starts
        cycles = max(self.i_beats.per_frame, self.window.o_beats.per_frame)
        return total + Cost(luts + control, ffs, 0, dsps, cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.window = self.window
        wiring.connect(m, wiring.flipped(self.i), self.window.i)
        source, advance = self.window.o, Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), source.ready.eq(advance)]
        registered = Registers(m, advance)

        place, block = Signal(range(self.places)), Signal(range(self.blocks))
        address = Signal(range(self.places * self.blocks))
        tail, final = place == self.places - 1, block == self.blocks - 1
        with m.If(advance & source.valid):
            m.d.sync += [place.eq(Mux(tail, 0, place + 1)), address.eq(Mux(tail & final, 0, address + 1))]
            with m.If(tail):
                m.d.sync += block.eq(Mux(final, 0, block + 1))
        flags: Value = Cat(source.valid, source.valid & tail, place == 0, final, source.payload.last)
        elements = registered(source.payload.data.as_value(), "elements")
        kind, y_shape, lanes = self.window.o_beats.shape, self.o_beats.shape, range(self.i_beats.lanes)
        starts: Value | None = None
        if not isinstance(self.node, Conv):
            terms = [typed(elements.word_select(lane, kind.width), kind) for lane in lanes]
        else:
            weight, words = self.node.weight_type, self.weight_words()
            weights = rom(m, "weights", words, len(lanes) * weight.width, address, advance)
            for stage in range(2):
                weights, elements = registered(weights, f"weights{stage}"), registered(elements, f"elements{stage}")
            terms = [
                typed(elements.word_select(lane, kind.width), kind)
                * typed(weights.word_select(lane, weight.width), Shape(weight.width, weight.signed))
                for lane in lanes
            ]
            for stage in range(2):
                terms = [registered(term, f"product{stage}") for term in terms]
            for stage in range(3):
                block = registered(block, f"block{stage}")
            starts = registered(
                rom(m, "starts", self.start_words(), len(lanes) * y_shape.width, block, advance), "starts"
            )
            for stage in range(4):
                flags = registered(flags, f"flags{stage}", data=False)
        flags = registered(flags, "flags", data=False)
        there, done, first, final_, last = flags

        spare = self.blocks * self.i_beats.lanes - self.i_beats.type.channels
        for lane, term in enumerate(terms):
            y = Signal(y_shape, name=f"y{lane}", reset_less=True)
            m.d.comb += self.o.payload.data[lane].eq(y)
            with m.If(advance & there):
                m.d.sync += y.eq(self._folded(y, term, first, lane, starts))
                if lane >= self.i_beats.lanes - spare:  # the last block has no such channel
                    with m.If(final_):
                        m.d.sync += y.eq(0)
        m.d.comb += [
            self.o.valid.eq(registered(done, "valid", data=False)),
            self.o.payload.last.eq(registered(last, "last")),
        ]
        return m

    def _folded(self, y: Signal, term: Value, first: Value, lane: int, starts: Value | None) -> Value:
        if starts is not None:
            return term + Mux(first, starts.word_select(lane, len(y)), y)
        if isinstance(self.node, Pool) and self.node.kind == "max":
            return Mux(first | (term > y), term, y)
        return term + Mux(first, 0, y)
