"""Sums of many bits of different weights: a heap of bits, compressed stage by stage into one number.

A stage takes bits of one column, or of neighbouring ones, and gives fewer with the same sum. Its compressors are
counters of the bits of one column, in LUTs, and ripple adders of two bits of each of some columns and, as their carry
in, a third of the lowest. A register follows each, so that synthesis leaves them as they are.

Sources: Dadda, "Some Schemes for Parallel Multipliers", 1965; Preusser, "Generic and Universal Parallel Matrix
Summation with a Flexible Compression Goal for Xilinx FPGAs", FPL 2017, which compares compressors by LUTs a bit saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from amaranth import Cat, Const, Module, Signal, Value

from lutwright.frontend.device import Family

Heights = tuple[int, ...]
"""Bits in each column, that of weight 1 first."""

COUNTERS: dict[Family, tuple[tuple[int, int, int], ...]] = {  # bits in, bits out, LUTs
    "ice40": ((3, 2, 2),),
    "ecp5": ((3, 2, 2),),
    "gowin": ((3, 2, 2),),
    "xc7": ((6, 3, 3), (5, 3, 3), (3, 2, 2)),
}
# What a bit less may cost before a stage leaves its bits to the next one. The plan with the fewest LUTs is taken.
PRICES = (1.0, 1.34, 1.5, 1.67, 1.8, 2.0, 3.0)
PASSING = 0.3  # LUTs that a register is counted as which only waits


@dataclass(frozen=True)
class Compressor:
    """Takes `takes[c]` bits of column `low` + c, gives one each of `gives` columns from `low` on."""

    low: int
    takes: Heights
    gives: int
    luts: int
    ripples: bool

    @cached_property
    def fewer(self) -> int:
        """Bits that it saves."""
        return sum(self.takes) - self.gives

    @cached_property
    def price(self) -> float:
        """LUTs for each of them."""
        return self.luts / self.fewer if self.fewer > 0 else float("inf")


@dataclass(frozen=True)
class Plan:
    """The compressors of every stage, each with how many there are; `registers` of all stages."""

    stages: tuple[tuple[tuple[Compressor, int], ...], ...]
    passing: int
    width: int

    @cached_property
    def luts(self) -> int:
        return sum(count * there.luts for stage in self.stages for there, count in stage)

    @cached_property
    def registers(self) -> int:
        return self.passing + sum(count * there.gives for stage in self.stages for there, count in stage)


def ripple_luts(columns: int, carry_in: bool, family: Family) -> int:
    """LUT sites of an adder: a column each, one that carries a third bit in, and but for xc7 one for the carry out."""
    sites = columns + carry_in + (family != "xc7")
    return sites + sites % 2 if family == "ecp5" else sites


def compressors(heights: Sequence[int], family: Family) -> Iterator[Compressor]:
    """Those that take no more bits than there are."""
    for low, height in enumerate(heights):
        for bits, gives, luts in COUNTERS[family]:
            if height >= bits:
                yield Compressor(low, (bits,), gives, luts, ripples=False)
        for carry_in in (False, True)[: max(0, height - 1)]:
            takes: Heights = ()
            for column in range(low, len(heights)):
                if heights[column] == 0:
                    break
                takes += (min(2, heights[column]) + (carry_in and column == low),)
                gives = sum(bits << index for index, bits in enumerate(takes)).bit_length()
                yield Compressor(low, takes, gives, ripple_luts(len(takes), carry_in, family), ripples=True)


@lru_cache(maxsize=1 << 14)
def plan(heights: Heights, family: Family, width: int, late: Heights = (), arrival: int = 0) -> Plan:
    """How a heap becomes a number modulo 2 ** width. `late`: bits that come after `arrival` stages."""
    plans = [_plan(heights, family, width, late, arrival, price) for price in PRICES]
    return min(plans, key=lambda there: (there.luts + PASSING * there.passing, len(there.stages)))


def _plan(heights: Heights, family: Family, width: int, late: Heights, arrival: int, price: float) -> Plan:
    there = [*heights, *[0] * (width - len(heights))][:width]
    stages: list[tuple[tuple[Compressor, int], ...]] = []
    passing = 0
    while True:
        if len(stages) == arrival:
            there = [count + more for count, more in zip(there, [*late, *[0] * width], strict=False)]
        if len(stages) >= arrival and max(there) <= 1:
            return Plan(tuple(stages), passing, max((c + 1 for c in range(width) if there[c]), default=1))
        given = [0] * (2 * width)
        stage: list[tuple[Compressor, int]] = []
        while True:
            found = list(compressors(there, family))
            best = min(found, key=lambda one: (one.price, -one.fewer, -len(one.takes)), default=None)
            if best is None or (stage and best.price > price) or (best.fewer <= 0 and max(there) <= 1):
                break
            if best.fewer <= 0:  # two rows, or what is left of them: one adder as long as they are
                best = max((one for one in found if one.ripples), key=lambda one: (len(one.takes), -one.low))
            span = range(best.low, best.low + len(best.takes))
            count = min(there[column] // take for column, take in zip(span, best.takes, strict=True))
            for column, take in zip(span, best.takes, strict=True):
                there[column] -= count * take
            for column in range(best.low, best.low + best.gives):
                given[column] += count
            stage.append((best, count))
        passing += sum(there)
        there = [left + new for left, new in zip(there, given, strict=False)]
        stages.append(tuple(stage))


def compress(
    m: Module,
    columns: Sequence[Sequence[Value]],
    family: Family,
    width: int,
    register: Callable[[Value], Value],
    late: Sequence[Sequence[Value]] = (),
    arrival: int = 0,
) -> Value:
    """The sum of the bits of column c times 2 ** c, modulo 2 ** width; latency: as many cycles as `plan` has stages."""
    there = [list(column) for column in columns] + [[] for _ in range(width - len(columns))]
    there = there[:width]
    made = plan(tuple(map(len, columns)), family, width, tuple(map(len, late)), arrival)
    for number in range(len(made.stages) + 1):
        if number == arrival:
            there = [[*one, *more] for one, more in zip(there, [*late, *[[]] * width], strict=False)]
        if number == len(made.stages):
            break
        given: list[list[Value]] = [[] for _ in range(2 * width)]
        for one, count in made.stages[number]:
            for _ in range(count):
                bits = [[there[c].pop(0) for _ in range(take)] for c, take in enumerate(one.takes, one.low)]
                for column, bit in enumerate(_compressed(m, bits, one), one.low):
                    given[column].append(register(bit) if column < width else bit)
        there = [[*map(register, left), *new] for left, new in zip(there, given, strict=False)]
    return Cat(*(column[0] if column else Const(0, 1) for column in there[: made.width]))


def _compressed(m: Module, bits: list[list[Value]], one: Compressor) -> list[Value]:
    total = Signal(one.gives, name="sum")
    if not one.ripples:
        m.d.comb += total.eq(sum(bits[0][1:], bits[0][0]))
        return list(total)
    first, second = (Cat(*(column[row] if row < len(column) else Const(0, 1) for column in bits)) for row in (0, 1))
    if one.takes[0] == 3:  # the lowest bits carry the third one in
        m.d.comb += total.eq((Cat(Const(1, 1), first) + Cat(bits[0][2], second))[1:])
    else:
        m.d.comb += total.eq(first + second)
    return list(total)
