"""An engine of another package, as small as one can be: weights that are 0 or one and the same power of two.

A package brings one by the entry point in the folder beside this file: group `lutwright.engines`, a class without
arguments. `FoldedEngine` is the whole folded layer but for how its lanes multiply.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Value

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.bits import BitLanes, Columns, Leaves, least
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes


def exponent(node: Dense) -> int:
    """Of the one power of two, or -1."""
    found = set(np.unique(node.own).tolist()) - {0}
    value = found.pop() if len(found) == 1 else 0
    return value.bit_length() - 1 if value > 0 and value & (value - 1) == 0 else -1


class GatedLanes(BitLanes):
    """A bit of weight says whether an element counts, at a place that all share."""

    def weight_bits(self, node: Dense) -> int:
        return 1

    def codes(self, node: Dense) -> Array:
        return (node.own != 0).astype(np.int64)

    def forms(self, bits: Sequence[Value], family: Family) -> list[Value]:
        return list(bits)

    def columns(self, node: Dense, forms: Sequence[Sequence[Value]], codes: Sequence[Value], family: Family) -> Columns:
        gated = [[u & code for u, code in zip(bits, codes, strict=True)] for bits in forms]
        return [*([] for _ in range(exponent(node))), *gated]

    def leaves(self, node: Dense, x: Type, lanes: int, family: Family) -> Leaves:
        return Leaves((0,) * exponent(node) + (lanes,) * x.width, lanes * x.width)

    def at_zero(self, node: Dense, x: Type, codes: Array) -> Array:
        values: Array = codes * least(x) << exponent(node)
        return values


class Halves(FoldedEngine):
    """Weights 0 or 2**e for one e, PE x SIMD at a time."""

    name = "halves"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        return (GatedLanes(),)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None if exponent(node) >= 0 else "weights must be 0 or one power of two"
