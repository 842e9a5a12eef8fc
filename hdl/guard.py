"""Where frames enter the network."""

from __future__ import annotations

from amaranth import Module, Mux, Signal

from lutwright.frontend.device import Device
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.tokens import Stages
from lutwright.hdl.unit import Unit


class FrameGuard(Unit):
    """Every frame at `o` has exactly `beats.per_frame` beats, whatever `last` does at `i`.

    A frame whose `last` comes early is filled up with beats of zeros. One whose `last` is late ends at its full
    length, and its other beats are dropped up to and with `last`. So no later frame is shifted.
    Ports: i, o: `beats`. Latency: 0 cycles. Throughput: one beat a cycle.
    """

    def __init__(self, beats: Beats) -> None:
        super().__init__(beats, beats)

    def control(self) -> Stages:
        return ()

    def cost(self, device: Device) -> Cost:
        """Predicted resources of FrameGuard."""
        counter = (self.i_beats.per_frame - 1).bit_length()
        return Cost(self.i_beats.bits + 2 * counter + 6, counter + 2, 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        final = self.i_beats.per_frame - 1
        beat, filling, dropping = Signal(range(final + 1)), Signal(), Signal()
        at_end = Signal()
        m.d.comb += [
            at_end.eq(beat == final),
            self.o.valid.eq((self.i.valid | filling) & ~dropping),
            self.i.ready.eq((self.o.ready & ~filling) | dropping),
            self.o.payload.data.eq(Mux(filling, 0, self.i.payload.data.as_value())),
            self.o.payload.last.eq(at_end),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += beat.eq(Mux(at_end, 0, beat + 1))
            with m.If(filling):
                m.d.sync += filling.eq(~at_end)
            with m.Else():
                m.d.sync += [filling.eq(self.i.payload.last & ~at_end), dropping.eq(at_end & ~self.i.payload.last)]
        with m.If(dropping & self.i.valid):
            m.d.sync += dropping.eq(~self.i.payload.last)
        return m
