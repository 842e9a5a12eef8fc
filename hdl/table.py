"""Table nodes in hardware: one lookup a lane."""

from __future__ import annotations

import numpy as np
from amaranth import Cat, Module, Mux, Signal

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Table
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit


class TableUnit(Unit):
    """y[c] = values[c, x[c] - lo], as many lanes out as in, from a memory a lane.

    A lane's memory has (folds of the channels) * 2**(width of x) rows; one row of values for all channels is one fold.
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: 1 cycle. Throughput: one beat a cycle.
    """

    def __init__(self, node: Table, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        alike = bool((node.values == node.values[:1]).all())
        self.values, self.lo = node.values[:1] if alike else node.values, node.lo
        self.used = min(lanes, x.channels)

    def words(self, lane: int) -> list[int]:
        """The rows of a lane's memory, at addresses fold * 2**width + (x modulo 2**width)."""
        x, width = self.i_beats.type, self.i_beats.type.width
        rows = self.values if len(self.values) == 1 else self.values[lane :: self.used]
        table = np.zeros((len(rows), 1 << width), dtype=np.int64)
        xs = np.arange(x.lo, x.hi + 1)
        table[:, xs & ((1 << width) - 1)] = rows[:, xs - self.lo]
        return [concatenated([int(value)], self.o_beats.type.width) for value in table.flat]

    def control(self) -> Stages:
        return pipeline(1)

    def cost(self, device: Device) -> Cost:
        """The memories, and a counter of folds."""
        control = 2 * (self.i_beats.per_vector - 1).bit_length() + 4
        total = Cost(control, control, 0, 0, self.i_beats.per_frame)
        for lane in range(self.used):
            total += rom_cost(self.words(lane), device)
        return total

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds = self.i_beats.per_vector
        advance, fold, padded = Signal(), Signal(range(folds)), Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.last.eq(self.i.payload.last)]
            m.d.sync += padded.eq(fold == folds - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
        pads = folds * self.used - self.i_beats.type.channels
        for lane in range(self.used):
            address = Cat(self.i.payload.data[lane].as_unsigned(), fold)
            y = rom(m, f"lane{lane}", self.words(lane), self.o_beats.type.width, address, advance)
            m.d.comb += self.o.payload.data[lane].eq(Mux(padded, 0, y) if lane >= self.used - pads else y)
        return m
