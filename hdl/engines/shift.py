"""The engine for weights that are sums of a few powers of two: elements are shifted, nothing is multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from amaranth import Cat, Const, Mux, Value

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.bits import BitLanes, Columns, Leaves, least
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.spatial_dense import digits

MOST_TERMS, MOST_EXPONENT = 3, 14


@lru_cache(maxsize=64)
def terms_of(node: Dense) -> Array:
    """[terms, N, K / groups]: of each weight its powers of two, 0 or ±(exponent + 1), as few as there are."""
    planes = np.array([(exponent + 1) * plane for exponent, plane in enumerate(digits(node.own))], np.int64)
    if not len(planes):
        return np.zeros((1, *node.own.shape), np.int64)
    count = max(1, int((planes != 0).sum(axis=0).max()))
    order = np.argsort(planes == 0, axis=0, kind="stable")
    return np.take_along_axis(planes, order, axis=0)[:count]


@lru_cache(maxsize=64)
def exponents_of(node: Dense) -> int:
    """How many powers of two the terms need, from 2**0 on."""
    return max(1, int(np.abs(terms_of(node)).max()))


@dataclass(frozen=True)
class ShiftLanes(BitLanes):
    """Weights of up to three terms ±2**e: a lane shifts u by e, and takes its complement where the sign is -1.

    A term's code has e + 1, or 0 for none, and above it the sign: 3 bits for e up to 2, 4 bits for e up to 6.
    Source: Zhou et al., "Incremental Network Quantization", ICLR 2017; Elhoushi et al., "DeepShift", 2021.
    """

    def code_bits(self, node: Dense) -> int:
        """Of a term."""
        return exponents_of(node).bit_length() + 1

    def weight_bits(self, node: Dense) -> int:
        return len(terms_of(node)) * self.code_bits(node)

    def codes(self, node: Dense) -> Array:
        terms, bits = terms_of(node), self.code_bits(node)
        each = np.abs(terms) + ((terms < 0).astype(np.int64) << (bits - 1))
        codes: Array = (each << (bits * np.arange(len(each)))[:, np.newaxis, np.newaxis]).sum(axis=0)
        return codes

    def forms(self, bits: Sequence[Value], family: Family) -> list[Value]:
        return list(bits)

    def columns(self, node: Dense, forms: Sequence[Sequence[Value]], codes: Sequence[Value], family: Family) -> Columns:
        bits, width = self.code_bits(node), len(forms) + exponents_of(node) - 1
        columns: Columns = [[] for _ in range(width)]
        for lane, code in enumerate(codes):
            u = Cat(*(form[lane] for form in forms))
            for start in range(0, len(code), bits):
                term = code[start : start + bits]
                shifted: Value = Mux(term[:-1].any(), u, 0)
                for place, bit in enumerate(term[:-1]):
                    shifted = Mux(bit, shifted << (1 << place), shifted)
                whole = Cat(shifted[1:], Const(0, width))[:width] ^ term[-1].replicate(width)
                for column, bit in zip(columns, whole, strict=True):
                    column.append(bit)
        return columns

    def leaves(self, node: Dense, x: Type, lanes: int, family: Family) -> Leaves:
        terms, exponents = len(terms_of(node)), exponents_of(node)
        width, places = x.width + exponents - 1, exponents.bit_length()
        widths = [x.width + (1 << place + 1) - 1 for place in range(places - 1)] + [width]  # after each multiplexer
        if family == "xc7":  # two multiplexers in a LUT
            widths = widths[::-1][::2]
        return Leaves((lanes * terms,) * width, lanes * terms * (sum(widths) + (places > 2)))

    def at_zero(self, node: Dense, x: Type, codes: Array) -> Array:
        bits, width = self.code_bits(node), x.width + exponents_of(node) - 1
        each = (codes[..., np.newaxis] >> bits * np.arange(len(terms_of(node)))) & ((1 << bits) - 1)
        places, falls = each & ((1 << bits - 1) - 1), each >> (bits - 1)
        values = np.where(places > 0, (least(x) << places) >> 1, 0)
        sums: Array = np.where(falls, (1 << width) - 1 - values, values).sum(axis=-1)
        return sums


class Shift(FoldedEngine):
    """Weights that are 0, ±2**e or sums of two or three such, times k-bit elements, PE x SIMD at a time, in LUTs."""

    name = "shift"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        return (ShiftLanes(),)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        terms = terms_of(node)
        if len(terms) > MOST_TERMS:
            return f"weights must be sums of up to {MOST_TERMS} powers of two, found some of {len(terms)}"
        if exponents_of(node) > MOST_EXPONENT + 1:
            return f"weights must be below 2**{MOST_EXPONENT + 1} in magnitude"
        return None
