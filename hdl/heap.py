"""Sums of many bits of different weights: a heap of bits, compressed stage by stage into one number.

A stage takes bits of one column, or of neighbouring ones, and gives fewer with the same sum. Its compressors are
counters of the bits of one column, in LUTs, and ripple adders of two bits of each of some columns and, as their carry
in, a third of the lowest. A register follows each, so that synthesis leaves them as they are.

Sources: Dadda, "Some Schemes for Parallel Multipliers", 1965; Preusser, "Generic and Universal Parallel Matrix
Summation with a Flexible Compression Goal for Xilinx FPGAs", FPL 2017, which compares compressors by LUTs a bit saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Signal, Value
from numba import njit

from lutwright.frontend.device import Family
from lutwright.hdl.arith import carried_sum

Heights = tuple[int, ...]
"""Bits in each column, that of weight 1 first."""

COUNTERS: dict[Family, tuple[tuple[int, int, int], ...]] = {  # bits in, bits out, LUTs
    "ice40": ((3, 2, 2),),
    "ecp5": ((3, 2, 2),),
    "gowin": ((3, 2, 2),),
    "xc7": ((6, 3, 3), (5, 3, 3), (3, 2, 2)),
}
# LUT sites of a ripple adder beyond one a column, of its carry in, and what their number is rounded up to: a carry out
# takes one but on xc7, and ECP5's carry cells are of two.
RIPPLES: dict[Family, tuple[int, int, int]] = {
    "ice40": (1, 1, 1),
    "ecp5": (1, 1, 2),
    "gowin": (1, 1, 1),
    "xc7": (0, 1, 1),
}
# What a bit less may cost before a stage leaves its bits to the next one.
PRICES = np.array([1.0, 1.34, 1.5, 1.67, 1.8, 2.0, 3.0])
NOISES = np.array([0.0, 0.1, 0.3, 0.6])  # by how much of its price a compressor is taken for a dearer one
PASSING = 0.3  # LUTs that a register is counted as which only waits
WORK = 30_000  # bits that all trials for a heap begin with
TRIALS = (28, 560)
LONGEST = 31  # columns of an adder


@dataclass(frozen=True)
class Compressor:
    """Takes `takes[c]` bits of column `low` + c, gives one each of `gives` columns from `low` on."""

    low: int
    takes: Heights
    gives: int
    ripples: bool


@dataclass(frozen=True)
class Plan:
    """The compressors of every stage; their LUT sites; registers that only wait; the sum's width."""

    stages: tuple[tuple[Compressor, ...], ...]
    luts: int
    passing: int
    width: int

    @cached_property
    def registers(self) -> int:
        return self.passing + sum(one.gives for stage in self.stages for one in stage)


