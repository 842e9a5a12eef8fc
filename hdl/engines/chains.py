"""Lanes for LUT6: the adders' own LUTs choose what they add, two lanes at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import typed
from lutwright.hdl.engines.bits import SignLanes, least
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.engines.products import ProductLanes, summed
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage

MOST = 4  # pairs in a chain: what waits for the last of them waits two cycles, and longer is a shift register in LUTs


@dataclass(frozen=True)
class Chains:
    """How the pairs of lanes of a row are added up.

    A digit of a pair's weights chooses one of a few forms of its two elements, made once for all rows: their sum, the
    one or the other, … A bit of that choice takes at most 5 inputs, so a LUT6 before a carry adds it to the sum so far:
    a chain of adders, a register after each but the first, in which what a pair gives costs no LUT of its own. There
    are as few chains of at most MOST pairs as can be, of like lengths; trees of adders add them up, one for each digit,
    and then the digits. `least` and `most`: of what a pair gives.
    Source: the adder with its addend's choice in the same LUT is that of Kumm, Abbas, Zipf, "An Efficient Softcore
    Multiplier Architecture for Xilinx FPGAs", ARITH 2015.
    """

    pairs: int
    digits: int
    negative: bool  # whether the highest digit counts negative, as in two's complement
    least: int
    most: int

    @property
    def chains(self) -> list[range]:
        """The pairs of each."""
        count = -(-self.pairs // MOST)
        return [range(self.pairs * n // count, self.pairs * (n + 1) // count) for n in range(count)]

    def shape(self, pairs: int) -> Shape:
        """Of the sum of so many."""
        kind = Type((), pairs * self.least, pairs * self.most + pairs - 1)
        return Shape(kind.width, kind.signed)

    @property
    def excess(self) -> int:
        """What a row's sum is too high by."""
        digits = -1 if self.negative else (1 << self.digits) - 1
        return digits * (self.pairs - len(self.chains))

    @property
    def longest(self) -> int:
        """Registers of a chain."""
        return max(1, len(self.chains[-1]) - 1)

    @property
    def depth(self) -> int:
        """Registers from the forms to the sum."""
        return self.longest + (len(self.chains) - 1).bit_length() + (self.digits - 1).bit_length()

    def sum(self, leaves: Sequence[Sequence[Value]], registered: Registers) -> Value:
        """Of a row; leaves: by digit and pair, each as many cycles late as its `lateness` says."""
        totals = []
        for digit in leaves:
            level = []
            for chain in self.chains:
                total = digit[chain[0]]
                for count, pair in enumerate(chain[1:], 2):
                    total = registered(_exceeded(registered.m, total, digit[pair], self.shape(count)), "sum")
                for _ in range(self.longest - max(0, len(chain) - 1)):
                    total = registered(total, "sum")
                level.append((total, len(chain)))
            while len(level) > 1:
                level = [self._paired(level[at : at + 2], registered) for at in range(0, len(level), 2)]
            totals.append(level[0][0])
        return self._digits(totals, registered)

    def lateness(self, pair: int) -> int:
        """Cycles that what a pair chooses from waits for the sum so far."""
        (chain,) = (chain for chain in self.chains if pair in chain)
        return max(0, pair - chain[0] - 1)

    def _paired(self, level: Sequence[tuple[Value, int]], registered: Registers) -> tuple[Value, int]:
        count = sum(pairs for _, pairs in level)
        return summed([total for total, _ in level], self.shape(count), registered), count

    def _digits(self, totals: Sequence[Value], registered: Registers) -> Value:
        level, weight, falls = list(totals), 1, self.negative
        while len(level) > 1:
            sums = []
            for low, high in zip(level[::2], level[1::2], strict=False):
                rest = typed(low[weight:], low.shape())
                upper = rest - high if falls and high is level[-1] else rest + high
                sums.append(registered(typed(Cat(low[:weight], upper), upper.shape()), "sum"))
            left = [registered(level[-1], "sum")] if len(level) % 2 else []
            level, weight, falls = sums + left, 2 * weight, falls and bool(left)
        return level[0]

    @property
    def usage(self) -> Usage:
        """Predicted resources of a row's adders."""
        luts = ffs = 0
        for chain in self.chains:
            luts += self.shape(1).width
            for count in range(2, len(chain) + 1):
                luts += self.shape(count - 1).width
                ffs += self.shape(count).width
            ffs += self.shape(len(chain)).width * (self.longest - len(chain) + 1)
        level = [len(chain) for chain in self.chains]
        while len(level) > 1:
            pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
            luts += sum(self.shape(max(pair)).width for pair in pairs if len(pair) == 2)
            level = [sum(pair) for pair in pairs]
            ffs += sum(self.shape(count).width for count in level)
        luts, ffs = luts * self.digits, ffs * self.digits
        widths, weight = [self.shape(self.pairs).width] * self.digits, 1
        while len(widths) > 1:
            sums = [high + weight + 1 for high in widths[1::2]]
            luts += sum(max(high, low - weight) for low, high in zip(widths[::2], widths[1::2], strict=False))
            widths, weight = sums + widths[len(widths) // 2 * 2 :], 2 * weight
            ffs += sum(widths)
        return Usage(luts, ffs)


def _exceeded(m: Module, total: Value, leaf: Value, shape: Shape) -> Value:
    """total + leaf + 1, so that Yosys does not exchange what is added: carries come from `total`, a register."""
    value = Signal(shape, name="sum")
    complement = ~leaf if leaf.shape().signed else Cat(~leaf, Const(1, 1)).as_signed()
    m.d.comb += value.eq(total - complement)
    return value


class PairLanes:
    """What lanes that are added up in chains share; a lane without another is a pair with an element 0."""

    shift = 0
    fetch = True

    @abstractmethod
    def chains(self, node: Dense, x: Type, lanes: int) -> Chains: ...

    @abstractmethod
    def pair_forms(self, one: Value, other: Value, x: Type) -> list[Value]:
        """What all rows choose from of two elements: a register each follows."""

    @abstractmethod
    def form_usage(self, x: Type) -> Usage:
        """Of the forms of a pair."""

    @abstractmethod
    def chosen(self, forms: Sequence[Value], one: Value, other: Value) -> Value:
        """What a digit of the codes of two lanes makes of their forms."""

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        return codes

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        return 1 + self.chains(node, x, lanes).depth

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        made = self.chains(node, x, lanes)
        row, form = made.usage, self.form_usage(x)
        waits = [made.lateness(pair) for pair in range(made.pairs)]
        shared = made.pairs * form.ffs + sum(waits) * form.ffs
        codes = 0 if wired else sum(waits) * 2 * made.digits
        return Usage(
            rows * row.luts + groups * made.pairs * form.luts, rows * (row.ffs + codes) + round(groups * shared)
        )

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        made, each = self.chains(node, x, len(elements[0])), len(codes) // len(elements)
        result: list[Sum] = []

        def waited(value: Value, pair: int, name: str) -> Value:
            for _ in range(made.lateness(pair)):
                value = registered(value, name, data=False)  # a reset, or Yosys makes shift registers in LUTs of them
            return value

        for group, shared in enumerate(elements):
            paired = [*shared, Const(least(x), x.width)][: 2 * made.pairs]
            forms = [
                [waited(registered(form, "form"), pair, "form") for form in self.pair_forms(one, other, x)]
                for pair, (one, other) in enumerate(zip(paired[::2], paired[1::2], strict=True))
            ]
            for row in codes[group * each : group * each + each]:
                lanes = [*row, Const(0, len(row[0]))][: 2 * made.pairs]
                waiting = [waited(code, lane // 2, "code") for lane, code in enumerate(lanes)]
                pairs = list(zip(forms, waiting[::2], waiting[1::2], strict=True))
                leaves = [
                    [self.chosen(form, one[digit], other[digit]) for form, one, other in pairs]
                    for digit in range(made.digits)
                ]
                result.append((made.sum(leaves, registered), None))
        return result


@dataclass(frozen=True)
class SignPairs(PairLanes, SignLanes):
    """Weights 1 and -1, of elements of two bits or more.

    With u as in BitLanes, v its complement, and n = 1 where a weight is -1, a pair is u + u', v + v', u + v' or v + u'.
    The second is the complement of the first less 1, the fourth that of the third: so two forms are enough, and where
    the first lane's weight is -1 the result is 1 too high, which is known beforehand.
    """

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        first = np.arange(node.own.shape[1]) % lanes % 2 == 0
        sums: Array = super().excess(node, x, lanes) + self.codes(node)[:, first].sum(axis=1)
        return sums

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        _, absent = super().excess_of_beat(node, x, lanes)
        return self.chains(node, x, lanes).excess, absent

    def chains(self, node: Dense, x: Type, lanes: int) -> Chains:
        return Chains(-(-lanes // 2), 1, False, 0, (2 << x.width) - 1)

    def pair_forms(self, one: Value, other: Value, x: Type) -> list[Value]:
        u, other_u = (Cat(value[:-1], value[-1] ^ int(x.signed)) for value in (one, other))
        return [u + other_u, u + ~other_u]

    def form_usage(self, x: Type) -> Usage:
        return Usage(2 * x.width, 2 * (x.width + 1))

    def chosen(self, forms: Sequence[Value], one: Value, other: Value) -> Value:
        same, unlike = forms
        return Mux(one ^ other, unlike, same) ^ one.replicate(len(same))


@dataclass(frozen=True)
class MaskPairs(PairLanes, ProductLanes):
    """Integer weights in two's complement: a digit of a pair chooses 0, either element, or their sum."""

    fetch = True

    def weight_bits(self, node: Dense) -> int:
        return max(node.weight_type.width, 1 + node.weight_type.signed)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        _, absent = super().excess_of_beat(node, x, lanes)
        return self.chains(node, x, lanes).excess, absent

    def chains(self, node: Dense, x: Type, lanes: int) -> Chains:
        low, high = (-1 << x.width, (1 << x.width) - 2) if x.signed else (0, (2 << x.width) - 2)
        return Chains(-(-lanes // 2), self.weight_bits(node), node.weight_type.signed, low, high)

    def pair_forms(self, one: Value, other: Value, x: Type) -> list[Value]:
        one, other = (typed(value, Shape(x.width, x.signed)) for value in (one, other))
        return [one, other, one + other]

    def form_usage(self, x: Type) -> Usage:
        return Usage(x.width + x.signed, 3 * x.width + 1)

    def chosen(self, forms: Sequence[Value], one: Value, other: Value) -> Value:
        first, second, both = forms
        return Mux(other, Mux(one, both, second), Mux(one, first, 0))
