"""Accumulators bounded by data: equal on the data, wrapping beyond it, in hardware as in the golden model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.errors import DataError
from lutwright.frontend.bounds import bounded
from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Type, verify
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Dense, Threshold
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Smallest
from lutwright.hdl.network import Network

from ..hdl.checks import check

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def network() -> Graph:
    """Two dense layers and a staircase; random inputs never reach the ends of the sums' intervals."""
    rng = np.random.default_rng(0)
    x = Input("x", (), Type((40,), -8, 7))
    first = Dense.of("first", x, rng.integers(-3, 4, (6, 40)), rng.integers(-9, 10, 6))
    steps = Threshold.of("steps", first, np.array([[-20, 0, 20]]), np.array([-1]), np.array([1]))
    return verify(Graph((x, first, steps, Dense.of("second", steps, rng.integers(-3, 4, (4, 6)))), "second"))


def test_equal_on_the_samples_and_narrower() -> None:
    graph = network()
    samples = np.random.default_rng(1).integers(-8, 8, (100, 40))
    narrow = bounded(graph, samples)
    np.testing.assert_array_equal(narrow.evaluate(samples), graph.evaluate(samples))
    assert narrow["first"].type.width < graph["first"].type.width


def test_larger_sums_wrap() -> None:
    graph = network()
    narrow = bounded(graph, np.random.default_rng(1).integers(-1, 1, (10, 40)))
    weight, kind = graph["first"].weight, narrow["first"].type
    largest = np.where(weight[:1] > 0, 7, -8)
    wide, held = graph.trace(largest)["first"], narrow.trace(largest)["first"]
    assert (wide != held).any() and kind.lo <= held.min() <= held.max() <= kind.hi
    assert ((wide - held) % (1 << kind.width) == 0).all()


@pytest.mark.parametrize("name", ["ice40-hx8k", "ecp5-25k"])
def test_hardware_wraps_as_the_golden_model_does(name: str) -> None:
    narrow = bounded(network(), np.random.default_rng(1).integers(-2, 2, (20, 40)))
    chosen = plan(narrow, device(name), Smallest())
    check(lambda: Network(narrow, chosen), narrow.evaluate, seed=5)


def test_the_example_is_as_accurate_with_less() -> None:
    model = load(DIGITS / "digits.onnx")
    x = model.encode(np.load(DIGITS / "test.npz")["inputs"])
    narrow = bounded(model.graph, x)
    np.testing.assert_array_equal(narrow.evaluate(x), model.graph.evaluate(x))
    saved = [node.type.width - narrow[node.name].type.width for node in model.graph if isinstance(node, Dense)]
    assert min(saved) >= 0 and max(saved) > 0


def test_samples_must_fit() -> None:
    with pytest.raises(DataError):
        bounded(network(), np.full((1, 40), 100))
