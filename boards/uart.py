"""The serial port's physical layer: 8 data bits, no parity, one stop bit, least significant bit first."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from lutwright.errors import OptionError

BITS = 10  # start bit, 8 data bits, stop bit


def fits(clock_hz: float, baud: int) -> bool:
    """Whether a bit is a whole number of clocks, at least 4, with the last bit of a byte off by a quarter at most."""
    clocks = round(clock_hz / baud)
    return clocks >= 4 and abs(clocks * baud / clock_hz - 1) * BITS <= 0.25


def divisor(clock_hz: float, baud: int) -> int:
    """Clocks a bit; OptionError if none fits."""
    if not fits(clock_hz, baud):
        raise OptionError(
            f"the baud rate must be the clock divided by an integer of at least 4, to 2.5 %, but {baud} does not fit a "
            f"clock of {clock_hz / 1e6:.6g} MHz. Choose a lower baud rate or another clock."
        )
    return round(clock_hz / baud)


class Receiver(wiring.Component):
    """Bytes from the line. `o_valid` is high for one cycle a byte; a byte without its stop bit is dropped.

    Every bit is sampled once, in its middle. The two ends' clocks may differ by 2.5 %.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "o_data": Out(8), "o_valid": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules += FFSynchronizer(self.rx, line, init=1)
        clocks, bits = Signal(range(self.divisor)), Signal(range(BITS + 2))
        shift = Signal(9)  # 8 data bits, then the stop bit
        m.d.comb += self.o_data.eq(shift[:8])
        m.d.sync += self.o_valid.eq(0)
        with m.If(bits == 0):
            m.d.sync += clocks.eq(self.divisor // 2 - 1)
            with m.If(~line):
                m.d.sync += bits.eq(BITS + 1)
        with m.Elif(bits == 1):
            # The stop bit was sampled: where it was low, the line must be high before a byte can start.
            m.d.sync += [bits.eq(~(line | shift[8])), self.o_valid.eq(shift[8])]
        with m.Elif(clocks != 0):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Else():
            m.d.sync += [clocks.eq(self.divisor - 1), bits.eq(bits - 1), shift.eq(Cat(shift[1:], line))]
            with m.If((bits == BITS + 1) & line):  # a glitch, no start bit
                m.d.sync += bits.eq(0)
        return m


class Transmitter(wiring.Component):
    """Bytes onto the line, one in `10 * divisor + 1` cycles."""

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        clocks, bits = Signal(range(self.divisor)), Signal(range(BITS + 1))
        shift = Signal(9, init=-1)
        m.d.comb += [self.tx.eq(shift[0]), self.i.ready.eq(bits == 0)]
        with m.If(bits == 0):
            m.d.sync += clocks.eq(self.divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(BITS), shift.eq(self.i.payload << 1)]
        with m.Elif(clocks != 0):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Else():
            m.d.sync += [clocks.eq(self.divisor - 1), bits.eq(bits - 1), shift.eq(Cat(shift[1:], 1))]
        return m
