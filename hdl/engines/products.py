"""Lanes that multiply, several of them in each block of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from amaranth import Cat, Const, Shape, Signal, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import carried_sum, typed
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.engines.packing import Packing, packing
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import LUT_INPUTS, Usage

ADDER: dict[Family, float] = {"ice40": 1.0, "ecp5": 1.1, "gowin": 1.1, "xc7": 1.0}  # LUT sites of a bit of a sum
MULTIPLIER = 1.3  # LUTs of a bit times a bit of a product that is in no block
# Registers before and behind the products of two blocks, of which the first adds them up where it has an adder: so the
# other one's come two cycles earlier on iCE40, whose blocks have no register with an enable before their adders.
REGISTERS: dict[Family, tuple[tuple[int, int], tuple[int, int]]] = {
    "ice40": ((3, 0), (1, 2)),
    "ecp5": ((2, 2), (2, 2)),
    "gowin": ((2, 2), (2, 2)),
    "xc7": ((2, 1), (2, 1)),
}
INSIDE = ("ice40", "xc7")  # whose blocks have adders
IN_BLOCK = ("ecp5", "ice40", "xc7")  # whose blocks take the last registers of their factors in
OUTSIDE: dict[Family, int] = {"ice40": 0, "ecp5": 2, "gowin": 2, "xc7": 0}  # registers of a product that blocks leave
MOST_ROWS, MOST_LANES = 8, 4  # in a block


@dataclass(frozen=True)
class ProductLanes:
    """Weights in two's complement, packed where several products fit into a block (`hdl.engines.packing`).

    Blocks lie far from what they multiply, and in a few rows of the device, so registers of their own stand on both
    sides: two more before them, two behind; but where a block has an adder, it adds up two blocks' products.
    """

    shift = 0
    fetch = False

    def weight_bits(self, node: Dense) -> int:
        return node.weight_type.width

    def codes(self, node: Dense) -> Array:
        return node.own & ((1 << self.weight_bits(node)) - 1)

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        stored, row = codes.copy(), 0
        for made in self.packings(node, x, codes.shape[1], codes.shape[3], groups, family):
            rows = slice(row, row + made.rows)
            for lane in range(0, codes.shape[3], made.lanes):
                lanes = slice(lane, lane + made.lanes)
                stored[:, rows, :, lanes] = made.stored(codes[:, rows, :, lanes].swapaxes(1, 2)).swapaxes(1, 2)
            row += made.rows
        return stored

    def packings(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family) -> list[Packing]:
        """How the rows share blocks, those of one group after the other."""
        return [*packings(node.weight_type, Type((), x.lo, x.hi), rows // groups, lanes, family)] * groups

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        return np.zeros(len(node.weight), dtype=np.int64)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        return 0, 0

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        blocks = -(-lanes // self.packings(node, x, rows, lanes, 1, family)[0].lanes)
        return sum(registers(family, blocks, 0)) + (blocks - 1).bit_length()

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        made = self.packings(node, x, rows, lanes, groups, family)
        borrowing = x.signed * (lanes - -(-lanes // made[0].lanes))
        registers = lanes * x.width * (1 if family in IN_BLOCK and made[0].in_dsp(family) else 2)
        usage = Usage(groups * borrowing * (x.width + 1), groups * (registers + borrowing))
        return sum((packed_usage(one, lanes, family) for one in made), usage)

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        each, lanes = len(codes) // len(elements), len(elements[0])
        result: list[Sum] = []
        for group, shared in enumerate(elements):
            packed_rows, row = self.packings(node, x, each, lanes, 1, family), group * each
            at_once = packed_rows[0].lanes
            ways = [range(lane, min(lane + at_once, lanes)) for lane in range(0, lanes, at_once)]
            around = [registers(family, len(ways), number) for number in range(len(ways))]
            factors = [
                element_fields([shared[lane] for lane in way], x, registered, before)
                for way, (before, _) in zip(ways, around, strict=True)
            ]
            for made in packed_rows:
                products = []
                for way, fields, (before, behind) in zip(ways, factors, around, strict=True):
                    block = [[codes[row + index][lane] for lane in way] for index in range(made.rows)]
                    weights = packed_weights(made, block, registered, before)
                    product = Signal(Shape(made.width(1), made.signed), name=f"product{row}")
                    registered.m.d.comb += product.eq(packed_elements(made, fields) * weights)
                    products.append(delayed(product, "product", registered, behind))
                result += row_sums(made, products, node.type.width, registered)
                row += made.rows
        return result


def registers(family: Family, blocks: int, number: int) -> tuple[int, int]:
    """Before and behind the product of one of so many blocks."""
    return REGISTERS[family][number % 2] if blocks > 1 else (2, 1 if family in INSIDE else 2)


def delayed(value: Value, name: str, registered: Registers, count: int) -> Value:
    for _ in range(count):
        value = registered(value, name)
    return value


@lru_cache(maxsize=1 << 12)
def packings(weight: Type, x: Type, rows: int, lanes: int, family: Family) -> Sequence[Packing]:
    """How the rows of a group share blocks: those that take the fewest blocks, and of these the fewest LUTs."""
    found: list[tuple[int, float, list[Packing]]] = []
    for at_once in range(1, min(lanes, MOST_LANES) + 1):
        blocks = -(-lanes // at_once)
        for most in range(1, min(rows, MOST_ROWS) + 1):
            shares = [
                rows * (index + 1) // -(-rows // most) - rows * index // -(-rows // most)
                for index in range(-(-rows // most))
            ]
            if max(shares) < most or (most > 1 and lanes % at_once):
                continue
            made = [_cheapest(weight, x, share, at_once, lanes, family) for share in shares]
            ways = [one for one in made if one is not None]
            if len(ways) == len(made):
                luts = sum(packed_usage(one, lanes, family).luts for one in ways)
                luts += x.signed * (lanes - blocks) * (x.width + 1)
                outside = sum(one.products(lanes, family)[1] for one in ways)
                found.append((len(ways) * blocks + 9 * outside, luts, ways))
    return tuple(min(found, key=lambda one: one[:2])[2])


@lru_cache(maxsize=1 << 14)
def _cheapest(weight: Type, x: Type, rows: int, at_once: int, lanes: int, family: Family) -> Packing | None:
    counts = [1 << level for level in range((-(-lanes // at_once) - 1).bit_length() + 1)]
    made = [packing(weight, x, rows, at_once, added, family) for added in counts]
    ways = [one for one in made if one is not None]
    return min(ways, key=lambda one: packed_usage(one, lanes, family).luts, default=None)


def element_fields(elements: Sequence[Value], x: Type, registered: Registers, before: int) -> list[Value]:
    """The fields of packed elements: each less 1 where those below are negative. The last of the registers follows."""
    fields: list[Value] = []
    below: Value = Const(0, 1)
    for lane, element in enumerate(elements):
        value: Value = typed(delayed(element, "element", registered, before - 1), Shape(x.width, x.signed))
        if lane and x.signed:
            value = value - below
        fields.append(registered(value, "element"))
        below = value[-1]
    return fields


def packed_elements(made: Packing, fields: Sequence[Value]) -> Value:
    return _packed(made.shift, fields, made.x.signed)


def packed_weights(made: Packing, block: Sequence[Sequence[Value]], registered: Registers, before: int) -> Value:
    """The packed weights of the codes [rows][lanes] as they are stored; the last of the registers follows."""
    fields: list[Value] = []
    below: Value = Const(0, 1)
    for codes in block:
        for code in reversed(codes):
            value = delayed(code, "weight", registered, before - 1)
            if made.weight.signed:
                sign = value[-1]
                if fields and made.extended:
                    sign = sign | (below & value[:-1].all())
                    value = Cat(value, sign)
                below = sign
            fields.append(typed(value, Shape(len(value), made.weight.signed)))
    fields = [Const(0, 1)] * (made.lanes - len(block[0])) + fields
    return typed(registered(_packed(made.shift, fields, made.weight.signed), "weight"), Shape(1, made.weight.signed))


def _packed(shift: int, fields: Sequence[Value], signed: bool) -> Value:
    *low, high = fields
    return typed(Cat(*(wide(value, shift) for value in low), high), Shape(1, signed))


def wide(value: Value, width: int) -> Value:
    """The lowest bits of a number, as many as that."""
    top = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, top.replicate(max(0, width - len(value))))[:width]


def row_sums(made: Packing, products: Sequence[Value], width: int, registered: Registers) -> list[Sum]:
    """The sum of each row, modulo 2 ** width where it has a bit to add: a register after each level of adders."""
    level, count = list(products), 1
    while len(level) > 1 and count < made.added:
        count *= 2
        shape = Shape(made.width(count), made.signed)
        level = [summed(level[at : at + 2], shape, registered) for at in range(0, len(level), 2)]
    parts = [unpacked(made, total) for total in level]
    result: list[Sum] = []
    for row in range(made.rows):
        terms = [part[row] for part in parts]
        while len(terms) > 1:
            terms = [added(terms[at : at + 2], registered) for at in range(0, len(terms), 2)]
        ((total, carry),) = terms
        if carry is not None:
            total = wide(total, width)
        result.append((total, carry))
    return result


def unpacked(made: Packing, total: Value) -> list[Sum]:
    """The sums of each row of a packed one."""
    result: list[Sum] = []
    for row in range(made.rows):
        start = made.shift * (row * made.lanes + made.lanes - 1)
        end = len(total) if row == made.rows - 1 else start + made.shift
        carry = total[start - 1] if start and made.signed else None
        result.append((typed(total[start:end], Shape(1, made.signed)), carry))
    return result


def summed(terms: Sequence[Value], shape: Shape, registered: Registers) -> Value:
    total = Signal(shape, name="sum")
    registered.m.d.comb += total.eq(sum(terms[1:], terms[0]))
    return registered(total, "sum")


def added(terms: Sequence[Sum], registered: Registers, width: int | None = None) -> Sum:
    """The sum of one or two numbers, all of `width` bits if given: one of their bits to add is added, another left."""
    (total, _), bits = terms[0], [carry for _, carry in terms if carry is not None]
    if len(terms) > 1:
        one, other = total, terms[1][0]
        total = Signal((one + other).shape() if width is None else width, name="sum")
        registered.m.d.comb += total.eq(carried_sum(one, other, bits.pop(0)) if bits else one + other)
    return registered(total, "sum"), registered(bits[0], "carry") if bits else None


@lru_cache(maxsize=1 << 14)
def packed_usage(made: Packing, lanes: int, family: Family) -> Usage:
    """Of a block's rows for so many lanes, but for the elements."""
    fields, inside = made.rows * lanes, made.in_dsp(family)
    count, added = -(-lanes // made.lanes), 1
    extended = (fields - count) * made.extended
    luts: float = extended * -(-made.weight.width // (LUT_INPUTS[family] - 1))
    ffs: float = fields * made.weight.width * (1 if inside and family in IN_BLOCK else 2)
    ffs += 0 if inside and family in IN_BLOCK else extended
    top = made.shift * (made.rows * made.lanes - 1)
    carries = sum(made.signed and row * made.lanes + made.lanes > 1 for row in range(made.rows))
    used = made.rows * (made.shift or made.width(1)) + carries * (made.lanes > 1)  # bits of a product that is unpacked
    behind = OUTSIDE[family] if inside else 2
    ffs += count * behind * (used if min(count, made.added) == 1 else made.width(1))
    adders = 0
    while count > 1 and added < made.added:
        added *= 2
        if added > 2 or not inside or family not in INSIDE:  # else the block adds
            adders += count // 2 * made.width(added)
            ffs += -(-count // 2) * made.width(added)
        count = -(-count // 2)
    widths = [made.shift] * (made.rows - 1) + [made.width(added) - top]
    while count > 1:
        widths = [width + 1 for width in widths]
        adders += count // 2 * (sum(widths) + carries)
        count = -(-count // 2)
        ffs += count * (sum(widths) + carries)
    dsps, others = made.products(lanes, family)
    return Usage(
        luts + MULTIPLIER * others * made.weight.width * made.x.width + ADDER[family] * adders + carries, ffs, dsps=dsps
    )
