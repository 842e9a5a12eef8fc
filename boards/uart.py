"""An 8N1 UART. Both halves speak streams of bytes; a receiver has no way to say no, so its stream has no `ready`."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class UartReceiver(wiring.Component):
    """`valid` is high for one cycle with every byte whose stop bit is high; others are dropped.

    Bits are sampled in their middle, `divisor` clock cycles apart (at least 4). A start bit that is gone at its middle
    is a glitch and ignored. Tolerates a baud rate that is off by up to 3 %.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "data": Out(8), "valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx, timer, left = Signal(init=1), Signal(range(self.divisor)), Signal(4)
        bits = Signal(9)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        m.d.comb += self.data.eq(bits[:8])
        m.d.sync += [self.valid.eq(0), timer.eq(timer - 1)]
        with m.If(left == 0):
            m.d.sync += timer.eq(self.divisor // 2 - 1)
            with m.If(~rx):
                m.d.sync += left.eq(10)
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], rx))]
            with m.If((left == 10) & rx):
                m.d.sync += left.eq(0)
            with m.If(left == 1):
                m.d.sync += [self.valid.eq(rx), bits.eq(bits[1:])]
        return m


class UartTransmitter(wiring.Component):
    """Sends each byte of `bytes` with a start and a stop bit, `divisor` clock cycles a bit."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"bytes": In(stream.Signature(unsigned(8))), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer, left, bits = Signal(range(self.divisor)), Signal(4), Signal(10, init=-1)
        m.d.comb += [self.tx.eq(bits[0]), self.bytes.ready.eq(left == 0)]
        with m.If(left == 0), m.If(self.bytes.valid):
            m.d.sync += [bits.eq(Cat(Const(0, 1), self.bytes.payload, Const(1, 1))), left.eq(10)]
            m.d.sync += timer.eq(self.divisor - 1)
        with m.Else():
            m.d.sync += timer.eq(Mux(timer == 0, self.divisor - 1, timer - 1))
            with m.If(timer == 0):
                m.d.sync += [bits.eq(Cat(bits[1:], Const(1, 1))), left.eq(left - 1)]
        return m
