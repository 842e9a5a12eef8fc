"""Lanes that multiply, several rows in each block of the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Const, Module, Shape, Signal, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import typed
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.engines.packing import Packing, packings
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage

ADDER: dict[Family, float] = {"ice40": 1.0, "ecp5": 1.1, "gowin": 1.1, "xc7": 1.0}  # LUT sites of a bit of a sum
MULTIPLIER = 1.3  # LUTs of a bit times a bit of a product that is in no block


class ProductLanes:
    """Weights in two's complement, packed where several rows fit into a block (`hdl.engines.packing`).

    Sums are unpacked where the packing has no more room for them. Blocks lie far from what they multiply, and in a few
    rows of the device, so registers of their own stand on both sides: two more before them, two behind.
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
            share = codes[:, row : row + made.rows].swapaxes(0, 1)
            stored[:, row : row + made.rows] = made.stored(share).swapaxes(0, 1)
            row += made.rows
        return stored

    def packings(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family) -> Sequence[Packing]:
        """How the rows share blocks, those of one group after the other."""
        return [*packings(node.weight_type, Type((), x.lo, x.hi), rows // groups, lanes, family)] * groups

    def excess(self, node: Dense, x: Type) -> Array:
        return np.zeros(len(node.weight), dtype=np.int64)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        return 0, 0

    def depth(self, node: Dense, x: Type, lanes: int, family: Family) -> int:
        return 4 + (lanes - 1).bit_length()

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family) -> Usage:
        usage = Usage(ffs=(1 if family in FAMILIES else 2) * groups * lanes * x.width)
        for made in self.packings(node, x, rows, lanes, groups, family):
            usage += packed_usage(made, lanes, family)
        return usage

    def sums(
        self,
        m: Module,
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
            factors = [
                typed(registered(registered(lane, "element"), "element"), Shape(x.width, x.signed)) for lane in shared
            ]
            row = group * each
            for made in self.packings(node, x, each, lanes, 1, family):
                columns = list(zip(*codes[row : row + made.rows], strict=True))
                products = []
                for element, column in zip(factors, columns, strict=True):
                    weight = packed(made, [registered(code, "weight") for code in column], registered)
                    product = Signal(Shape(made.width(1), made.signed), name=f"product{row}")
                    m.d.comb += product.eq(element * weight)
                    products.append(registered(registered(product, "product"), "product"))
                result += unpacked_sums(m, made, products, node.type.width, registered)
                row += made.rows
        return result


def packed(made: Packing, codes: Sequence[Value], registered: Registers) -> Value:
    """The packed weights of `codes` as they are stored, one register later."""
    fields: list[Value] = []
    below: Value = Const(0, 1)
    for row, code in enumerate(codes):
        if not made.weight.signed:
            sign: Value = Const(0, 1)
        elif row == 0 or not made.extended:
            sign = code[-1]
        else:
            sign = code[-1] | (below & code[:-1].all())
        below = sign
        if row == made.rows - 1:
            fields.append(registered(code, "weight"))
            if row and made.extended:
                fields.append(registered(sign, "sign"))
        else:
            fields += [registered(code, "weight")]
            fields.append(registered(sign, "sign").replicate(made.shift - len(code)))
    return typed(Cat(*fields), Shape(1, made.weight.signed))


def unpacked_sums(
    m: Module, made: Packing, products: Sequence[Value], width: int, registered: Registers
) -> list[Sum]:
    """The sum of each row, modulo 2 ** width where it has a bit to add: a register after each level of adders."""
    level, lanes = list(products), 1
    while lanes < min(made.lanes, len(products)):
        lanes *= 2
        level = [_registered_sum(m, level[at : at + 2], Shape(made.width(lanes), made.signed), registered)
                 for at in range(0, len(level), 2)]
    parts = [unpacked(made, total) for total in level]
    result: list[Sum] = []
    for row in range(made.rows):
        terms = [part[row] for part in parts]
        while len(terms) > 1:
            terms = [_carried_sum(m, terms[at : at + 2], registered) for at in range(0, len(terms), 2)]
        ((total, carry),) = terms
        if carry is not None:
            whole = Signal(Shape(width, total.shape().signed), name="sum")
            m.d.comb += whole.eq(total)
            total = whole
        result.append((total, carry))
    return result


def unpacked(made: Packing, total: Value) -> list[Sum]:
    """The sums of each row of a packed one."""
    ends = [*(made.shift * row for row in range(1, made.rows)), len(total)]
    fields = [total[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    if not made.signed:
        return [(value, None) for value in fields]
    return [(value.as_signed(), total[made.shift * row - 1] if row else None) for row, value in enumerate(fields)]


def _registered_sum(m: Module, terms: Sequence[Value], shape: Shape, registered: Registers) -> Value:
    total = Signal(shape, name="sum")
    m.d.comb += total.eq(sum(terms[1:], terms[0]))
    return registered(total, "sum")


def _carried_sum(m: Module, terms: Sequence[Sum], registered: Registers) -> Sum:
    """The sum of one or two numbers, of whose carries one comes later, if both have any."""
    (one, carry), *others = terms
    if not others:
        return registered(one, "sum"), None if carry is None else registered(carry, "carry")
    ((other, more),) = others
    shape = (one + other).shape()
    if carry is None:
        return _registered_sum(m, [one, other], shape, registered), None
    total = Signal(shape, name="sum")
    ones = [Cat(bit, value).as_signed() for bit, value in ((Const(1, 1), one), (carry, other))]
    m.d.comb += total.eq((ones[0] + ones[1])[1:])
    return registered(total, "sum"), None if more is None else registered(more, "carry")


def packed_usage(made: Packing, lanes: int, family: Family) -> Usage:
    """Of the packed rows of one block a lane."""
    bits, width = made.weight.width, made.weight.width * made.rows
    signs = (made.rows if made.extended else made.rows - 1) if made.weight.signed else 0
    blocks = made.blocks(family)
    luts: float = lanes * (0 if blocks else MULTIPLIER * made.x.width * made.factor)
    if made.extended:
        luts += lanes * (made.rows - 1) * -(-(bits + 1) // (5 if family == "xc7" else 3))
    ffs = lanes * (width * (1 if family in FAMILIES and blocks else 2))
    if not (family in FAMILIES and blocks):
        ffs += lanes * signs * made.extended
    ffs += 2 * lanes * made.width(1)
    count, added = lanes, 1
    adders = 0
    while count > 1 and added < made.lanes:
        added *= 2
        adders += count // 2 * made.width(added)
        count = -(-count // 2)
        ffs += count * made.width(added)
    fields = [made.shift] * (made.rows - 1) + [made.width(added) - made.shift * (made.rows - 1)]
    carries = made.signed * (made.rows - 1)
    while count > 1:
        fields = [one + 1 for one in fields]
        adders += count // 2 * (sum(fields) + carries)
        count = -(-count // 2)
        ffs += count * (sum(fields) + carries)
    return Usage(luts + ADDER[family] * adders + carries, ffs, dsps=lanes * blocks)
