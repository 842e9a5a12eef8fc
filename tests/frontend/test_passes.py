"""Every pass keeps what the graph computes, and what each surviving node computes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lutwright.frontend.ir import Array, Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import ArgMax, Dense, Reshape, Table, Threshold, Transpose
from lutwright.frontend.passes import (
    PASSES,
    absorb_transposes,
    drop_dead,
    fuse_thresholds,
    join_moves,
    merge_identical,
    run_passes,
    simplify_thresholds,
)

SAMPLES = 20


def random_node(rng: np.random.Generator, name: str, source: Node) -> Node:
    """Some node on the source; what has constants has them alike on all channels in half of the cases."""
    x = source.type
    rows = 1 if rng.random() < 0.5 else x.channels
    kinds = ["dense", "threshold", "reshape", "transpose", "argmax"] + (["table"] if x.hi - x.lo < 200 else [])
    match rng.choice(kinds) if x.shape else "reshape":
        case "dense":
            return Dense.of(name, source, rng.integers(-2, 3, (int(rng.integers(1, 4)), x.channels)))
        case "threshold":
            levels = np.sort(rng.integers(x.lo - 2, x.hi + 3, (rows, int(rng.integers(0, 5)))), axis=1)
            return Threshold.of(name, source, levels, rng.integers(-2, 3, rows), rng.choice([-1, 1], rows))
        case "table":
            return Table.of(name, source, rng.integers(-4, 5, (rows, x.hi - x.lo + 1)))
        case "reshape":
            sizes = [size for size in itertools.product(range(1, 9), repeat=2) if size[0] * size[1] == x.size]
            return Reshape.of(
                name, source, (x.size,) if not sizes or rng.random() < 0.4 else sizes[rng.integers(len(sizes))]
            )
        case "transpose":
            return Transpose.of(name, source, tuple(int(axis) for axis in rng.permutation(len(x.shape))))
        case _:
            return ArgMax.of(name, source)


def random_graph(seed: int) -> tuple[Graph, Array]:
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 4, int(rng.integers(1, 4))))
    lo = int(rng.integers(-4, 1))
    nodes: list[Node] = [Input("x", (), Type(shape, lo, lo + int(rng.integers(0, 6))))]
    for index in range(int(rng.integers(1, 9))):
        source = nodes[-1] if rng.random() < 0.8 else nodes[int(rng.integers(len(nodes)))]
        nodes.append(random_node(rng, f"n{index}", source))
        if rng.random() < 0.2:
            again = nodes[-1]
            fields = {key: value for key, value in vars(again).items() if key != "name"}
            nodes.append(type(again)(name=f"again{index}", **fields))
    type_ = nodes[0].type
    return verify(Graph(tuple(nodes), nodes[-1].name)), rng.integers(type_.lo, type_.hi + 1, (SAMPLES, *shape))


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
        (lambda graph: drop_dead(fuse_thresholds(graph)), {"first"}),
        (lambda graph: drop_dead(absorb_transposes(graph)), set()),
        (run_passes, {"turn", "first", "flat"}),
    ],
    ids=["drop_dead", "merge_identical", "fuse_thresholds", "absorb needs sink", "all"],
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
    assert drop_dead(join_moves(graph)).output == "same"
