"""The engines for any integer weights: adders of bit planes in LUTs, or a DSP block a lane."""

from __future__ import annotations

import numpy as np
from amaranth import Shape, Value

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.folded import Lane
from lutwright.hdl.engines.folded_engine import FoldedEngine

DSP_WIDTH = 16
FACTOR_BITS = {"ice40": 16}  # bits of the factors of a DSP block; of the others 18 or more


class PlaneLane:
    """A lane with a weight in two's complement: a term for each of its bits, which passes the element or 0."""

    blocks = False

    def weight_bits(self, node: Dense) -> int:
        return node.weight_type.width

    def codes(self, node: Dense) -> Array:
        return node.own & ((1 << self.weight_bits(node)) - 1)

    def planes(self, node: Dense) -> tuple[int, ...]:
        *low, high = (1 << bit for bit in range(self.weight_bits(node)))
        return (*low, -high if node.weight_type.signed else high)

    def terms(self, node: Dense, x: Value, code: Value) -> list[Value]:
        return [x.as_unsigned() & bit.replicate(len(x)) for bit in code]

    def term_shape(self, node: Dense, x: Type) -> Shape:
        return Shape(x.width, x.signed)

    def excess(self, node: Dense, x: Type) -> Array:
        return np.zeros(len(node.weight), dtype=np.int64)


class ProductLane(PlaneLane):
    """The same with one term, the product."""

    blocks = True

    def planes(self, node: Dense) -> tuple[int, ...]:
        return (1,)

    def terms(self, node: Dense, x: Value, code: Value) -> list[Value]:
        return [x * (code.as_signed() if node.weight_type.signed else code)]

    def term_shape(self, node: Dense, x: Type) -> Shape:
        weight = node.weight_type
        return Shape(x.width + weight.width, x.signed or weight.signed)


class Multiply(FoldedEngine):
    """Integer weights times k-bit elements, PE x SIMD at a time, in LUTs."""

    name = "multiply"
    lane: Lane = PlaneLane()

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None


class MultiplyDsp(Multiply):
    """The same with PE x SIMD multipliers, each of which synthesis puts into a DSP block."""

    name = "multiply_dsp"
    lane = ProductLane()

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
