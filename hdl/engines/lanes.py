"""How the lanes of a folded layer multiply, and how their products become a sum: what the folded engines differ in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from amaranth import Value

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage

Sum = tuple[Value, Value | None]
"""A number and, or not, one more bit to add."""


class Lanes(Hashable, Protocol):
    """SIMD weights times SIMD elements, summed, for each of some rows.

    `shift`: the sums are of 2 ** shift times the products. `fetch`: whether the weights come one cycle after the
    elements, because something is made of the elements first that all rows share.
    """

    shift: int
    fetch: bool

    def weight_bits(self, node: Dense) -> int:
        """Bits of a stored weight."""

    def codes(self, node: Dense) -> Array:
        """The weights of `node.own` as numbers of so many bits; an element 0 at a lane that is not there gets 0."""

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        """[folds, PE, SF, lanes of a row] as they are in memory, from codes of the same shape; PE is of so many groups.

        All 0 where the codes of all rows are.
        """

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        """[N]: what the sums of a row's own weights, so many a beat, add up to beyond 2 ** shift * weight · x."""

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        """The same of a beat, whatever its weights, and of a lane that is not there."""

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        """Cycles from the elements to the sums of so many rows of a group; `registered` makes all registers."""

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        """Predicted resources of `sums` for so many rows; `wired`: their weights never change."""

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        """The sum of each row of `codes` [rows][lanes] times its share of `elements` [groups][lanes]."""
