"""The engines for any integer weights: in LUTs, or in DSP blocks."""

from __future__ import annotations

from bisect import bisect_right

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.chains import MaskPairs
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.mixed import MixedLanes
from lutwright.hdl.engines.products import MOST_LANES, MOST_ROWS, ProductLanes, packings

DSP_WIDTH = 16
LEAST_PRODUCT = 4  # bits of a product
MOST_BLOCKS = 0.9  # of a device's, for a layer that would need more than all: other nodes need some too


class Multiply(FoldedEngine):
    """Integer weights times k-bit elements, PE x SIMD at a time, in LUTs."""

    name = "multiply"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        return (DigitLanes(), MaskPairs()) if device.family == "xc7" else (DigitLanes(),)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None


class MultiplyDsp(FoldedEngine):
    """The same with multipliers that synthesis puts into DSP blocks, several rows in each where they fit.

    Of a layer of one group, a folding that needs more blocks than the device has takes as many rows as fit into
    MOST_BLOCKS of them, if any do; its other rows are in LUTs.
    """

    name = "multiply_dsp"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        lanes = ProductLanes()

        def blocks(rows: int) -> int:
            return lanes.usage(node, x, rows, folding.simd, 1, device.family, False).dsps

        if device.dsps is None or node.groups > 1 or blocks(folding.pe) <= device.dsps:
            return (lanes,)
        inside = bisect_right(range(1, folding.pe), MOST_BLOCKS * device.dsps, key=blocks)
        return (MixedLanes(folding.pe, inside),) if inside else (lanes,)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        weight = node.weight_type
        if device.dsps == 0:
            return f"{device.name} has no DSP blocks"
        if max(x.width, weight.width) > DSP_WIDTH:
            return f"elements and weights must have at most {DSP_WIDTH} bits, found {x.width} and {weight.width}"
        if weight.width + x.width < LEAST_PRODUCT:
            return f"products of {x.width} by {weight.width} bits are smaller in LUTs"
        rows, each = len(node.weight) // node.groups, Type((), x.lo, x.hi)
        columns = node.own.shape[1]
        if not packings(weight, each, min(rows, MOST_ROWS), min(columns, MOST_LANES), device.family)[0].in_dsp(
            device.family
        ):
            return f"synthesis would not put products of {x.width} by {weight.width} bits into DSP blocks"
        return None
