"""Several products with a common element in one multiplier block: (w1 * 2**s + w0) * x is w1 * x * 2**s + w0 * x.

Sums of such products have the sums of each row in fields of s bits, exactly while the fields below the highest hold
their sums as s-bit numbers. A field of two's complement takes 1 from the next one where it is negative, which its
highest bit says: so a row's sum is its field and, as a carry in, the highest bit of the field below.

Source: Xilinx, "Deep Learning with INT8 Optimization on Xilinx Devices", WP486, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """The products of `rows` weights with one element, `shift` bits apart, and of how many lanes they are added up."""

    weight: Type
    x: Type
    rows: int
    shift: int
    lanes: int

    @property
    def factor(self) -> int:
        """Bits of the packed weights."""
        return self.shift * (self.rows - 1) + self.weight.width

    @property
    def extended(self) -> bool:
        """Whether a weight less 1 may need a bit more than a weight."""
        return self.rows > 1 and self.weight.signed and self.weight.lo == -1 << (self.weight.width - 1)

    @property
    def signed(self) -> bool:
        return self.weight.signed or self.x.signed

    def width(self, lanes: int) -> int:
        """Bits of the sum of the products of so many lanes."""
        return self.shift * (self.rows - 1) + field(self.weight, self.x, lanes, borrows=self.rows > 1)

    def blocks(self, family: Family) -> int:
        """The DSP blocks of a packed product: 1, or 0 if it is in LUTs."""
        x, weight = (kind.signed or not self.signed for kind in (self.x, self.weight))
        return int(in_dsp(self.x.width + (not x), self.factor + (not weight), family))

    def stored(self, codes: Array) -> Array:
        """The weights' codes [rows, ...] as they are in memory: fields of the packed weights, no wider than they are.

        What the field of a weight takes from the one above is in that one's code.
        """
        width = self.weight.width
        stored, takes = codes.copy(), np.zeros(codes.shape[1:], codes.dtype)
        for row, code in enumerate(codes):
            stored[row] = (code - takes) & ((1 << width) - 1)
            if self.weight.signed:
                takes = (code >> (width - 1)) | ((code == 0) & takes)
        return stored


def field(weight: Type, x: Type, lanes: int, borrows: bool) -> int:
    """Bits of the sum of the products of so many lanes, which others may take 1 from."""
    corners = [one * other for one in (weight.lo, weight.hi) for other in (x.lo, x.hi)]
    lo, hi = lanes * min(0, *corners), lanes * max(0, *corners)
    return Type((), lo - (borrows and lo < 0), hi).width


@lru_cache(maxsize=1 << 12)
def packing(weight: Type, x: Type, rows: int, lanes: int, family: Family) -> Packing | None:
    """So many rows in a block, of as many lanes, up to `lanes`, as there are bits for; None if there are too few."""
    if rows == 1:
        return Packing(weight, x, 1, 0, lanes)
    signed = x.signed or weight.signed or family == "xc7"
    room = FACTOR_BITS[family][0] - (signed and not weight.signed) - weight.width
    if x.width + (signed and not x.signed) > FACTOR_BITS[family][1]:
        return None
    found, count = None, 1
    while True:
        shift = field(weight, x, count, borrows=rows > 2)
        if shift * (rows - 1) > room or shift < weight.width:
            return found
        found = Packing(weight, x, rows, shift, count)
        if count >= lanes:
            return found
        count *= 2


@lru_cache(maxsize=1 << 12)
def packings(weight: Type, x: Type, rows: int, lanes: int, family: Family) -> Sequence[Packing]:
    """How the rows of a group share blocks: as few as there can be, of as equal shares as there can be."""
    most = max(count for count in range(1, min(rows, 8) + 1) if packing(weight, x, count, lanes, family))
    blocks = -(-rows // most)
    shares = [rows // blocks + (index < rows % blocks) for index in range(blocks)]
    return tuple(made for share in shares if (made := packing(weight, x, share, lanes, family)) is not None)
