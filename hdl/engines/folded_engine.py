"""What the folded engines share: they differ in their lane, and in which layers they take."""

from __future__ import annotations

from collections.abc import Iterable

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.cost import folded_cost
from lutwright.hdl.engines.folded import FoldedDense, Lane
from lutwright.hdl.engines.foldings import foldings


class FoldedEngine:
    """An engine whose component is a FoldedDense of a lane: PE x SIMD of them."""

    lane: Lane

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return foldings(node)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return folded_cost(FoldedDense(node, x, folding, self.lane), device)

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return FoldedDense(node, x, folding, self.lane)
