"""Table units equal `evaluate`."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Table
from lutwright.hdl.table import TableUnit

from .checks import check


@pytest.mark.parametrize("rows", ["one row", "rows"])
@pytest.mark.parametrize(
    ("lo", "hi", "values"), [(0, 1, (0, 1)), (-5, 6, (-100, 100)), (3, 9, (4, 9)), (-7, -2, (-1, 0))]
)
@pytest.mark.parametrize(("shape", "lanes"), [((7,), 1), ((7,), 3), ((7,), 9), ((2, 3, 4), 2), ((2, 3, 4), 3)])
def test_equals_evaluate(
    shape: tuple[int, ...], lanes: int, lo: int, hi: int, values: tuple[int, int], rows: str
) -> None:
    x = Type(shape, lo, hi)
    count = 1 if rows == "one row" else x.channels
    drawn = np.random.default_rng(lanes).integers(values[0], values[1] + 1, (count, hi - lo + 1))
    node = Table.of("node", Input("x", (), x), drawn)
    check(lambda: TableUnit(node, x, lanes), node.evaluate, seed=lanes)
