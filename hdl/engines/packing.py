"""Several products in one multiplier block: of several rows with one element, of several lanes of a row, or both.

(w1 * z + w0) * x is w1 * x * z + w0 * x, two rows; (w0 * z + w1) * (x1 * z + x0) has w0 * x0 + w1 * x1 beside z, a
row of two lanes; and so on, with z = 2**s. Such products may be added up before they are unpacked. Beside each power
of z is a field of s bits, exactly while all fields below the highest hold their sums as s-bit numbers. A field of two's
complement takes 1 from the next one where it is negative, which its highest bit says: so a sum is its field and, as a
carry in, the highest bit of the field below.

Sources: two rows, Xilinx, "Deep Learning with INT8 Optimization on Xilinx Devices", WP486, 2017; lanes as the
coefficients of a product of polynomials, Liu et al., "HiKonv", ASP-DAC 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type

FACTOR_BITS: dict[Family, tuple[int, int]] = {  # of a block: of either factor, the wider one first
    "ice40": (16, 16),
    "ecp5": (18, 18),
    "gowin": (18, 18),
    "xc7": (25, 18),
}
LEAST_BITS: dict[Family, tuple[int, int]] = {"ice40": (2, 11), "ecp5": (2, 4), "gowin": (4, 8), "xc7": (2, 9)}


def in_dsp(x: int, weight: int, family: Family) -> bool:
    """Whether Yosys maps a product of so many bits to a DSP block: the smallest factor and product that it takes."""
    factor, product = LEAST_BITS[family]
    return min(x, weight) >= factor and x + weight >= product


def dsp_blocks(x: int, weight: int, family: Family) -> int:
    """The DSP blocks of a product of factors of so many bits, up to 18; 0 if it is in LUTs.

    What a factor has beyond a block's bits is multiplied apart, in a block of its own where that is wide enough.
    """
    most = FACTOR_BITS[family][1]
    parts = [(min(width, most), width - most) for width in (x, weight)]
    return sum(in_dsp(one, other, family) for one in parts[0] for other in parts[1])


@dataclass(frozen=True)
class Packing:
    """`rows` times `lanes` products in a block, fields `shift` bits apart, and how many blocks' (`added`) are added up.

    Lane q of row r has its weight in field r * lanes + lanes - 1 - q, its element in field q; the row's sum is in
    field r * lanes + lanes - 1. Lanes that are not there are the last ones, of one row.
    """

    weight: Type
    x: Type
    rows: int
    lanes: int
    shift: int
    added: int

    @property
    def signed(self) -> bool:
        return self.weight.signed or self.x.signed

    @property
    def extended(self) -> bool:
        """Whether a weight less 1 may need a bit more than a weight."""
        several, width = self.rows * self.lanes > 1, self.weight.width
        return several and self.weight.signed and self.weight.lo == -1 << (width - 1)

    @property
    def factors(self) -> tuple[int, int]:
        """Bits of the packed weights and of the packed elements, with a sign if one of them has one."""
        weights = self.shift * (self.rows * self.lanes - 1) + self.weight.width + self.extended
        elements = self.shift * (self.lanes - 1) + self.x.width + (self.x.signed and self.lanes > 1)
        return weights + (self.signed and not self.weight.signed), elements + (self.signed and not self.x.signed)

    def width(self, added: int) -> int:
        """Bits of the sum of so many blocks, up to the highest field with a row's sum."""
        fields = self.rows * self.lanes
        return self.shift * (fields - 1) + field(self.weight, self.x, self.lanes * added, borrows=fields > 1)

    def in_dsp(self, family: Family) -> bool:
        return in_dsp(*self.factors, family)

    def products(self, lanes: int, family: Family) -> tuple[int, int]:
        """Blocks that so many lanes of its rows take, and products of weights and elements left in LUTs."""
        whole, left = divmod(lanes, self.lanes)
        inside = whole * self.in_dsp(family)
        if left:  # what is not there is 0, and no part of the factors
            inside += replace(self, lanes=left).in_dsp(family)
        return inside, -(-lanes // self.lanes) - inside

    def stored(self, codes: Array) -> Array:
        """The weights' codes [..., rows, lanes] of a block as they are in memory: the fields, no wider than a weight.

        What a field takes from the one above is in that one's code.
        """
        width, stored = self.weight.width, codes.copy()
        takes = np.zeros(codes.shape[:-2], codes.dtype)
        for row in range(codes.shape[-2]):
            for lane in reversed(range(codes.shape[-1])):
                code = codes[..., row, lane]
                stored[..., row, lane] = (code - takes) & ((1 << width) - 1)
                if self.weight.signed:
                    takes = (code >> (width - 1)) | ((code == 0) & takes)
        return stored


@lru_cache(maxsize=1 << 14)
def field(weight: Type, x: Type, lanes: int, borrows: bool) -> int:
    """Bits of the sum of the products of so many lanes, that others may take 1 from, signed if a factor is."""
    corners = [one * other for one in (weight.lo, weight.hi) for other in (x.lo, x.hi)]
    lo, hi = lanes * min(0, *corners), lanes * max(0, *corners)
    signed = weight.signed or x.signed
    return Type((), min(lo - borrows, -1) if signed else lo, hi).width


@lru_cache(maxsize=1 << 12)
def packing(weight: Type, x: Type, rows: int, lanes: int, added: int, family: Family) -> Packing | None:
    """So many products in a block, whose sums over `added` blocks are exact; None if there are too few bits."""
    fields = rows * lanes
    if fields == 1:
        return Packing(weight, x, 1, 1, 0, 1 << 20)
    # Of one lane nothing is above the highest field, and nothing takes from the lowest.
    shift = max(field(weight, x, lanes * added, borrows=lanes > 1 or rows > 2), weight.width, x.width)
    made = Packing(weight, x, rows, lanes, shift, added)
    bits = [factor + (family == "xc7" and not made.signed) for factor in made.factors]  # its factors have signs
    fits = any(bits[0] <= one and bits[1] <= other for one, other in (FACTOR_BITS[family], FACTOR_BITS[family][::-1]))
    return made if fits and made.in_dsp(family) else None
