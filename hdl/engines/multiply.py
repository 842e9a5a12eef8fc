"""The engines for any integer weights: in LUTs, or in DSP blocks."""

from __future__ import annotations

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.products import ProductLanes

DSP_WIDTH = 16
FACTOR_BITS = {"ice40": 16}  # bits of the factors of a DSP block; of the others 18 or more


class Multiply(FoldedEngine):
    """Integer weights times k-bit elements, PE x SIMD at a time, in LUTs."""

    name = "multiply"

    def lanes(self, node: Dense) -> Lanes:
        return DigitLanes()

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None


class MultiplyDsp(FoldedEngine):
    """The same with PE x SIMD multipliers, each of which synthesis puts into a DSP block."""

    name = "multiply_dsp"

    def lanes(self, node: Dense) -> Lanes:
        return ProductLanes()

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        weight = node.weight_type
        if device.dsps == 0:
            return f"{device.name} has no DSP blocks"
        if max(x.width, weight.width) > DSP_WIDTH:
            return f"elements and weights must have at most {DSP_WIDTH} bits, found {x.width} and {weight.width}"
        if not in_dsp(x.width, weight.width, device.family):
            return f"synthesis would not put products of {x.width} by {weight.width} bits into DSP blocks"
        return None


def in_dsp(x: int, weight: int, family: Family) -> bool:
    """Whether Yosys maps a product of so many bits to a DSP block: the smallest factor and product that it takes."""
    factor, product = {"ice40": (2, 11), "ecp5": (2, 4), "gowin": (4, 8), "xc7": (2, 9)}[family]
    return min(x, weight) >= factor and x + weight >= product


def dsp_blocks(x: int, weight: int, family: Family) -> int:
    """The DSP blocks of a product of factors of so many bits, up to 18; 0 if it is in LUTs.

    What a factor has beyond a block's bits is multiplied apart, in a block of its own where that is wide enough.
    """
    most = FACTOR_BITS.get(family, 18)
    parts = [(min(width, most), width - most) for width in (x, weight)]
    return sum(in_dsp(one, other, family) for one in parts[0] for other in parts[1])
