"""The engine for ±1 and ternary weights: a lane passes its element or its complement, no product is built.

With s = 1 where the weight is -1, an unsigned k-bit element x gives x xor (s repeated), which is x or (2**k - 1) - x,
and a signed one x or -x - 1. Summed over a row that is weight · x plus a number that depends on the weights alone,
which the accumulator's start value takes back. For k = 1 this is XNOR and popcount (Courbariaux et al., "Binarized
Neural Networks", 2016; Umuroglu et al., "FINN", FPGA 2017).
"""

from __future__ import annotations

import numpy as np
from amaranth import Mux, Shape, Value

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.folded import Lane
from lutwright.hdl.engines.folded_engine import FoldedEngine


class SignLane:
    """A lane with a sign bit, above a bit that says non-zero where a weight is 0."""

    blocks = False

    def weight_bits(self, node: Dense) -> int:
        return 1 if node.weighs_all else 2

    def codes(self, node: Dense) -> Array:
        sign = (node.own < 0).astype(np.int64)
        return sign if self.weight_bits(node) == 1 else (node.own != 0) + 2 * sign

    def term_shape(self, node: Dense, x: Type) -> Shape:
        return Shape(x.width, x.signed)

    def planes(self, node: Dense) -> tuple[int, ...]:
        return (1,)

    def terms(self, node: Dense, x: Value, code: Value) -> list[Value]:
        flipped = x.as_unsigned() ^ code[-1].replicate(len(x))
        return [flipped if len(code) == 1 else Mux(code[0], flipped, 0)]

    def excess(self, node: Dense, x: Type) -> Array:
        negatives = (node.own < 0).sum(axis=1)
        return np.asarray(-negatives if x.signed else negatives * ((1 << x.width) - 1), dtype=np.int64)


class AddSub(FoldedEngine):
    """±1 or ternary weights times k-bit elements, PE x SIMD at a time, without multipliers."""

    name = "addsub"
    lane: Lane = SignLane()

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        largest = max(-node.weight_type.lo, node.weight_type.hi)
        return None if largest <= 1 else f"weights must be -1, 0 or 1, found magnitudes up to {largest}"
