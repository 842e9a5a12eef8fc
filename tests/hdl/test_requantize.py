"""Staircases in fixed point: equal to their Threshold on every integer, or not taken."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.requantize import RequantizeUnit, fixed_point

from .checks import check

CASES = [
    # channels, x.lo, x.hi, levels, seed
    (1, -200, 199, 16, 0),
    (3, -1000, 1000, 255, 1),
    (5, -(2**15), 2**15 - 1, 255, 2),
    (4, 0, 4000, 15, 3),
    (2, -70, 90, 12, 4),
]


def requantizing(
    channels: int, lo: int, hi: int, levels: int, seed: int, falling: bool = False
) -> tuple[Threshold, Type]:
    """clip(round(x * scale + offset)), scales such that rows saturate, or do not, at either end."""
    rng = np.random.default_rng(seed)
    x = Type((3, channels), lo, hi)
    scale = rng.uniform(0.4, 1.8, channels) * levels / (hi - lo) * (-1 if falling else 1)
    start = rng.uniform(-0.2, 0.2, channels) + (1 if falling else 0)  # of the levels, at the least x
    offset = start * levels - scale * lo
    points = np.arange(lo, hi + 1)
    values = np.clip(np.round(points * scale[:, None] + offset[:, None]), 0, levels).astype(np.int64)
    node = Threshold.fit("y", Input("x", (), x), np.tile(points, (channels, 1)), values)
    assert node is not None
    return node, x


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_form_is_exact_everywhere(case: tuple[int, int, int, int, int], falling: bool) -> None:
    node, x = requantizing(*case, falling)
    form = fixed_point(node, x)
    assert form is not None
    every = np.broadcast_to(np.arange(x.lo, x.hi + 1)[:, np.newaxis, np.newaxis], (x.hi - x.lo + 1, *x.shape))
    np.testing.assert_array_equal(form.evaluate(every), node.evaluate(every))


def test_an_uneven_staircase_has_no_form() -> None:
    x = Type((1,), 0, 1000)
    thresholds = np.array([[1, 2, 3, 4, 500, 501, 502, 503, 504, 900]])
    node = Threshold.of("y", Input("x", (), x), thresholds, np.zeros(1, np.int64), np.ones(1, np.int64))
    assert fixed_point(node, x) is None


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_unit(case: tuple[int, int, int, int, int], lanes: int, falling: bool) -> None:
    node, x = requantizing(*case, falling)
    if lanes <= x.channels:
        check(lambda: RequantizeUnit(node, x, lanes), node.evaluate, seed=3)
