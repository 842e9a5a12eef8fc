"""Lanes that multiply, each in a block of the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Module, Shape, Signal, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import adder_tree, tree, tree_depth, typed
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.lanes import Sum
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage

ADDER: dict[Family, float] = {"ice40": 1.28, "ecp5": 1.44, "gowin": 1.48, "xc7": 0.3}  # LUT sites of a bit of a sum
FIRST = 2  # levels of adders before the first registers


class ProductLanes:
    """Weights in two's complement. Blocks lie far from what they multiply, and in a few rows of the device, so
    registers of their own stand on both sides: two more before them, two behind.
    """

    shift = 0
    fetch = False

    def weight_bits(self, node: Dense) -> int:
        return node.weight_type.width

    def codes(self, node: Dense) -> Array:
        return node.own & ((1 << self.weight_bits(node)) - 1)

    def stored(self, codes: Array, family: Family) -> Array:
        return codes

    def excess(self, node: Dense, x: Type) -> Array:
        return np.zeros(len(node.weight), dtype=np.int64)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        return 0, 0

    def depth(self, node: Dense, x: Type, lanes: int, family: Family) -> int:
        return 4 + tree_depth(lanes, one_bit=False, first=FIRST)

    def shape(self, node: Dense, x: Type) -> Shape:
        """The shape of a product."""
        weight = node.weight_type
        return Shape(x.width + weight.width, x.signed or weight.signed)

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        product = self.shape(node, x).width
        adders = tree([product] * lanes, one_bit=False, first=FIRST)
        factors = rows * lanes * self.weight_bits(node) + groups * lanes * x.width
        # Of each two registers of a product one may be in the block, and of those of the factors on some families.
        registers = (
            2 * rows * lanes * product + (1 if family in FAMILIES else 2) * factors + rows * adders.register_bits
        )
        return Usage(ADDER[family] * rows * adders.adder_bits, registers, dsps=rows * lanes)

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
        def twice(value: Value, name: str) -> Value:
            return registered(registered(value, name), name)

        each = len(codes) // len(elements)
        groups = [[typed(twice(lane, "element"), Shape(x.width, x.signed)) for lane in lanes] for lanes in elements]
        result = []
        for row, lanes in enumerate(codes):
            products = []
            for element, code in zip(groups[row // each], lanes, strict=True):
                weight = typed(twice(code, "weight"), Shape(len(code), node.weight_type.signed))
                product = Signal(self.shape(node, x), name=f"product{row}")
                m.d.comb += product.eq(element * weight)
                products.append(twice(product, "product"))
            result.append((adder_tree(m, products, lambda value: registered(value, "sum"), FIRST), None))
        return result