@lru_cache(maxsize=1 << 14)
def plan(heights: Heights, family: Family, width: int, late: Heights = (), arrival: int = 0) -> Plan:
    """How a heap becomes a number modulo 2 ** width, as cheap as many trials of a greedy choice with noise find.

    `late`: bits that come after `arrival` stages. The same arguments give the same plan.
    """
    there, after = np.zeros(width, np.int64), np.zeros(width, np.int64)
    there[: len(heights)] = heights[:width]
    after[: len(late)] = late[:width]
    total = int(there.sum() + after.sum())
    trials = min(max(WORK // max(1, total), TRIALS[0]), TRIALS[1])
    found = np.zeros((6 * total + 64, 4), np.int64)
    count, luts, passing, top = _search(
        there, after, arrival, np.array(COUNTERS[family]), np.array(RIPPLES[family]), trials, found
    )
    made: list[list[Compressor]] = [[] for _ in range(int(found[count, 0]))]
    for stage, low, gives, takes in found[:count].tolist():
        columns = tuple(abs(takes) >> 2 * column & 3 for column in range(LONGEST) if abs(takes) >> 2 * column)
        made[stage].append(Compressor(low, columns if takes > 0 else (-takes,), gives, ripples=takes > 0))
    return Plan(tuple(map(tuple, made)), luts, passing, max(1, top))


@njit(cache=True)
def _drawn(state: int) -> int:
    """The number after `state` of a xorshift generator (Marsaglia, 2003)."""
    state ^= (state << 13) & 0x7FFFFFFFFFFFFFFF
    state ^= state >> 7
    state ^= (state << 17) & 0x7FFFFFFFFFFFFFFF
    return state


@njit(cache=True)
def _search(
    heights: Any, late: Any, arrival: int, counters: Any, ripples: Any, trials: int, found: Any
) -> tuple[int, int, int, int]:
    """The best of the trials into `found`: of each compressor its stage, column, bits out, and bits taken: of a counter
    negative, of an adder two binary digits a column. In the row after the last one the number of stages.

    Returns how many compressors, their LUTs, the registers that only wait, and the width of the sum.
    """
    width = len(heights)
    there, given, made = np.zeros(2 * width + 2, np.int64), np.zeros(2 * width + 2, np.int64), np.zeros_like(found)
    best, result = 1e18, (0, 0, 0, 0)
    noise_state = 88172645463325252
    for trial in range(trials):
        price, noise = PRICES[trial % len(PRICES)], NOISES[trial // len(PRICES) % len(NOISES)]
        there[:] = 0
        there[:width] = heights
        stage = count = luts = passing = 0
        while True:
            if stage == arrival:
                there[:width] += late
            if stage >= arrival and there[:width].max() <= 1:
                break
            given[:] = 0
            first = True
            while True:
                least, saves, choice, bits_out, takes, sites = 1e17, 0, -1, 0, 0, 0
                longest, row_low, row_out, row_takes, row_sites = 0, 0, 0, 0, 0
                for low in range(width):
                    for kind in range(len(counters)):
                        if there[low] < counters[kind, 0]:
                            continue
                        noise_state = _drawn(noise_state)
                        fewer = counters[kind, 0] - counters[kind, 1]
                        asked = counters[kind, 2] / fewer * (1 + noise * (noise_state & 1023) / 1024)
                        if asked < least or (asked == least and fewer > saves):
                            least, saves, choice, bits_out = asked, fewer, low, counters[kind, 1]
                            takes, sites = -counters[kind, 0], counters[kind, 2]
                    for carry_in in range(2):
                        if there[low] < 2 + carry_in:
                            break
                        taken, most, pattern = 0, 0, 0
                        for length in range(1, min(width - low, LONGEST) + 1):
                            column = there[low + length - 1]
                            if column == 0:
                                break
                            one = min(2, column) + (carry_in if length == 1 else 0)
                            taken += one
                            most += one << (length - 1)
                            pattern |= one << (2 * (length - 1))
                            out = 0
                            while most >> out:
                                out += 1
                            cost = length + ripples[0] + carry_in * ripples[1]
                            cost = -(-cost // ripples[2]) * ripples[2]
                            fewer = taken - out
                            if fewer > 0:
                                noise_state = _drawn(noise_state)
                                asked = cost / fewer * (1 + noise * (noise_state & 1023) / 1024)
                                if asked < least or (asked == least and fewer > saves):
                                    least, saves, choice, bits_out, takes, sites = asked, fewer, low, out, pattern, cost
                            elif length > longest:
                                longest, row_low, row_out, row_takes, row_sites = length, low, out, pattern, cost
                if choice < 0 and first and longest > 0:  # two rows are left: one adder as long as they are
                    choice, bits_out, takes, sites = row_low, row_out, row_takes, row_sites
                elif choice < 0 or (not first and least > price):
                    break
                first = False
                if takes < 0:
                    there[choice] += takes
                else:
                    for column in range(LONGEST):
                        there[choice + column] -= (takes >> (2 * column)) & 3
                        if takes >> (2 * column) == 0:
                            break
                given[choice : choice + bits_out] += 1
                made[count, 0], made[count, 1], made[count, 2], made[count, 3] = stage, choice, bits_out, takes
                count += 1
                luts += sites
            passing += there[:width].sum()
            there[:width] += given[:width]
            stage += 1
        score = luts + PASSING * passing + 0.01 * stage
        if score < best:
            best = score
            top = 0
            for column in range(width):
                if there[column]:
                    top = column + 1
            result = (count, luts, passing, top)
            found[:count] = made[:count]
            found[count, 0] = stage
    return result


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
    made = plan(tuple(map(len, columns)), family, width, tuple(map(len, late)), arrival)
    there = [list(columns[c]) if c < len(columns) else [] for c in range(width)]
    for number in range(len(made.stages) + 1):
        if number == arrival:
            there = [[*one, *(late[c] if c < len(late) else ())] for c, one in enumerate(there)]
        if number == len(made.stages):
            break
        given: list[list[Value]] = [[] for _ in range(width)]
        for one in made.stages[number]:
            bits = [[there[c].pop(0) for _ in range(take)] for c, take in enumerate(one.takes, one.low)]
            for column, bit in enumerate(_compressed(m, bits, one), one.low):
                if column < width:
                    given[column].append(register(bit))
        there = [[*map(register, left), *new] for left, new in zip(there, given, strict=True)]
    return Cat(*(column[0] if column else Const(0, 1) for column in there[: made.width]))


def _compressed(m: Module, bits: list[list[Value]], one: Compressor) -> list[Value]:
    total = Signal(one.gives, name="sum")
    if not one.ripples:
        m.d.comb += total.eq(sum(bits[0][1:], bits[0][0]))
        return list(total)
    first, second = (Cat(*(column[row] if row < len(column) else Const(0, 1) for column in bits)) for row in (0, 1))
    if one.takes[0] == 3:
        m.d.comb += total.eq(carried_sum(first, second, bits[0][2]))
    else:
        m.d.comb += total.eq(first + second)
    return list(total)
