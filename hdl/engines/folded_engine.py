"""What the folded engines share: they differ in their lanes, and in which layers they take."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.cost import folded_cost
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.foldings import foldings
from lutwright.hdl.engines.lanes import Lanes


class FoldedEngine:
    """An engine whose component is a FoldedDense of PE x SIMD lanes."""

    @abstractmethod
    def lanes(self, node: Dense) -> Lanes:
        """How its lanes multiply."""

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return foldings(node)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return folded_cost(self._dense(node, x, folding, device), device)

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return self._dense(node, x, folding, device)

    def _dense(self, node: Dense, x: Type, folding: Folding, device: Device) -> FoldedDense:
        return FoldedDense(node, x, folding, self.lanes(node), device.family)
