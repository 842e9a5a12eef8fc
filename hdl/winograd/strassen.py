"""Strassen's block products: 7 for the 8 of a product of two matrices cut in halves, and so on in each of them.

Source: Strassen, "Gaussian Elimination is not Optimal", Numerische Mathematik 13, 1969.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lutwright.frontend.ir import Array

# By product: the blocks 11, 12, 21, 22 of either factor that are added up first; by block of the result, the products.
LEFT = ((1, 0, 0, 1), (0, 0, 1, 1), (1, 0, 0, 0), (0, 0, 0, 1), (1, 1, 0, 0), (-1, 0, 1, 0), (0, 1, 0, -1))
RIGHT = ((1, 0, 0, 1), (1, 0, 0, 0), (0, 1, 0, -1), (-1, 0, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0), (0, 0, 1, 1))
RESULT = ((1, 0, 0, 1, -1, 0, 1), (0, 0, 1, 0, 1, 0, 0), (0, 1, 0, 1, 0, 0, 0), (1, -1, 1, 0, 0, 1, 0))


@dataclass(frozen=True, eq=False)
class Schedule:
    """The block products of `levels`, for matrices of 2 ** levels by 2 ** levels blocks.

    Product k is of the sums over blocks (r, c) of left[k, r, c] and right[k, r, c] times the block; the result's block
    (r, c) is the sum over k of result[r, c, k] times product k.
    """

    levels: int
    left: Array
    right: Array
    result: Array

    @property
    def products(self) -> int:
        return len(self.left)

    @property
    def blocks(self) -> int:
        """Along either axis of a matrix."""
        return 1 << self.levels


@lru_cache(maxsize=8)
def schedule(levels: int) -> Schedule:
    """Each product of a level is cut in the same way in the next one."""
    ones = np.ones((1, 1, 1), np.int64)
    left, right, result = ones, ones, ones
    one = [np.array(part, np.int64) for part in (LEFT, RIGHT, RESULT)]
    for _ in range(levels):
        left, right = (_nested(so_far, half.reshape(7, 2, 2)) for so_far, half in ((left, one[0]), (right, one[1])))
        result = _nested(result, one[2].reshape(2, 2, 7))
    return Schedule(levels, left, right, result)


def _nested(outer: Array, inner: Array) -> Array:
    """The Kronecker product, axis by axis."""
    found: Array = np.kron(outer, inner)
    return found


@dataclass(frozen=True)
class Problem:
    """A product of matrices, rows x inner by inner x columns, `times` over."""

    rows: int
    inner: int
    columns: int
    times: int = 1

    def padded(self, levels: int) -> Problem:
        """The least sizes that so many levels can halve: the next multiples of 2 ** levels."""
        blocks = 1 << levels
        rows, inner, columns = (-(-size // blocks) * blocks for size in (self.rows, self.inner, self.columns))
        return Problem(rows, inner, columns, self.times)

    def multiplications(self, levels: int) -> int:
        """With exactly so many levels."""
        whole = self.padded(levels)
        blocks = (size >> levels for size in (whole.rows, whole.inner, whole.columns))
        return math.prod((self.times, *[len(LEFT)] * levels, *blocks))

    def best(self, most: int) -> int:
        """The number of levels, up to `most`, with the fewest multiplications: more of them pad more than they save."""
        return min(range(most + 1), key=self.multiplications)
