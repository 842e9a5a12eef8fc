"""Clamps equal their nodes."""

from __future__ import annotations

import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Clamp
from lutwright.hdl.clamp import ClampUnit

from .checks import check

CASES = [
    # shape, lo, hi, least, most, lanes
    ((3, 5), -500, 499, -300, 20, 1),
    ((3, 5), -500, 499, 3, 400, 2),  # a padded lane carries 0, not 3
    ((7,), -500, 499, -20, -3, 3),
    ((2, 4), 0, 1023, 0, 700, 4),
    ((4,), 0, 1023, -5, 2000, 8),
    ((4,), 0, 9, 20, 30, 2),  # all beyond
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clamp(case: tuple) -> None:
    shape, lo, hi, least, most, lanes = case
    x = Type(shape, lo, hi)
    node = Clamp.of("y", Input("x", (), x), least, most)
    check(lambda: ClampUnit(node, x, lanes), node.evaluate, seed=1)
