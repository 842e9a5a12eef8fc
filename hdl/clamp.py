"""Clamp nodes in hardware."""

from __future__ import annotations

from amaranth import Module, Mux, Signal

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Clamp
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit


class ClampUnit(Unit):
    """y = min(max(x, least), most), as many lanes out as in.

    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: 1 cycle. Throughput: one beat a cycle.
    """

    def __init__(self, node: Clamp, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.least, self.most = node.least, node.most
        self.used = min(lanes, x.channels)

    def control(self) -> Stages:
        return pipeline(1)

    def cost(self, device: Device) -> Cost:
        """In each lane two comparisons with constants, about half a LUT a bit each, a choice a bit of y."""
        x, y = self.i_beats.type.width, self.o_beats.type.width
        pads = self.i_beats.per_vector * self.used - self.i_beats.type.channels
        control = 2 * (self.i_beats.per_vector - 1).bit_length() * bool(pads) + 3
        luts = self.used * (x + y) // (2 if device.family == "ice40" else 1)  # there they lie beside the carries
        return Cost(luts + control, self.used * y + control, 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds = self.i_beats.per_vector
        advance, fold, final = Signal(), Signal(range(folds)), Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance), final.eq(fold == folds - 1)]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.last.eq(self.i.payload.last)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += fold.eq(Mux(final, 0, fold + 1))
        pads = folds * self.used - self.i_beats.type.channels
        for lane in range(self.used):
            x, y = self.i.payload.data[lane], Signal(self.o_beats.shape, name=f"y{lane}", reset_less=True)
            m.d.comb += self.o.payload.data[lane].eq(y)
            with m.If(advance):
                m.d.sync += y.eq(Mux(x < self.least, self.least, Mux(x > self.most, self.most, x)))
                if lane >= self.used - pads:  # the last fold has no such channel
                    with m.If(final):
                        m.d.sync += y.eq(0)
        return m
