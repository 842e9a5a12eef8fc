"""Exact division by an odd number, and a bias for each channel."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.arith import carried_sum, typed
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.products import wide
from lutwright.hdl.registers import Registers
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit


class Quotient(Unit):
    """y[.., n, k, :] = x[.., n, k, :] / odd + bias[n, :], modulo 2 ** (width of y), where odd divides x.

    Modulo a power of two, 1 / (1 + u) is (1 - u) (1 + u**2) (1 + u**4) …, for u = 2**s an adder each.
    Ports: i: Beats(x [.., folds, k, lanes], lanes), o: Beats(y of that shape, lanes). Latency: `depth` cycles.
    Throughput: one beat a cycle.
    """

    def __init__(self, x: Type, odd: int, bias: Array, y: Type) -> None:
        super().__init__(Beats(x, x.channels), Beats(Type(x.shape, y.lo, y.hi), x.channels))
        self.steps, self.bias = steps(odd, y.width), bias
        self.folds, self.each = x.shape[-3:-1]
        self.depth = max(1, len(self.steps)) + 1

    @property
    def bias_type(self) -> Type:
        return Type((), min(0, int(self.bias.min())), max(0, int(self.bias.max())))

    def control(self) -> Stages:
        return pipeline(self.depth)

    def words(self) -> list[int]:
        """The biases of a beat's lanes."""
        return [concatenated(row.tolist(), self.bias_type.width) for row in self.bias]

    def cost(self, device: Device) -> Cost:
        """An adder and a register for each factor and for the bias."""
        lanes, y = self.o_beats.lanes, self.o_beats.type.width
        control = self.each.bit_length() + self.folds.bit_length()
        luts = round(1.1 * lanes * (sum(y - shift for shift, _ in self.steps) + y)) + 3 * control
        ffs = lanes * y * self.depth + 2 * control * self.depth
        return Cost(luts, ffs, 0, 0, self.i_beats.per_frame) + rom_cost(self.words(), device)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        registered = Registers(m, advance)
        count, fold = Signal(range(self.each)), Signal(range(self.folds))
        tail = count == self.each - 1
        with m.If(advance & self.i.valid):
            m.d.sync += count.eq(Mux(tail, 0, count + 1))
            with m.If(tail):
                m.d.sync += fold.eq(Mux(fold == self.folds - 1, 0, fold + 1))

        lanes, width, kind = self.o_beats.lanes, self.o_beats.type.width, self.bias_type
        values: list[Value] = [wide(element, width) for element in self.i.payload.data]
        flags: Value = Cat(self.i.valid, self.i.payload.last)
        for stage in range(self.depth - 1):
            if stage == self.depth - 2:
                biases = rom(m, "biases", self.words(), lanes * kind.width, fold, advance)
            if self.steps:
                values = [stepped(value, *self.steps[stage]) for value in values]
            values = [registered(value, f"quotient{stage}") for value in values]
            fold, flags = registered(fold, "fold"), registered(flags, "flags", data=False)
        for lane, value in enumerate(values):
            bias = typed(biases.word_select(lane, kind.width), Shape(kind.width, kind.signed))
            m.d.comb += self.o.payload.data[lane].eq(registered((value + wide(bias, width))[:width], "y"))
        flags = registered(flags, "flags", data=False)
        m.d.comb += [self.o.valid.eq(flags[0]), self.o.payload.last.eq(flags[1])]
        return m


def steps(odd: int, width: int) -> list[tuple[int, int]]:
    """(shift, sign): multiplying by all 1 + sign * 2**shift divides by an odd number, modulo 2 ** width."""
    found, left = list[tuple[int, int]](), odd
    for power in range(left.bit_length(), 0, -1):
        while left % ((1 << power) + 1) == 0:
            left //= (1 << power) + 1
            shift, sign = power, -1
            while shift < width:
                found.append((shift, sign))
                shift, sign = 2 * shift, 1
    if left > 1:
        raise PlanError(f"what is divided by must be a product of numbers 1 + 2**s, not {odd}")
    return found


def stepped(value: Value, shift: int, sign: int) -> Value:
    """value + sign * 2**shift * value, of as many bits."""
    moved = value[: len(value) - shift]
    high = carried_sum(value[shift:], ~moved, Const(1, 1)) if sign < 0 else value[shift:] + moved
    return Cat(value[:shift], high[: len(moved)])
