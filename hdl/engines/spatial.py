"""The engine that wires every weight into logic."""

from __future__ import annotations

from collections.abc import Iterable

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.cost import spatial_cost
from lutwright.hdl.engines.spatial_dense import SpatialDense

# Synthesis of one layer takes many minutes from here on.
MOST_WEIGHTS = 1 << 17


class Spatial:
    """Up to 131,072 integer weights, every one wired into logic, a vector in every cycle."""

    name = "spatial"

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if node.weight.size > MOST_WEIGHTS:
            return f"at most {MOST_WEIGHTS:,} weights can be wired into logic, found {node.weight.size:,}"
        return None

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return (Folding(*node.weight.shape),)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return spatial_cost(self._dense(node, x, folding), device)

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return self._dense(node, x, folding)

    def _dense(self, node: Dense, x: Type, folding: Folding) -> SpatialDense:
        rows, columns = node.weight.shape
        if (folding.pe, folding.simd) != (rows, columns):
            raise PlanError(f"'{node.name}' as spatial must be folded {rows}x{columns}, not {folding}")
        return SpatialDense(node, x)
