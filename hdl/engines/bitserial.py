"""The engine for ±1 and ternary weights that takes a bit of each element a cycle."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.addsub import AddSub


class BitSerial(AddSub):
    """±1 or ternary weights times k-bit elements, PE x SIMD bits at a time: k passes over a vector."""

    name, serial = "bitserial", True

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if x.width == 1:
            return f"elements must have two bits or more, found [{x.lo}, {x.hi}]"
        return super().supports(node, x, device)
