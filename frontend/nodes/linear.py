"""What the linear nodes share: the interval of a weighted sum, and products in floats where these are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array

LARGEST = 2**62  # sums beyond it could leave int64
EXACT: tuple[tuple[int, type[Any]], ...] = ((2**24, np.float32), (2**53, np.float64), (LARGEST, np.int64))


def exact_type(largest: int) -> type[Any]:
    """The fastest number type in which every partial sum up to `largest` in size is exact: BLAS does only floats."""
    return next(kind for limit, kind in EXACT if largest <= limit)


def weighted_interval(name: str, weight: Array, bias: Array, lo: int, hi: int) -> tuple[int, int]:
    """The interval of bias[n] + sum over k of weight[n, k] * x[k], every x[k] in [lo, hi]; GraphError beyond int64."""
    positive = np.maximum(weight, 0).sum(axis=1, dtype=np.float64)
    negative = np.minimum(weight, 0).sum(axis=1, dtype=np.float64)
    largest = float((np.maximum(positive, -negative) * max(abs(lo), abs(hi), 1) + np.abs(bias)).max(initial=0))
    if 2 * largest > LARGEST:
        raise GraphError(f"'{name}' has sums up to {largest:.3g}, which 64 bits cannot hold. Use smaller integers")
    exact_positive, exact_negative = np.maximum(weight, 0).sum(axis=1), np.minimum(weight, 0).sum(axis=1)
    low = exact_positive * lo + exact_negative * hi + bias
    high = exact_positive * hi + exact_negative * lo + bias
    return int(low.min()), int(high.max())


def largest_sum(weight: Array, x: Array) -> int:
    """A bound of every partial sum of weight [N, K] times values as large as those of x."""
    return int(np.abs(weight).sum(axis=1).max(initial=0)) * int(np.abs(x).max(initial=1))


def as_integers(product: NDArray[Any]) -> Array:
    return product if product.dtype == np.int64 else product.astype(np.int64)
