"""Staircases in fixed point: equal to their Threshold on every integer, or not taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.fixed_point import LEAST_LEVELS, fixed_point

from .staircases import EVEN, FLOAT32, even, float32_chain

MODELS = [
    # model, the grid of its input, staircases, those whose form has corrections
    ("tinycnn_int8_qoperator", None, 16, 12),
    ("mlperf_kws_dscnn_int8_qdq", None, 11, 5),
    ("neudet_v4_int8_qoperator", None, 6, 0),
    ("espcn_subpixel_w4a4", "ufixed<8,0>", 4, 0),
    ("jettag_qkeras_6b", "fixed<16,6>", 3, 3),
    ("deeploy_CNN_Linear1", "int8", 5, 0),
]


def near(node: Threshold, x: Type, reach: int = 4) -> Array:
    """[points, channels]: the integers around each threshold, and the ends of the interval."""
    around = node.thresholds.T[:, np.newaxis] + np.arange(-reach, reach + 1)[:, np.newaxis]
    points = np.clip(around.reshape(-1, len(node.thresholds)), x.lo, x.hi)
    ends = np.array([[x.lo], [x.hi]]).repeat(x.channels, axis=1)
    return np.concatenate([np.broadcast_to(points, (len(points), x.channels)), ends])


def assert_exact(node: Threshold, x: Type, points: Array) -> None:
    form = fixed_point(node, x)
    assert form is not None
    np.testing.assert_array_equal(form.evaluate(points), node.evaluate(points))


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", EVEN, ids=str)
def test_the_form_is_exact_everywhere(case: tuple[int, int, int, int, int], falling: bool) -> None:
    node, x = even(*case, falling)
    assert_exact(node, x, np.arange(x.lo, x.hi + 1)[:, np.newaxis].repeat(x.channels, axis=1))


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("case", FLOAT32, ids=str)
def test_float32_chains_have_a_form(case: tuple[int, int, bool, bool, int], falling: bool) -> None:
    node, x = float32_chain(*case, falling)
    assert_exact(node, x, near(node, x))
    if x.width <= 18:
        assert_exact(node, x, np.arange(x.lo, x.hi + 1)[:, np.newaxis].repeat(x.channels, axis=1))


def test_some_float32_chains_need_corrections() -> None:
    forms = [fixed_point(*float32_chain(*case, falling)) for case in FLOAT32 for falling in (False, True)]
    assert {form.slack for form in forms if form} >= {0, 1}


def test_thresholds_by_hand() -> None:
    """A step of 10, but for thresholds 2 late, where two corrections are needed, at either end too."""
    x = Type((1,), 0, 200)
    thresholds = np.arange(10, 200, 10)
    thresholds[[0, 7, -1]] += 2
    node = Threshold.of("y", Input("x", (), x), thresholds[np.newaxis], np.zeros(1, np.int64), np.ones(1, np.int64))
    form = fixed_point(node, x)
    assert form is not None and form.slack == 2
    assert_exact(node, x, np.arange(0, 201)[:, np.newaxis])


def test_an_uneven_staircase_has_no_form() -> None:
    x = Type((1,), 0, 1000)
    thresholds = np.array([[1, 2, 3, 4, 500, 501, 502, 503, 504, 900]])
    node = Threshold.of("y", Input("x", (), x), thresholds, np.zeros(1, np.int64), np.ones(1, np.int64))
    assert fixed_point(node, x) is None


@pytest.mark.parametrize(("model", "grid", "staircases", "corrected"), MODELS, ids=[case[0] for case in MODELS])
def test_real_staircases_have_a_form(
    models: Path, model: str, grid: str | None, staircases: int, corrected: int
) -> None:
    graph = load(models / model / "model.onnx", grid).graph
    types = {node.name: node.type for node in graph.nodes}
    slacks = []
    for node in graph.nodes:
        x = types[node.inputs[0]] if node.inputs else node.type
        if isinstance(node, Threshold) and _levels(node, x) >= LEAST_LEVELS:
            assert_exact(node, x, near(node, x))
            form = fixed_point(node, x)
            slacks.append(form.slack if form else None)
    assert (len(slacks), sum(map(bool, slacks))) == (staircases, corrected)


def _levels(node: Threshold, x: Type) -> int:
    return int(((node.thresholds > x.lo) & (node.thresholds <= x.hi)).sum(axis=1).max(initial=0))
