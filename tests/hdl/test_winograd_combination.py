"""Constant matrices times vectors of beats, in the cycles of their twins."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Array, Type
from lutwright.hdl.timing import measure
from lutwright.hdl.winograd.combination import Combination
from lutwright.hdl.winograd.cook_toom import minimal_filter
from lutwright.hdl.winograd.strassen import LEFT, RESULT
from lutwright.hdl.winograd.terms import slots

from .checks import check

MATRICES: dict[str, object] = {
    "F(2, 3) in": minimal_filter(2, 3).b,
    "F(2, 3) out": minimal_filter(2, 3).a,
    "F(4, 3) in": minimal_filter(4, 3).b,
    "F(4, 3) out": minimal_filter(4, 3).a,
    "F(2, 5) in": minimal_filter(2, 5).b,
    "Strassen in": LEFT,
    "Strassen out": RESULT,
    "one term": [[1, 0], [0, 3]],
    "all negative": [[-1, -3], [-7, 0], [0, -2]],
}


def evaluate(matrix: Array, y: Type, shift: int, x: Array) -> Array:
    found = (np.einsum("jk,btkl->btjl", matrix, x) >> shift) & ((1 << y.width) - 1)
    return found - ((found >> y.width - 1) << y.width) if y.signed else found


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize(("x", "wraps", "shift"), [((-128, 127), 0, 0), ((0, 15), 0, 0), ((-128, 127), 4, 2)], ids=str)
def test_combination(name: str, x: tuple[int, int], wraps: int, shift: int) -> None:
    matrix = np.array(MATRICES[name], np.int64)
    reach = abs(matrix).sum(axis=1).max() * max(abs(x[0]), x[1])
    y = Type((), int(-reach - 1 >> wraps), int(reach >> wraps))
    kind = Type((3, matrix.shape[1], 2), *x)
    check(lambda: Combination(kind, matrix, y, shift), lambda x: evaluate(matrix, y, shift, x), seed=1, frames=2)


@pytest.mark.parametrize("name", MATRICES)
def test_throughput(name: str) -> None:
    matrix = np.array(MATRICES[name], np.int64)
    dut = Combination(Type((4, matrix.shape[1], 2), -8, 7), matrix, Type((), -999, 999))
    timing = measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame)
    rows, terms = matrix.shape
    assert timing.interval == dut.cycles == 4 * max(terms, rows + 1)


@pytest.mark.parametrize("name", MATRICES)
def test_slots_are_the_matrix(name: str) -> None:
    matrix = np.array(MATRICES[name], np.int64)
    found = np.zeros_like(matrix)
    for slot in slots(matrix):
        for row, choice in enumerate(slot):
            if choice is not None:
                found[row, choice.operand.column] += choice.sign << choice.shift
                if choice.operand.other is not None:
                    found[row, choice.operand.other] += choice.sign * choice.operand.signs[row] << choice.shift
    np.testing.assert_array_equal(found, matrix)


@pytest.mark.parametrize(
    ("name", "adders"), [("F(2, 3) in", 1), ("F(2, 3) out", 2), ("F(4, 3) in", 3), ("F(4, 3) out", 4)]
)
def test_adders(name: str, adders: int) -> None:
    found = slots(np.array(MATRICES[name], np.int64))
    pairs = {choice.operand for slot in found for choice in slot if choice and choice.operand.other is not None}
    assert len(found) - 1 + len(pairs) == adders
