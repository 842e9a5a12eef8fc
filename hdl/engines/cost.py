"""What components cost, by device family."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.folded import Lane


def folded_cost(node: Dense, x: Type, folding: Folding, lane: Lane, device: Device) -> Cost:
    """Predicted resources of FoldedDense."""
    nf, sf = -(-len(node.weight) // folding.pe), -(-x.channels // folding.simd)
    return Cost(0, 0, 0, 0, x.vectors * nf * sf)
