"""Embedding units equal `evaluate`, in the cycles of their twin, at any lanes."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Embedding
from lutwright.hdl.embedding import EmbeddingUnit
from lutwright.hdl.timing import measure

from .checks import check

CASES = [
    # shape and interval of the indices, the table's first index and entries, elements of a vector, lanes
    ((7,), 0, 9, 0, 10, 5, (1, 2, 3, 5)),
    ((2, 3), 3, 6, 0, 12, 4, (1, 2, 4)),  # entries that no index reaches
    ((4,), -5, 3, -6, 11, 3, (1, 2, 3)),
    ((), 0, 1, 0, 2, 8, (3, 8)),
    ((3,), 2, 2, 2, 1, 6, (1, 4, 6)),  # always the same vector
    ((5,), 0, 30, 0, 31, 1, (1,)),
]
EACH = [(*case[:-1], lanes) for case in CASES for lanes in case[-1]]


def unit(case: tuple) -> tuple[Embedding, EmbeddingUnit]:
    shape, lo, hi, first, entries, elements, lanes = case
    x = Type(shape, lo, hi)
    table = np.random.default_rng(lanes).integers(-9, 10, (entries, elements))
    node = Embedding.of("y", Input("x", (), x), table, first)
    return node, EmbeddingUnit(node, x, lanes)


@pytest.mark.parametrize("case", EACH, ids=str)
def test_equals_evaluate(case: tuple) -> None:
    check(lambda: unit(case)[1], unit(case)[0].evaluate, seed=case[-1])


@pytest.mark.parametrize("case", EACH, ids=str)
def test_a_beat_a_cycle(case: tuple) -> None:
    dut = unit(case)[1]
    assert measure(dut.tokens(), dut.i_beats.per_frame, dut.o_beats.per_frame).interval == dut.o_beats.per_frame
