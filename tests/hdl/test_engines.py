"""Every engine equals `evaluate` under stalls, and its control twin has every cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.timing import simulate

from .harness import run

DEVICE = device("ecp5-85k")
KINDS: list[tuple[str, int, int, Sequence[int]]] = [
    ("xnor", 0, 1, (-1, 1)),
    ("addsub", 0, 1, (-1, 0, 1)),
    ("addsub", 0, 9, (-1, 1)),
    ("addsub", -1, 1, (-1, 0, 1)),
    ("addsub", -5, 3, (-1, 1)),
    ("multiply", 0, 1, (-3, 0, 3)),
    ("multiply", -4, 3, (-8, 7)),
    ("multiply", 2, 5, (0, 1, 5)),
    ("multiply", -1, 0, (-1, 2)),
    ("multiply_dsp", 0, 7, (-3, 3)),
    ("multiply_dsp", -4, 3, (-8, 7)),
    ("multiply_dsp", 2, 5, (3, 5)),
    ("spatial", 0, 1, (-1, 1)),
    ("spatial", 0, 1, (-1, 0, 1)),
    ("spatial", -1, 0, (-1, 1)),
    ("spatial", 0, 9, (-1, 0, 1)),
    ("spatial", -5, 3, (-7, -3, 0, 5)),
    ("spatial", 0, 0, (3,)),
    ("spatial", 2, 5, (0,)),
]
SHAPES = [
    # N, K, leading dimensions, foldings
    (1, 1, (), ["1x1"]),
    (3, 5, (), ["1x1", "2x3", "3x5", "3x1"]),
    (7, 4, (2,), ["7x1", "3x2", "1x4"]),
    (8, 16, (), ["2x4", "8x16"]),
    (5, 11, (), ["2x7", "5x4"]),
]
CASES = [
    (kind, rows, columns, leading, fold)
    for kind in KINDS
    for rows, columns, leading, foldings in SHAPES
    for fold in (foldings if kind[0] != "spatial" else [f"{rows}x{columns}"])
]


def layer(
    kind: tuple[str, int, int, Sequence[int]], rows: int, columns: int, leading: tuple[int, ...]
) -> tuple[Dense, Type]:
    rng = np.random.default_rng(rows * 1000 + columns)
    _, lo, hi, weights = kind
    source = Input("x", (), Type((*leading, columns), lo, hi))
    bias = rng.integers(-9, 9, rows) if columns % 2 else None
    return Dense.of("dense", source, rng.choice(weights, (rows, columns)), bias), source.type


def frames(x: Type, count: int, seed: int) -> Array:
    """Random frames, among them the all-lowest and the all-highest."""
    drawn = np.random.default_rng(seed).integers(x.lo, x.hi + 1, (count, *x.shape))
    drawn[0], drawn[-1] = x.lo, x.hi
    return drawn


@pytest.mark.parametrize(("kind", "rows", "columns", "leading", "fold"), CASES)
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.0), (0.0, 0.5), (0.3, 0.3)])
def test_engine_is_evaluate(
    kind: tuple[str, int, int, Sequence[int]], rows: int, columns: int, leading: tuple[int, ...], fold: str,
    stalls: tuple[float, float],
) -> None:  # fmt: skip
    node, x = layer(kind, rows, columns, leading)
    pe, simd = map(int, fold.split("x"))
    engine = engines()[kind[0]]
    assert engine.supports(node, x, DEVICE) is None
    component = engine.build(node, x, Folding(pe, simd), DEVICE)
    samples = frames(x, 6, seed=pe + simd)
    ran = run(component, samples, stalls, seed=5)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))
    if stalls == (0.0, 0.0):
        twin = simulate([component.control()], component.i_beats.per_frame, component.o_beats.per_frame, 6)
        assert twin == list(zip(ran.first_in, ran.last_out, strict=True))
        assert ran.last_out[-1] - ran.last_out[-2] == engine.cost(node, x, Folding(pe, simd), DEVICE).cycles


@pytest.mark.parametrize(
    ("name", "lo", "hi", "weights", "reason"),
    [
        ("xnor", 0, 1, (-1, 0, 1), "weights must be -1 or 1"),
        ("xnor", 0, 2, (-1, 1), "found [0, 2]"),
        ("addsub", 0, 2, (-2, 1), "found magnitudes up to 2"),
    ],
)
def test_an_engine_says_why_not(name: str, lo: int, hi: int, weights: Sequence[int], reason: str) -> None:
    node, x = layer((name, lo, hi, weights), 6, 9, ())
    said = engines()[name].supports(node, x, DEVICE)
    assert said is not None
    assert reason in said
