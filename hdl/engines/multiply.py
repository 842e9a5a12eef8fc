"""The engine for any integer weights: a multiplier a lane, in DSPs or LUTs as synthesis decides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from amaranth import Shape, Value

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.cost import folded_cost
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.foldings import useful_foldings


class ProductLane:
    """A lane with a weight in two's complement (unsigned where no weight is negative)."""

    @staticmethod
    def _weight(node: Dense) -> Type:
        return Type((), min(0, int(node.weight.min())), max(0, int(node.weight.max())))

    def weight_bits(self, node: Dense) -> int:
        return self._weight(node).width

    def codes(self, node: Dense) -> Array:
        return node.weight & ((1 << self.weight_bits(node)) - 1)

    def term_shape(self, node: Dense, x: Type) -> Shape:
        weight = self._weight(node)
        return Shape(x.width + weight.width, x.signed or weight.signed)

    def term(self, node: Dense, x: Value, code: Value) -> Value:
        return x * (code.as_signed() if self._weight(node).signed else code)

    def excess(self, node: Dense, x: Type) -> Array:
        return np.zeros(len(node.weight), dtype=np.int64)


class Multiply:
    """Integer weights times k-bit elements, PE x SIMD multipliers."""

    name = "multiply"

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return useful_foldings(*node.weight.shape)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return folded_cost(node, x, folding, ProductLane(), device)

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return FoldedDense(node, x, folding, ProductLane())
