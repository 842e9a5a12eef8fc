"""Lanes of which some rows multiply in blocks of the device, the others in LUTs: for layers larger than its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth import Cat, Const, Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.lanes import Lanes, Sum
from lutwright.hdl.engines.products import ProductLanes, delayed
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage


@dataclass(frozen=True)
class MixedLanes:
    """Of `pe` rows the first `inside` in blocks, of a layer of one group.

    All sums are doubled, as those of digits are, and leave at once: those that are there first wait in registers.
    """

    pe: int
    inside: int

    shift = DigitLanes.shift
    fetch = DigitLanes.fetch
    blocks, luts = ProductLanes(), DigitLanes()

    def weight_bits(self, node: Dense) -> int:
        return self.luts.weight_bits(node)

    def by_row(self, node: Dense, in_blocks: Array, in_luts: Array) -> Array:
        """[N, ...]: of each row's own kind."""
        kind = np.arange(len(node.weight)) % self.pe < self.inside
        return np.where(kind.reshape(-1, *[1] * (in_blocks.ndim - 1)), in_blocks, in_luts)

    def codes(self, node: Dense) -> Array:
        return self.by_row(node, self.blocks.codes(node), self.luts.codes(node))

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        above, below = codes[:, : self.inside], codes[:, self.inside :]
        stored = self.blocks.stored(node, x, above, 1, family), self.luts.stored(node, x, below, 1, family)
        return np.concatenate(stored, axis=1)

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        columns = node.own.shape[1]
        beats = -(-columns // lanes)
        beat, absent = self.luts.excess_of_beat(node, x, lanes)
        in_luts = self.luts.excess(node, x, lanes) + beats * beat + (beats * lanes - columns) * absent
        return self.by_row(node, self.blocks.excess(node, x, lanes), in_luts)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        return 0, 0

    def depths(self, node: Dense, x: Type, lanes: int, family: Family) -> tuple[int, int]:
        """Of the two kinds. Elements wait for the weights in front of blocks."""
        blocks = self.blocks.depth(node, x, self.inside, lanes, family)
        return self.fetch + blocks, self.luts.depth(node, x, self.pe - self.inside, lanes, family)

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        return max(self.depths(node, x, lanes, family))

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        kinds: list[tuple[Lanes, int, int]] = [(self.blocks, self.inside, 0), (self.luts, rows - self.inside, 1)]
        usage = Usage(ffs=self.fetch * lanes * x.width)
        for (kind, count, shift), depth in zip(kinds, self.depths(node, x, lanes, family), strict=True):
            waits = self.depth(node, x, rows, lanes, family) - depth
            usage += kind.usage(node, x, count, lanes, 1, family, wired)
            usage += Usage(ffs=waits * count * (node.type.width + shift + 1))
        return usage

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        (lanes,) = elements
        width = self.blocks.weight_bits(node)
        above = [[code[:width] for code in row] for row in codes[: self.inside]]
        late = [[registered(element, "element") for element in lanes]] if self.fetch else [lanes]
        in_blocks = self.blocks.sums(node, x, family, late, above, registered)
        in_luts = self.luts.sums(node, x, family, elements, codes[self.inside :], registered)
        deep = max(depths := self.depths(node, x, len(lanes), family))
        found = [waiting(one, deep - depths[0], registered) for one in in_blocks]
        return [doubled(one) for one in found] + [waiting(one, deep - depths[1], registered) for one in in_luts]


def waiting(one: Sum, cycles: int, registered: Registers) -> Sum:
    total, carry = one
    late = None if carry is None else delayed(carry, "waiting", registered, cycles)
    return delayed(total, "waiting", registered, cycles), late


def doubled(one: Sum) -> Sum:
    """Twice a sum: the bit to add comes in twice."""
    total, carry = one
    twice = Cat(Const(0, 1) if carry is None else carry, total)
    return twice.as_signed() if total.shape().signed else twice, carry
