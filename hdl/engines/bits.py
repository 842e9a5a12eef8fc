"""Lanes whose products are bits: a heap adds those of all lanes up at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from amaranth import Cat, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl import heap
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage

Columns = list[list[Value]]


@dataclass(frozen=True)
class Leaves:
    """What the lanes of a row put into the heap: bits by column, in so many LUTs, or fewer for weights wired in."""

    heights: heap.Heights
    luts: float
    wired: float = 0


@dataclass(frozen=True)
class BitLanes:
    """What such lanes share. Elements are u = x - (the least of x's bits): with the top bit flipped where x is signed.

    `residue`: every row also subtracts the sum of u over its lanes.
    """

    shift = 0
    fetch = True
    residue = False

    @abstractmethod
    def weight_bits(self, node: Dense) -> int: ...

    @abstractmethod
    def codes(self, node: Dense) -> Array: ...

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        return codes

    @abstractmethod
    def forms(self, bits: Sequence[Value], family: Family) -> list[Value]:
        """What all rows share of the bits of equal weight of all lanes: a register each follows."""

    def form_luts(self, lanes: int, family: Family) -> int:
        """LUTs of the forms of a bit."""
        return 0

    def form_registers(self, lanes: int, family: Family) -> int:
        """How many there are."""
        return lanes

    @abstractmethod
    def columns(self, node: Dense, forms: Sequence[Sequence[Value]], codes: Sequence[Value], family: Family) -> Columns:
        """The bits of a row; forms: by bit of the elements."""

    @abstractmethod
    def leaves(self, node: Dense, x: Type, lanes: int, family: Family) -> Leaves:
        """How many bits `columns` gives."""

    @abstractmethod
    def at_zero(self, node: Dense, x: Type, codes: Array) -> Array:
        """What lanes of these codes add to a sum where x is 0, without the residue."""

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        return _excess(self, node, x)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        absent = int(self.at_zero(node, x, np.zeros(1, np.int64))[0]) - self.residue * least(x)
        return self.residue * ((1 << residue_width(x, lanes)) - 1), absent

    def plan(self, node: Dense, x: Type, lanes: int, family: Family) -> heap.Plan:
        """The heap of a row."""
        (lowest, *others), width = self.leaves(node, x, lanes, family).heights, node.type.width + self.shift
        heights = (lowest - self.carries(lowest, family), *others)
        if not self.residue:
            return heap.plan(heights, family, width)
        late = (1,) * min(width, residue_width(x, lanes))
        return heap.plan(heights, family, width, late, self.arrival(x, lanes, family))

    @staticmethod
    def carries(height: int, family: Family) -> bool:
        """Whether a bit of the lowest column, of this height, is left to be the carry in of what adds the sum up."""
        return family != "xc7" and height > 1

    @staticmethod
    def arrival(x: Type, lanes: int, family: Family) -> int:
        """The stages of a row's heap that are over when the residue is there."""
        return max(0, len(residue_plan(x, lanes, family).stages) - 2)

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        return 2 + len(self.plan(node, x, lanes, family).stages)

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        leaves, made = self.leaves(node, x, lanes, family), self.plan(node, x, lanes, family)
        width = node.type.width + self.shift
        carry = self.carries(leaves.heights[0], family)
        registers = sum(leaves.heights[:width]) + made.registers + carry * len(made.stages)
        row = Usage((leaves.wired if wired else leaves.luts) + made.luts + carry, registers)
        shared = Usage(x.width * self.form_luts(lanes, family), x.width * self.form_registers(lanes, family))
        if self.residue:
            residue = residue_plan(x, lanes, family)
            shared += Usage(residue.luts, residue.registers + residue.width * max(0, 2 - len(residue.stages)))
        return Usage(rows * row.luts + groups * shared.luts, rows * row.ffs + groups * shared.ffs)

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        width, each = node.type.width + self.shift, len(codes) // len(elements)

        def register(value: Value) -> Value:
            return registered(value, "bit")

        result = []
        for group, lanes in enumerate(elements):
            us = [Cat(lane[:-1], lane[-1] ^ int(x.signed)) for lane in lanes]
            planes = [[u[bit] for u in us] for bit in range(x.width)]
            late: Columns = []
            if self.residue:
                width_of_residue = residue_width(x, len(lanes))
                stages = len(residue_plan(x, len(lanes), family).stages)
                total = heap.compress(registered.m, planes, family, width_of_residue, register)
                for _ in range(2 - stages):
                    total = register(total)
                complement = ~Cat(total, *[0] * (width_of_residue - len(total)))
                late = [[complement[bit]] for bit in range(min(width, width_of_residue))]
            forms = [[register(form) for form in self.forms(bits, family)] for bits in planes]
            for row in codes[group * each : group * each + each]:
                columns = [
                    [register(bit) for bit in column] for column in self.columns(node, forms, row, family)[:width]
                ]
                carry = columns[0].pop() if self.carries(len(columns[0]), family) else None
                arrival = self.arrival(x, len(lanes), family) if late else 0
                total = heap.compress(registered.m, columns, family, width, register, late, arrival)
                for _ in self.plan(node, x, len(lanes), family).stages if carry is not None else ():
                    carry = register(carry)
                result.append((total, carry))
        return result


@lru_cache(maxsize=32)
def _excess(lanes: BitLanes, node: Dense, x: Type) -> Array:
    sums: Array = lanes.at_zero(node, x, lanes.codes(node)).sum(axis=1) - lanes.residue * least(x) * node.own.shape[1]
    return sums


def least(x: Type) -> int:
    """What u is where x is 0."""
    return 1 << (x.width - 1) if x.signed else 0


def residue_width(x: Type, lanes: int) -> int:
    """Bits of a sum of u."""
    return (lanes * ((1 << x.width) - 1)).bit_length()


@lru_cache(maxsize=1 << 12)
def residue_plan(x: Type, lanes: int, family: Family) -> heap.Plan:
    return heap.plan((lanes,) * x.width, family, residue_width(x, lanes))


@dataclass(frozen=True)
class SignLanes(BitLanes):
    """Weights whose every bit counts as +1 or -1: a product is the elements' bits, or their complements.

    With n = 1 where a weight is -1, u xor n is u, or (2**k - 1) - u, for each of the k bits of u alone. A weight of
    b > 1 bits is such digits of 1, 2, 4, … 2**(b-1), as 2w + 1 is in all of them; subtracting u makes 2w of it.
    For one bit of u this is XNOR and popcount (Courbariaux et al., "Binarized Neural Networks", 2016).

    The parity of such bits is a parity of u's bits xor one of the weights, so that no row has to compute it: the
    former is made once for all rows, and the latter, known beforehand, is what is stored. What is left of a full adder
    of three lanes is its carry, maj(a, b, c) = a xor (a xor b)(a xor c).
    LUT6: lanes in a row, each carry takes the parity so far and two lanes more, a LUT each; stored are every second
    lane's bit and the parities between. LUT4: three lanes at a time, stored as a, a xor b, a xor c; two LUTs for the
    carry, and one for the sum.
    """

    def weight_bits(self, node: Dense) -> int:
        return 1

    def codes(self, node: Dense) -> Array:
        return (node.own < 0).astype(np.int64)

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        stored, lanes = codes.copy(), codes.shape[-1]
        if family == "xc7":
            for lane in range(2, lanes, 2):
                stored[..., lane] ^= stored[..., lane - 2] ^ stored[..., lane - 1]
        else:
            for lane in range(0, lanes // 3 * 3, 3):
                stored[..., lane + 1] ^= stored[..., lane]
                stored[..., lane + 2] ^= stored[..., lane]
        return stored

    def forms(self, bits: Sequence[Value], family: Family) -> list[Value]:
        forms = list(bits)
        if family == "xc7":
            for lane in range(2, len(bits), 2):
                forms[lane] = forms[lane - 2] ^ bits[lane - 1] ^ bits[lane]
            return [*forms, *bits[2::2]]
        for lane in range(0, len(bits) // 3 * 3, 3):
            forms[lane + 1 : lane + 3] = [bits[lane] ^ bits[lane + 1], bits[lane] ^ bits[lane + 2]]
            forms.append(bits[lane] ^ bits[lane + 1] ^ bits[lane + 2])
        return forms

    def form_luts(self, lanes: int, family: Family) -> int:
        return (lanes - 1) // 2 if family == "xc7" else lanes // 3 * 3

    def form_registers(self, lanes: int, family: Family) -> int:
        return lanes + (lanes - 1) // 2 if family == "xc7" else lanes + lanes // 3

    def leaves(self, node: Dense, x: Type, lanes: int, family: Family) -> Leaves:
        if family == "xc7":
            same, carries, luts = 2 - lanes % 2, (lanes - 1) // 2, (lanes - 1) // 2 + 2 - lanes % 2
        else:
            same, carries, luts = lanes // 3 + lanes % 3, lanes // 3, lanes
        planes = self.weight_bits(node)
        heights = np.zeros(x.width + planes, np.int64)
        for plane in range(planes):
            heights[plane : plane + x.width] += same
            heights[plane + 1 : plane + x.width + 1] += carries
        return Leaves(tuple(heights.tolist()), planes * x.width * luts, planes * x.width * carries)

    def columns(self, node: Dense, forms: Sequence[Sequence[Value]], codes: Sequence[Value], family: Family) -> Columns:
        planes = self.weight_bits(node)
        columns: Columns = [[] for _ in range(len(forms) + planes)]
        for plane in range(planes):
            weights = [code[plane] for code in codes]
            for bit, shared in enumerate(forms, plane):
                same, carries = (chained if family == "xc7" else by_threes)(shared, weights)
                columns[bit] += same
                columns[bit + 1] += carries
        return columns

    def at_zero(self, node: Dense, x: Type, codes: Array) -> Array:
        zero, complement = least(x), (1 << x.width) - 1 - least(x)
        digits = (codes[..., np.newaxis] >> np.arange(self.weight_bits(node))) & 1
        sums: Array = np.where(digits, complement, zero) @ (1 << np.arange(self.weight_bits(node)))
        return sums


def chained(forms: Sequence[Value], weights: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """Of lanes in a row: what is left in their column, and the carries."""
    lanes, carries = len(weights), []
    parities, own = forms[:lanes], [None, *forms[lanes:]]
    for lane in range(1, lanes - 1, 2):
        so_far, one = parities[lane - 1] ^ weights[lane - 1], forms[lane] ^ weights[lane]
        two = own[(lane + 1) // 2] ^ weights[lane + 1] ^ weights[lane] ^ weights[lane - 1]
        carries.append((so_far & one) | (so_far & two) | (one & two))
    last = (lanes - 1) // 2 * 2
    return [forms[lane] ^ weights[lane] for lane in range(last, lanes)], carries


def by_threes(forms: Sequence[Value], weights: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """Of lanes three by three: their sums and what is left over, and the carries."""
    lanes, carries, sums = len(weights), [], []
    for number, lane in enumerate(range(0, lanes // 3 * 3, 3)):
        a, b, c = weights[lane : lane + 3]
        carries.append(forms[lane] ^ a ^ ((forms[lane + 1] ^ b) & (forms[lane + 2] ^ c)))
        sums.append(forms[lanes + number] ^ a ^ b ^ c)
    return sums + [forms[lane] ^ weights[lane] for lane in range(lanes // 3 * 3, lanes)], carries


@dataclass(frozen=True)
class DigitLanes(SignLanes):
    """Any integer weights, as digits of +1 and -1."""

    shift = 1
    residue = True

    def weight_bits(self, node: Dense) -> int:
        return node.weight_type.width + (not node.weight_type.signed)

    def codes(self, node: Dense) -> Array:
        return (1 << (self.weight_bits(node) - 1)) - 1 - node.own


@dataclass(frozen=True)
class MaskLanes(BitLanes):
    """Weights -1, 0 and 1: a bit that says non-zero, above it a sign."""

    def weight_bits(self, node: Dense) -> int:
        return 2

    def codes(self, node: Dense) -> Array:
        codes: Array = (node.own != 0) + 2 * (node.own < 0).astype(np.int64)
        return codes

    def forms(self, bits: Sequence[Value], family: Family) -> list[Value]:
        return list(bits)

    def leaves(self, node: Dense, x: Type, lanes: int, family: Family) -> Leaves:
        return Leaves((lanes,) * x.width, x.width * lanes)

    def columns(self, node: Dense, forms: Sequence[Sequence[Value]], codes: Sequence[Value], family: Family) -> Columns:
        return [[code[0] & (u ^ code[1]) for u, code in zip(bits, codes, strict=True)] for bits in forms]

    def at_zero(self, node: Dense, x: Type, codes: Array) -> Array:
        complement = (1 << x.width) - 1 - least(x)
        values: Array = (codes & 1) * np.where(codes & 2, complement, least(x))
        return values
