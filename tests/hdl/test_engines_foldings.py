"""The plan space of folded layers is small and has no folding that another one beats."""

from __future__ import annotations

import itertools

import pytest

from lutwright.hdl.engines.foldings import MOST_FOLDINGS, MOST_LANES, useful_foldings

SHAPES = [(1, 1), (1, 7), (13, 1), (10, 64), (7, 13), (64, 784), (1024, 784), (512, 4096)]


def folds(size: int, lanes: int) -> int:
    return -(-size // lanes)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_foldings(rows: int, columns: int) -> None:
    found = [(folding.pe, folding.simd) for folding in useful_foldings(rows, columns)]
    lanes = [pe * simd for pe, simd in found]
    assert len(set(found)) == len(found) <= MOST_FOLDINGS
    assert lanes == sorted(lanes)
    assert found[0] == (1, 1)
    assert max(lanes) <= MOST_LANES
    if rows * columns <= MOST_LANES:
        assert found[-1] == (rows, columns)
    best = {}
    for pe, simd in itertools.product(range(1, min(rows, 64) + 1), range(1, min(columns, 64) + 1)):
        cycles = folds(rows, pe) * folds(columns, simd)
        best[cycles] = min(best.get(cycles, pe * simd), pe * simd)
    for pe, simd in found:
        assert pe * simd <= best.get(folds(rows, pe) * folds(columns, simd), pe * simd)
