"""What goes into the FPGA: UART, host link, and the core, in one clock domain."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lutwright.boards.link import HostLink
from lutwright.boards.uart import UartReceiver, UartTransmitter
from lutwright.hdl.engines.base import StreamComponent


class Top(wiring.Component):
    """A core behind a UART. `divisor`: clock cycles a bit. `digest`: 32 bits that tell one design from another."""

    def __init__(self, core: StreamComponent, divisor: int, digest: int) -> None:
        self.core, self.divisor, self.digest = core, divisor, digest
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        m.submodules.link = link = HostLink(core.i_beats, core.o_beats, self.digest)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.data.eq(receiver.data),
            link.valid.eq(receiver.valid),
        ]
        wiring.connect(m, link.bytes, transmitter.bytes)
        wiring.connect(m, link.core_i, core.i)
        wiring.connect(m, core.o, link.core_o)
        return m
