"""What runs on a board: a core behind the host link, in one clock domain."""

from __future__ import annotations

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lutwright.boards.link import Link
from lutwright.boards.uart import Receiver, Transmitter
from lutwright.hdl.engines.base import StreamComponent


class Top(wiring.Component):
    """The core, and the serial pins `rx` and `tx`. `divisor`: clocks a bit, from `lutwright.boards.uart.divisor`.

    `digest`: 32 bits by which the driver knows the design. `window`: samples held at once, 1 or 2.
    """

    def __init__(self, core: StreamComponent, divisor: int, digest: int, window: int = 2) -> None:
        self.core, self.divisor, self.digest, self.window = core, divisor, digest, window
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        m.submodules.link = link = Link(self.core.i_beats, self.core.o_beats, self.digest, self.window)
        m.submodules.core = self.core
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.i_data.eq(receiver.o_data),
            link.i_valid.eq(receiver.o_valid),
        ]
        wiring.connect(m, link.o, transmitter.i)
        wiring.connect(m, link.to_core, self.core.i)
        wiring.connect(m, self.core.o, link.from_core)
        return m
