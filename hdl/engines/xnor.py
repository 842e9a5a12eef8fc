"""The engine for ±1 weights and one-bit elements."""

from __future__ import annotations

import numpy as np

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.addsub import AddSub


class Xnor(AddSub):
    """±1 weights times elements 0 or 1, PE x SIMD at a time: XNOR and popcount, a bit a weight."""

    name = "xnor"

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if not np.isin(node.own, (-1, 1)).all():
            found = np.setdiff1d(node.own, (-1, 1))[:3].tolist()
            return f"weights must be -1 or 1, found {', '.join(map(str, found))}"
        if (x.lo, x.hi) != (0, 1):
            return f"elements must be one bit, 0 or 1, found [{x.lo}, {x.hi}]"
        return None
