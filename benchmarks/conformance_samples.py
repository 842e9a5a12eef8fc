"""The cases' data on a grid: which integers an activation may hold, and inputs that cover them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.frontend import grid as grids

Array = NDArray[Any]
IMPLIED = ("int8", "uint8", "int16", "uint16", "bool")  # input types that are their own grid
NARROW = ("int4", "uint4", "int2", "uint2")
EIGHTH = 0.125


@dataclass(frozen=True)
class Samples:
    """Whole inputs of one type on a grid: the case's own data, random integers, and the two ends of the grid.

    `grid` is None where the type itself is the grid, or where the type holds no numbers.
    """

    grid: str | None
    inputs: tuple[Array, ...]


def grid_of(data: Array) -> str | None:
    """The first of a few grids that holds the data; the widest where none does."""
    name = str(data.dtype)
    if name in IMPLIED or data.dtype.kind in "OUS":
        return None
    if name in NARROW:
        return name
    finite = data[np.isfinite(data.astype(np.float64))].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if data.dtype.kind in "iu":
        candidates = (["uint8"] if low >= 0 else []) + ["int8", "int16"]
    else:
        candidates = (["ufixed<8,4>"] if low >= 0 else []) + ["fixed<8,4>", "int8", "int16"]
    for candidate in candidates:
        grid = grids.parse(candidate)
        if grid.lo * grid.scale <= low and high <= grid.hi * grid.scale:
            return candidate
    return candidates[-1]


def samples(data: Array, seed: str, most: int | None = None) -> Samples:
    """Inputs of the data's shape and type. `most` bounds integers that are indices, to a power of two."""
    name = grid_of(data)
    if name is None and data.dtype.kind in "OUS":
        return Samples(None, (data,))
    if most is not None:
        name = f"uint{max(most.bit_length() - 1, 1)}"
    grid = grids.parse(name or {"bool": "uint1"}.get(str(data.dtype), str(data.dtype)))
    random = np.random.default_rng(zlib.crc32(seed.encode()))

    def real(q: Array) -> Array:
        values = (np.clip(q, grid.lo, grid.hi) * grid.scale + grid.offset).astype(data.dtype)
        off = values.astype(np.float64) / grid.scale  # eight-bit floats round to values that the grid lacks
        return np.where((off == np.round(off)) & (off <= grid.hi) & (off >= grid.lo), values, values.dtype.type(0))

    own = np.nan_to_num(data.astype(np.float64), nan=0.0, posinf=1e6, neginf=-1e6)
    chunks = [np.round(own / grid.scale)]
    if data.size:
        chunks += [random.integers(grid.lo, grid.hi + 1, data.shape), random.choice([grid.lo, grid.hi], data.shape)]
    return Samples(name, tuple(real(np.asarray(chunk)) for chunk in chunks))


def finite(held: Samples, run: Callable[[Array], Array]) -> Samples:
    """The samples without integers for which the operator has no finite value.

    Where output and input have one shape, such elements become the case's own; otherwise the input is left out. The
    case's own data stay, whatever they give.
    """
    kept: list[Array] = []
    for index, x in enumerate(held.inputs):
        y = run(x)
        if y.dtype.kind != "f" or np.isfinite(y).all():
            kept.append(x)
            continue
        if index == 0:
            kept.append(x)
        elif y.shape == x.shape:
            kept.append(np.where(np.isfinite(y), x, held.inputs[0]))
    return Samples(held.grid, tuple(kept))


def eighths(array: Array) -> Array:
    """Weights of linear operators: the case's, rounded to multiples of 1/8."""
    return (np.round(array.astype(np.float64) / EIGHTH) * EIGHTH).astype(array.dtype)


def largest(arrays: Sequence[Array]) -> float:
    """The largest finite magnitude, 1 where there is none but 0."""
    values = np.concatenate([np.abs(array.astype(np.float64)).ravel() for array in arrays] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size and values.max() > 0 else 1.0
