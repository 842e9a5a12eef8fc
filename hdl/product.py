"""Products of wide factors: one multiplier block, and rows of adders for what it does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth import Cat, Shape, Value

UNSIGNED_BITS = 17  # bits of an operand, without its sign, that one multiplier block takes


@dataclass(frozen=True)
class Addend:
    """A part of a sum: its bits below `low` are 0. `term`: whether it is the product's term and nothing else."""

    low: int
    high: int
    term: bool = False

    @property
    def bits(self) -> int:
        return self.high - self.low


class Product:
    """x * factor + term, modulo 2**bits: one multiplier for the upper bits of both, and a row of adders for each other.

    A wider multiplication would be split over several blocks by synthesis, with adders behind them in the same cycle.
    `depth` registers: behind the multiplier two or more, the first beside it and the others where its product is
    wanted, meanwhile one behind each level of adders of two of the rows and the term, and one behind the sum of both.
    A factor of one bit, which is 1 or -1, makes no multiplier.
    """

    def __init__(self, x: Shape, factor: Shape, term: Shape, bits: int) -> None:
        self.x, self.factor, self.term, self.bits = x, factor, term, bits
        self.x_low, self.factor_low = (max(0, s.width - s.signed - UNSIGNED_BITS) for s in (x, factor))
        if factor.width == 1:
            self.x_low = 0
        self.core: tuple[int, int] = (x.width - self.x_low, factor.width - self.factor_low)
        self.depth = 1 + max(2, (self.x_low + self.factor_low).bit_length())

    def addends(self, x: Value, factor: Value, term: Value) -> tuple[Value, list[Value]]:
        """The multiplication, and the others."""
        high, factor_high = x >> self.x_low, factor >> self.factor_low
        rows = [masked(factor, x[bit]) << bit for bit in range(self.x_low)]
        rows += [masked(high, factor[bit]) << (self.x_low + bit) for bit in range(self.factor_low)]
        core = high * factor_high
        if self.factor.width == 1:
            core = -masked(high, factor[0]) if self.factor.signed else masked(high, factor[0])
        return core << (self.x_low + self.factor_low), [*rows, term]

    @property
    def row_bits(self) -> int:
        """Of all rows, in each of which one bit masks the others."""
        bits: int = self.x_low * self.factor.width + self.factor_low * self.core[0]
        return bits

    def operands(self, factor: int | None = None) -> tuple[int, int]:
        """Bits of what the multiplier takes: of x, and of the factor, or of a constant one without its last zeros."""
        x, upper = self.core
        if factor is not None:
            odd = factor >> self.factor_low
            odd //= (odd & -odd) or 1
            upper = (odd if odd >= 0 else ~odd).bit_length() + self.factor.signed
        return x + (self.factor.signed and not self.x.signed), upper + (self.x.signed and not self.factor.signed)

    def levels(self, factor: int | None = None) -> Iterator[tuple[list[Addend], int]]:
        """What each level of registers holds, and the bits of the adders before it.

        `factor`: a constant one, whose zeros have no rows.
        """
        x_low, (width, factor_width), wide = self.x_low, self.core, self.factor.width
        if factor is not None:
            factor_width, wide = abs(factor >> self.factor_low).bit_length(), abs(factor).bit_length()
        low = x_low + self.factor_low
        core = Addend(low, min(self.bits, low + width + factor_width)) if factor_width else None
        row = [Addend(bit, bit + wide) if wide else None for bit in range(x_low)]
        for bit in range(self.factor_low):
            there = factor is None or factor >> bit & 1
            row.append(Addend(x_low + bit, x_low + bit + width) if there else None)
        row.append(Addend(0, self.term.width, term=True))
        for _ in range(self.depth - 1):
            row, adders = self._paired(row)
            yield [part for part in (core, *row) if part], adders
        row, adders = self._paired([core, *row])
        yield [part for part in row if part], adders

    def _paired(self, row: Sequence[Addend | None]) -> tuple[list[Addend | None], int]:
        """The sums of two each, and the bits of their adders."""
        pairs = [[part for part in row[start : start + 2] if part] for start in range(0, len(row), 2)]
        sums = [self._added(pair) if pair else None for pair in pairs]
        return sums, sum(
            added.high - max(part.low for part in pair)
            for added, pair in zip(sums, pairs, strict=True)
            if added and len(pair) == 2
        )

    def _added(self, pair: list[Addend]) -> Addend:
        if len(pair) == 1:
            return pair[0]
        return Addend(min(part.low for part in pair), min(self.bits, max(part.high for part in pair) + 1))


def masked(value: Value, bit: Value) -> Value:
    """The value where the bit is 1, otherwise 0."""
    bits = Cat(part & bit for part in value)
    return bits.as_signed() if value.shape().signed else bits
