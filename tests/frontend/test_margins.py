"""Thresholds that join the biases: the same function, and nothing to compare."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Graph, Input, Type, verify
from lutwright.frontend.lowering import margins
from lutwright.frontend.nodes import Dense, Reshape, Threshold

STEPS = {"rising": [1, 1, 1, 1], "falling": [-1, -1, -1, -1], "both": [1, -1, 1, -1]}


def network(step: list[int], base: list[int], levels: list[int], weights: tuple[int, ...], seed: int) -> Graph:
    rng, source = np.random.default_rng(seed), Input("x", (), Type((2, 6), -2, 3))
    dense = Dense.of("dense", source, rng.choice(weights, (4, 6)), rng.integers(-5, 6, 4))
    thresholds = np.array(levels)[:, np.newaxis]
    last = Threshold.of("threshold", dense, thresholds, np.array(base), np.array(step))
    return verify(Graph((source, dense, last), "threshold"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("levels", [[0, 3, -4, 1], [-999, 2, 999, 0]])
def test_the_same_function(steps: str, levels: list[int], seed: int) -> None:
    step = STEPS[steps]
    graph = network(step, [int(one < 0) for one in step], levels, (-1, 1), seed)
    made = margins(graph)
    threshold = made["threshold"]
    assert isinstance(threshold, Threshold)
    assert threshold.thresholds.tolist() == [[0]] and threshold.step.tolist() == [1]
    samples = np.random.default_rng(seed).integers(-2, 4, (50, 2, 6))
    np.testing.assert_array_equal(made.evaluate(samples), graph.evaluate(samples))


def test_what_stays_as_it_is() -> None:
    """Bases that differ, weights whose negatives need more bits, several thresholds or readers, sums that wrap, answers
    that are the same for all inputs, though the sums of different channels lie on both sides of their thresholds."""
    differing = network([1] * 4, [0, 1, 0, 0], [0] * 4, (-1, 1), 0)
    wider = network([-1] * 4, [1] * 4, [0] * 4, (-2, 1), 0)
    plain = network([1] * 4, [0] * 4, [0] * 4, (-1, 1), 0)
    x, dense, threshold = plain.nodes
    apart = Dense.of("dense", x, np.ones((4, 6), np.int64), np.array([0, 0, 0, 50]))
    below = Threshold.of(
        "threshold", apart, np.array([[19], [19], [19], [99]]), np.zeros(4, np.int64), np.ones(4, np.int64)
    )
    assert isinstance(dense, Dense)
    two = Threshold.of("threshold", dense, np.array([[0, 1]]), np.zeros(1, np.int64), np.ones(1, np.int64))
    wrapping = Dense("dense", dense.inputs, dense.type, dense.weight, dense.bias, wraps=True)
    aside = Reshape.of("aside", dense, (8,))
    for graph in (
        differing,
        wider,
        Graph((x, apart, below), "threshold"),
        Graph((x, dense, two), "threshold"),
        Graph((x, wrapping, threshold), "threshold"),
        Graph((x, dense, threshold, aside), "threshold"),
    ):
        before, after = graph["dense"], margins(graph)["dense"]
        assert isinstance(before, Dense) and isinstance(after, Dense)
        assert np.array_equal(before.bias, after.bias) and np.array_equal(before.weight, after.weight)
