"""Embedding nodes in hardware: the vector of each index, some of its elements at a time, out of one memory."""

from __future__ import annotations

import numpy as np
from amaranth import Module, Mux, Signal

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Embedding
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, serializer
from lutwright.hdl.unit import Unit


class EmbeddingUnit(Unit):
    """y[..., d] = table[x[...] - lo, d], `lanes` elements of an index after the other.

    The memory has a row for each index that x can be, and that for each fold of the vector, one fold after the other.
    Ports: i: Beats(x, 1), o: Beats(node.type, lanes). Latency: 1 cycle. Throughput: one beat a cycle at `o`.
    """

    def __init__(self, node: Embedding, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, 1), Beats(node.type, lanes))
        self.table = node.table[x.lo - node.lo : x.hi - node.lo + 1]
        self.folds = self.o_beats.per_vector

    def control(self) -> Stages:
        return serializer(1, self.folds, self.folds)

    def words(self) -> list[int]:
        """The rows of the memory, at addresses fold * entries + (x - the least x)."""
        lanes, width = self.o_beats.lanes, self.o_beats.type.width
        padded = np.pad(self.table, ((0, 0), (0, self.folds * lanes - self.table.shape[1])))
        folds = padded.reshape(len(padded), self.folds, lanes).swapaxes(0, 1)
        return [concatenated(word.tolist(), width) for word in folds.reshape(-1, lanes)]

    def cost(self, device: Device) -> Cost:
        """The memory; where a vector has several folds, its address and a counter of them."""
        words = self.words()
        steps = (len(words) - 1).bit_length() + (self.folds - 1).bit_length() if self.folds > 1 else 0
        control = Cost(2 * steps + 4, steps + 2, 0, 0, max(self.i_beats.per_frame, self.o_beats.per_frame))
        return rom_cost(words, device) + control

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words, entries = self.words(), len(self.table)
        # How many beats of the index at hand are left after the one at `o`, and whether none is.
        left, none_left, last = Signal(range(self.folds)), Signal(), Signal()
        address, following = Signal(range(len(words))), Signal(range(len(words)))
        taken, goes_on = Signal(), Signal()
        index = self.i.payload.data[0] - self.i_beats.type.lo
        m.d.comb += [
            none_left.eq(left == 0),
            self.i.ready.eq(~self.o.valid | (self.o.ready & none_left)),
            taken.eq(self.i.valid & self.i.ready),
            goes_on.eq(self.o.valid & self.o.ready & ~none_left),
            following.eq(Mux(goes_on, address + entries, index)),
            self.o.payload.last.eq(last & none_left),
        ]
        y = rom(m, "vectors", words, self.o_beats.bits - 1, following, taken | goes_on)
        m.d.comb += self.o.payload.data.as_value().eq(y)
        with m.If(taken):
            m.d.sync += [self.o.valid.eq(1), last.eq(self.i.payload.last), left.eq(self.folds - 1)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(self.o.valid & ~none_left)
        with m.If(goes_on):
            m.d.sync += left.eq(left - 1)
        with m.If(taken | goes_on):
            m.d.sync += address.eq(following)
        return m
