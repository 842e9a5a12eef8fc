"""The plan space of folded layers."""

from __future__ import annotations

from collections.abc import Iterator

from lutwright.hdl.engines.base import Folding


def useful_parts(size: int) -> list[int]:
    """The lane counts that no smaller one equals in folds: the least for every ceil(size / lanes), ascending."""
    return sorted({-(-size // folds) for folds in (-(-size // lanes) for lanes in range(1, size + 1))})


def useful_foldings(rows: int, columns: int, most: int = 4096) -> Iterator[Folding]:
    """Every folding of PE * SIMD <= `most` that no cheaper one equals in cycles a vector, smallest first."""
    pairs = [(pe, simd) for pe in useful_parts(rows) for simd in useful_parts(columns) if pe * simd <= most]
    for pe, simd in sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair)):
        yield Folding(pe, simd)
