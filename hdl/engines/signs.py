"""Engines for ±1 and ternary weights: a lane passes its element or its complement, so no product is built.

With s = 1 for a weight of -1, an unsigned k-bit element x gives x xor (s repeated), which is x or (2**k - 1) - x, and a
signed one x or -x - 1. Summed over a row that is weight · x plus a number that depends on the weights alone, which the
accumulator's start value takes back. For k = 1 this is XNOR and popcount (Umuroglu et al., 2017).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from amaranth import Mux, Shape, Value

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.engines.folded import FoldedDense, folded_cost
from lutwright.hdl.engines.foldings import useful_foldings


class SignLane:
    """A lane with a sign bit, and for ternary weights a bit that says non-zero below it."""

    def weight_bits(self, node: Dense, x: Type) -> int:
        return 1 if (node.weight != 0).all() else 2

    def codes(self, node: Dense, x: Type) -> Array:
        sign = (node.weight < 0).astype(np.int64)
        return sign if self.weight_bits(node, x) == 1 else (node.weight != 0) + 2 * sign

    def term_shape(self, node: Dense, x: Type) -> Shape:
        return Shape(x.width, x.signed)

    def term(self, node: Dense, x: Value, code: Value) -> Value:
        shape = x.shape()
        flipped = Mux(code[-1], ~x.as_unsigned(), x.as_unsigned())[: shape.width]
        chosen = flipped if len(code) == 1 else Mux(code[0], flipped, 0)[: shape.width]
        return chosen.as_signed() if shape.signed else chosen

    def excess(self, node: Dense, x: Type) -> Array:
        negatives = (node.weight < 0).sum(axis=1)
        return np.asarray(-negatives if x.signed else negatives * ((1 << x.width) - 1), dtype=np.int64)


class AddSub:
    """±1 or ternary weights times k-bit elements, PE x SIMD at a time, without multipliers."""

    name = "addsub"

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if np.abs(node.weight).max() > 1:
            return f"weights must be -1, 0 or 1, found up to {np.abs(node.weight).max()}"
        return None

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        return useful_foldings(*node.weight.shape)

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        return folded_cost(node, x, folding, SignLane(), device)

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        return FoldedDense(node, x, folding, SignLane())


class Xnor(AddSub):
    """±1 weights times one-bit elements {0, 1}: XNOR and popcount."""

    name = "xnor"

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        if not np.isin(node.weight, (-1, 1)).all():
            return "weights must be -1 or 1"
        if (x.lo, x.hi) != (0, 1):
            return f"elements must be one bit, 0 or 1, found [{x.lo}, {x.hi}]"
        return None
