"""What the folded engines share: they differ in their lanes, and in which layers they take."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import lru_cache

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.cost import folded_cost
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.foldings import foldings
from lutwright.hdl.engines.lanes import Lanes


class FoldedEngine:
    """An engine whose component is a FoldedDense of PE x SIMD lanes; `serial`: which weigh a bit of each element."""

    serial = False

    @abstractmethod
    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        """The ways in which a folding's lanes can multiply, of which it has the one with the fewest LUTs."""

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return foldings(node)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return _cheapest(node, x, folding, self.lanes(node, x, folding, device), device.family, self.serial)[0]

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        _, lanes = _cheapest(node, x, folding, self.lanes(node, x, folding, device), device.family, self.serial)
        return FoldedDense(node, x, folding, lanes, device.family, self.serial)


@lru_cache(maxsize=1 << 16)
def _cheapest(
    node: Dense, x: Type, folding: Folding, ways: tuple[Lanes, ...], family: Family, serial: bool
) -> tuple[Cost, Lanes]:
    """Plans are searched for on several devices of a family, and for several goals."""
    found = [(folded_cost(FoldedDense(node, x, folding, lanes, family, serial), family), lanes) for lanes in ways]
    return min(found, key=lambda one: one[0].luts)
