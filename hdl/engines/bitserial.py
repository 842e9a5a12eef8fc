"""The engine for ±1 and ternary weights that takes a bit of each element a cycle."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.addsub import AddSub
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.lanes import Lanes


class BitSerial(AddSub):
    """±1 or ternary weights times k-bit elements, PE x SIMD bits at a time: k passes over a vector.

    It is the smaller one where a whole layer is computed at once, in k cycles: each weight is wired in, so that it
    takes no memory and no LUT for the elements' complement. A layer of 16 x 32 and 4-bit elements in 4 cycles takes
    900 LUTs on iCE40 and 847 on ECP5 (`addsub` 1,144 and 1,135), with ternary weights 948 on iCE40 (1,246). Otherwise
    heaps of one column are no smaller than those of as many bits in k, and accumulators need another multiplexer.
    """

    name, serial = "bitserial", True

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        return super().lanes(node, x, folding, device)[:1]  # of bits

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if x.width == 1:
            return f"elements must have two bits or more, found [{x.lo}, {x.hi}]"
        return super().supports(node, x, device)
