"""Every pass keeps what the graph computes, and what each surviving node computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lutwright.frontend import nodes as kinds
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.lowering import PLANE, is_depthwise, lower
from lutwright.frontend.nodes import Dense, Reshape, Threshold, Transpose
from lutwright.frontend.passes import PASSES, run_passes
from lutwright.frontend.passes.dead import drop_dead, merge_identical
from lutwright.frontend.passes.moves import absorb_moves, sink_moves
from lutwright.frontend.passes.rewrite import same
from lutwright.frontend.passes.staircases import fuse_thresholds, simplify_thresholds

from .integer_graphs import random_graph


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_passes_keep_what_the_graph_computes(seed: int) -> None:
    graph, x = random_graph(seed)
    wanted = graph.trace(x)
    for apply in (*PASSES, run_passes):
        changed = verify(apply(graph))
        values = changed.trace(x)
        assert np.array_equal(values[changed.output], wanted[graph.output]), f"{apply.__name__}, seed {seed}"
        for name in values.keys() & wanted.keys():
            assert np.array_equal(values[name], wanted[name]), f"{apply.__name__} changed '{name}', seed {seed}"
    assert same(run_passes(changed), changed), f"seed {seed}"


def test_random_graphs_hold_every_kind() -> None:
    found = {type(node).__name__ for seed in range(60) for node in random_graph(seed)[0]}
    assert found == {*kinds.__all__, "Input"} - {"Unfold"}  # which only the lowering makes


@pytest.mark.parametrize("seed", range(60))
def test_lowering_keeps_what_every_name_means(seed: int) -> None:
    graph, x = random_graph(seed)
    lowered = lower(graph)
    values, after = graph.trace(x), lowered.trace(x)
    for name, value in values.items():
        np.testing.assert_array_equal(after[name], value, err_msg=f"seed {seed}, {name}")
    left = [node for node in lowered if isinstance(node, kinds.Conv) and len(node.window.kernel) <= PLANE]
    assert all(is_depthwise(node) for node in left)


def example() -> Graph:
    """x [2, 3] -> Transpose -> Threshold -> Threshold -> Reshape -> Dense, each twice, the second time unused."""
    nodes: list[Node] = [Input("x", (), Type((2, 3), 0, 7))]
    for suffix in ("", "_dead"):
        turned = Transpose.of(f"turn{suffix}", nodes[0], (1, 0))
        first = Threshold.of(f"first{suffix}", turned, np.array([[1, 3, 6, 9]]), np.array([0]), np.array([1]))
        second = Threshold.of(f"second{suffix}", first, np.array([[2, 2]]), np.array([1]), np.array([-1]))
        flat = Reshape.of(f"flat{suffix}", second, (6,))
        nodes += [turned, first, second, flat, Dense.of(f"dense{suffix}", flat, np.arange(6)[np.newaxis])]
    return verify(Graph(tuple(nodes), "dense"))


@pytest.mark.parametrize(
    ("apply", "gone"),
    [
        (drop_dead, {"turn_dead", "first_dead", "second_dead", "flat_dead", "dense_dead"}),
        (merge_identical, {"turn_dead", "first_dead", "second_dead", "flat_dead", "dense_dead"}),
        (lambda graph: drop_dead(fuse_thresholds(drop_dead(graph))), {"first"}),
        (lambda graph: drop_dead(absorb_moves(sink_moves(graph))), {"turn"}),
        (run_passes, {"turn", "first", "flat"}),
    ],
    ids=["drop_dead", "merge_identical", "fuse_thresholds", "absorb_moves", "all"],
)
def test_what_goes(apply: object, gone: set[str]) -> None:
    assert callable(apply)
    graph = example()
    left = {node.name for node in apply(graph)}
    assert not gone & left
    assert {"x", "dense"} <= left


def test_thresholds_lose_what_is_not_reached() -> None:
    x = Input("x", (), Type((2,), 0, 3))
    stairs = Threshold.of("y", x, np.array([[-1, 2, 9], [0, 2, 4]]), np.array([0, 0]), np.array([1, 1]))
    (_, simple) = simplify_thresholds(Graph((x, stairs), "y")).nodes
    assert isinstance(simple, Threshold)
    assert simple.thresholds.tolist() == [[2]] and simple.base.tolist() == [1]


def test_identities_go() -> None:
    x = Input("x", (), Type((2, 1), 0, 3))
    same = Threshold.of("same", x, np.array([[1, 2, 3]]), np.array([0]), np.array([1]))
    turned = Transpose.of("turned", same, (1, 0))
    back = Transpose.of("back", turned, (1, 0))
    graph = Graph((x, same, turned, back), "back")
    assert run_passes(graph).output == "x"
    assert drop_dead(sink_moves(graph)).output == "same"
