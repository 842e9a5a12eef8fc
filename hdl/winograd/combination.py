"""Small constant matrices times vectors of a stream's beats, one result a beat."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.adapt import Packer
from lutwright.hdl.arith import carried_sum, typed
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.engines.products import added, wide
from lutwright.hdl.registers import Registers
from lutwright.hdl.tokens import Stages, packer, pipeline, serializer
from lutwright.hdl.unit import Unit
from lutwright.hdl.winograd.terms import Choice, Operand, Slot, slots


class Combination(Unit):
    """y[.., j, :] = (sum over k of matrix[j, k] * x[.., k, :]) >> shift, modulo 2 ** (width of y).

    A vector of K beats is gathered in registers; of these multiplexers choose each row's terms, which adders add up
    with a register after each level: first pairs of elements that rows add or subtract alike.
    Ports: i: Beats(x [.., K, lanes], lanes), o: Beats(y [.., J, lanes], lanes). `i.ready` depends on state alone: the
    registers that `o.ready` stops are many, and all that it has to reach. Throughput: a vector in K or J + 1 cycles,
    whichever is more. Latency: 2 + `depth` cycles after a vector's last beat.
    """

    cuts_ready = True

    def __init__(self, x: Type, matrix: Array, y: Type, shift: int = 0) -> None:
        rows, self.terms = matrix.shape
        if x.shape[-2] != self.terms:
            raise PlanError(f"a matrix of {self.terms} columns must take vectors of as many beats, not {x.shape[-2]}")
        kind = Type((*x.shape[:-2], rows, x.channels), y.lo, y.hi)
        super().__init__(Beats(x, x.channels), Beats(kind, x.channels))
        self.rows, self.shift, self.width = rows, shift, y.width + shift
        self.slots: list[Slot] = slots(matrix)
        vectors = Type((*x.shape[:-2], self.terms * x.channels), x.lo, x.hi)
        self.packer = Packer(vectors, x.channels, vectors.channels)
        self.added = max(2, len(self.slots) + all(_negative(slot) for slot in self.slots))  # one bit each by an adder
        self.depth = self.paired + (self.added - 1).bit_length()

    @property
    def paired(self) -> bool:
        """Whether some elements are added to others first."""
        return any(choice is not None and choice.operand.other is not None for slot in self.slots for choice in slot)

    def control(self) -> Stages:
        return (
            *packer(1, self.terms, self.terms),
            *serializer(1, self.rows, self.rows, empties=True),
            *pipeline(self.depth),
        )

    @property
    def cycles(self) -> int:
        """Of a frame."""
        cycles: int = self.o_beats.per_frame // self.rows * max(self.terms, self.rows + 1)
        return cycles

    def cost(self, device: Device) -> Cost:
        """Registers for two vectors and after adders; multiplexers, and adders modulo 2 ** (width of y + shift)."""
        lanes, x, width = self.i_beats.lanes, self.i_beats.type.width, self.width
        chosen = sum(_chosen(slot) for slot in self.slots) * width
        pairs = sum(any(choice and choice.operand.other is not None for choice in slot) for slot in self.slots)
        adders, registers, left = pairs, (len(self.slots) if self.paired else 0), len(self.slots)
        while left > 1:
            adders, left = adders + left // 2, -(-left // 2)
            registers += left
        registers += self.added > len(self.slots)
        control = 3 * (self.terms.bit_length() + self.rows.bit_length()) + 4
        luts = lanes * (chosen + round(1.1 * adders * width))
        ffs = lanes * (2 * self.terms * x + registers * width) + control + 2 * self.depth
        return Cost(luts + control, ffs, 0, 0, self.cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.packer = self.packer
        wiring.connect(m, wiring.flipped(self.i), self.packer.i)
        source, advance = self.packer.o, Signal()
        lanes, x = self.i_beats.lanes, self.i_beats.shape

        held = [Signal(x, name=f"held{index}", reset_less=True) for index in range(self.terms * lanes)]
        there, row, end, last = Signal(), Signal(range(self.rows)), Signal(), Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            end.eq(row == self.rows - 1),
            source.ready.eq(~there),
        ]
        with m.If(there & advance):
            m.d.sync += [row.eq(Mux(end, 0, row + 1)), there.eq(~end)]
        with m.If(source.ready):
            m.d.sync += [there.eq(source.valid), last.eq(source.payload.last)]
            m.d.sync += [register.eq(element) for register, element in zip(held, source.payload.data, strict=True)]

        registered = Registers(m, advance)
        rows, flags = [row], Cat(there, last & end)
        for stage in range(self.depth):
            rows.append(registered(rows[-1], f"row{stage}"))
            flags = registered(flags, f"flags{stage}", data=False)
        for lane in range(lanes):
            m.d.comb += self.o.payload.data[lane].eq(self.result(m, held[lane::lanes], rows, registered)[self.shift :])
        m.d.comb += [self.o.valid.eq(flags[0]), self.o.payload.last.eq(flags[1])]
        return m

    def result(self, m: Module, elements: list[Signal], rows: list[Signal], registered: Registers) -> Value:
        """One lane's result, `depth` registers after its elements."""
        terms = [self._term(m, slot, elements, rows, registered) for slot in self.slots]
        terms += [(Const(0, self.width), None)] * (self.added - len(terms))
        while len(terms) > 1:
            terms = [added(terms[at : at + 2], registered, self.width) for at in range(0, len(terms), 2)]
        ((total, _),) = terms
        return total

    def _term(self, m: Module, slot: Slot, elements: list[Signal], rows: list[Signal], registered: Registers) -> Sum:
        """What a slot adds in each row: bits, and what to add to their number where they are a complement."""
        choices = [choice for choice in slot if choice is not None]
        values = {operand: self._operand(m, operand, elements, rows[0], registered) for operand in _operands(choices)}
        late = self.paired and choices[0].operand.other is not None
        value, negative = Signal(self.width, name="term"), Signal(name="negative")
        with m.Switch(rows[late]):
            for index, choice in enumerate(slot):
                if choice is not None:
                    with m.Case(index):
                        bits = Cat(Const(0, choice.shift), values[choice.operand])[: self.width]
                        m.d.comb += [value.eq(bits if choice.sign > 0 else ~bits), negative.eq(choice.sign < 0)]
        carry = negative if _negative(slot) else None
        if self.paired and not late:
            return registered(value, "term"), None if carry is None else registered(carry, "carry")
        return value, carry

    def _operand(
        self, m: Module, operand: Operand, elements: list[Signal], row: Signal, registered: Registers
    ) -> Value:
        x = self.i_beats.shape
        one = wide(typed(elements[operand.column], x), self.width)
        if operand.other is None:
            return one
        other, minus, pair = wide(elements[operand.other], self.width), Signal(name="minus"), Signal(self.width)
        with m.Switch(row):
            for index, sign in enumerate(operand.signs):
                with m.Case(index):
                    m.d.comb += minus.eq(sign < 0)
        m.d.comb += pair.eq(carried_sum(one, other ^ minus.replicate(self.width), minus))
        return registered(pair, "pair")


def _operands(choices: list[Choice]) -> Iterator[Operand]:
    return iter(dict.fromkeys(choice.operand for choice in choices))


def _negative(slot: Slot) -> bool:
    return any(choice is not None and choice.sign < 0 for choice in slot)


def _chosen(slot: Slot) -> float:
    """LUTs a bit of what chooses a slot's term."""
    different = {(choice.operand, choice.shift) for choice in slot if choice is not None}
    signs = len({choice.sign for choice in slot if choice is not None})
    count = len(different) + any(choice is None for choice in slot)
    return {1: 0, 2: 1}.get(count, 2) + (signs > 1 and count > 2)
