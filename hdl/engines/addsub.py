"""The engine for ±1 and ternary weights: no product is built."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.bits import MaskLanes, SignLanes
from lutwright.hdl.engines.chains import MaskPairs, SignPairs
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes


class AddSub(FoldedEngine):
    """±1 or ternary weights times k-bit elements, PE x SIMD at a time, without multipliers."""

    name = "addsub"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        if node.weighs_all:
            return (SignLanes(), SignPairs()) if device.family == "xc7" else (SignLanes(),)
        return (MaskLanes(), MaskPairs()) if device.family == "xc7" else (MaskLanes(),)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        largest = max(-node.weight_type.lo, node.weight_type.hi)
        return None if largest <= 1 else f"weights must be -1, 0 or 1, found magnitudes up to {largest}"
