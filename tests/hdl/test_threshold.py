"""Threshold units equal `evaluate` for every kind of row, step, interval and folding."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.threshold import ThresholdUnit

from .checks import check

SHAPES = [((7,), 1), ((7,), 3), ((7,), 8), ((2, 3, 5), 2), ((2, 3, 5), 5), ((1,), 4)]
INTERVALS = [(-20, 30, 7), (0, 255, 100), (0, 1, 1), (-9, -3, 3), (3, 3, 2), (-500, 500, 255)]


def threshold(x: Type, count: int, kind: str, seed: int = 0) -> Threshold:
    """Thresholds on both sides of the interval; `kind`: how the channels' rows differ, and what they need."""
    rng = np.random.default_rng((seed, count, *x.shape))
    rows = 1 if kind == "one row" else x.channels
    thresholds = np.sort(rng.integers(x.lo - 3, x.hi + 5, (rows, count)), axis=1)
    step, base = rng.choice((-1, 1), rows), rng.integers(-5, 5, rows)
    if kind == "bits":  # one-bit outputs, some of them falling
        thresholds, base = thresholds[:, :1], (step < 0).astype(np.int64)
    if kind == "counts":
        step, base = np.ones_like(step), np.zeros_like(base)
    return Threshold.of("node", Input("x", (), x), thresholds, base, step)


@pytest.mark.parametrize("kind", ["one row", "rows", "bits", "counts"])
@pytest.mark.parametrize(("lo", "hi", "count"), INTERVALS)
@pytest.mark.parametrize(("shape", "lanes"), SHAPES)
def test_equals_evaluate(shape: tuple[int, ...], lanes: int, lo: int, hi: int, count: int, kind: str) -> None:
    x = Type(shape, lo, hi)
    node = threshold(x, count, kind)
    check(lambda: ThresholdUnit(node, x, lanes), node.evaluate, seed=lanes)


@pytest.mark.parametrize(
    ("count", "base", "depth"), [(1, 0, 1), (1, 1, 1), (3, 0, 2), (3, -2, 3), (4, 0, 3), (15, 0, 4), (255, -128, 13)]
)
def test_a_search_takes_the_logarithm_of_the_thresholds(count: int, base: int, depth: int) -> None:
    x = Type((4,), -999, 999)
    falling = -1 if base == 1 else 1
    node = Threshold.of("node", Input("x", (), x), np.arange(count)[np.newaxis], np.array([base]), np.array([falling]))
    assert ThresholdUnit(node, x, 2).depth == depth
