"""What passes do to channels, constants, sums and picks, one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Add, Concat, Conv, Dense, Embedding, Multiply, Table, Take, Threshold
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.passes import run_passes
from lutwright.frontend.passes.intervals import channel_intervals

from .integer_graphs import random_graph

ONE = np.ones(1, np.int64)
X = Input("x", (), Type((4, 4, 2), -3, 3))
AROUND = Window.of((3, 3), None, None, ((1, 1), (1, 1)))


def graph(*nodes: Node) -> Graph:
    return verify(Graph((X, *nodes), nodes[-1].name))


def conv(name: str, source: Node, rows: int, window: Window = AROUND, groups: int = 1, pad: int = 0) -> Conv:
    rng = np.random.default_rng(rows)
    weight = rng.choice([-2, -1, 1, 2], (rows, *window.kernel, source.type.channels // groups))
    return Conv.of(name, source, weight, np.arange(rows), window, groups, pad)


def steps(name: str, source: Node, constant: int | None = None) -> Threshold:
    """Three steps on every channel, none on the constant one."""
    levels = np.tile([-2, 1, 3], (source.type.channels, 1))
    base = np.zeros(source.type.channels, np.int64)
    if constant is not None:
        levels[constant], base[constant] = source.type.hi + 1, 2
    return Threshold.of(name, source, levels, base, np.ones_like(base))


def weights(changed: Graph) -> list[tuple[int, ...]]:
    return [node.weight.shape for node in changed if isinstance(node, (Conv, Dense))]


def constant_channel(pad: int) -> Graph:
    first = conv("first", X, 3)
    levels = steps("steps", first, constant=1)
    return graph(first, levels, conv("second", levels, 2, AROUND, 1, pad))


def depthwise() -> Graph:
    first = conv("first", X, 3)
    each = conv("each", first, 6, Window.of((2, 2)), 3)
    zeros = Dense.of("last", each, np.array([[1, 2, 0, 0, -1, 1]]))
    return graph(first, each, zeros)


def branches() -> Graph:
    """The same channel of two branches, an Embedding and a Concat beside them, is not weighed at the end."""
    a = conv("a", X, 3)
    b = Conv.of("b", X, -a.weight, a.bias, AROUND, 1, 0)
    left, right = steps("left", a), steps("right", b)
    added = Add.of("added", (left, right), np.array([[1, 2]]))
    joined = Concat.of("joined", (added, X), 2)
    return graph(a, left, b, right, added, joined, Dense.of("y", joined, np.array([[1, 0, 2, 1, 1], [3, 0, 1, 0, 2]])))


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (constant_channel(2), [(2, 3, 3, 2), (2, 3, 3, 2)]),  # padded with what the channel holds
        (constant_channel(0), [(3, 3, 3, 2), (2, 3, 3, 3)]),  # not: the channel differs at the border
        (depthwise(), [(2, 3, 3, 2), (4, 2, 2, 1), (1, 4)]),
        (branches(), [(2, 3, 3, 2), (2, 3, 3, 2), (2, 4)]),
    ],
    ids=["constant", "constant but padded", "depthwise", "branches"],
)
def test_channels_go(given: Graph, shapes: list[tuple[int, ...]]) -> None:
    changed = run_passes(given)
    assert weights(changed) == shapes
    x = np.random.default_rng(0).integers(-3, 4, (20, *X.type.shape))
    assert np.array_equal(changed.evaluate(x), given.evaluate(x))


def test_a_constant_network_stays_valid() -> None:
    dense = Dense.of("dense", X, np.zeros((3, 2), np.int64), np.arange(3))
    levels = steps("steps", dense)
    changed = run_passes(graph(dense, levels, Dense.of("y", levels, np.ones((2, 3), np.int64))))
    x = np.random.default_rng(0).integers(-3, 4, (5, *X.type.shape))
    assert changed.input is not None and weights(changed)[-1] == (2, 1)
    assert np.unique(changed.evaluate(x)).size == 1


def scale(source: Node, factors: list[int], shifts: list[int]) -> Add:
    return Add.of("scale", (source,), np.array(factors)[:, np.newaxis], np.array(shifts))


SCALES = [([1], [0]), ([2], [-1]), ([-1, 3], [2, 0]), ([0, -2], [1, 1])]


@pytest.mark.parametrize(("factors", "shifts"), SCALES)
@pytest.mark.parametrize("kind", ["threshold", "table", "dense", "conv", "add", "before", "padded"])
def test_scales_go(kind: str, factors: list[int], shifts: list[int]) -> None:
    rng = np.random.default_rng(1)
    source: Node = Dense.of("dense", X, rng.integers(-2, 3, (2, 2)), np.array([1, -1])) if kind == "before" else X
    scaled = scale(source, factors, shifts)
    last: dict[str, Node] = {
        "threshold": Threshold.of("y", scaled, np.array([[-4, -1, 0, 2]]), 3 * ONE, -ONE),
        "table": Table.of("y", scaled, rng.integers(-9, 9, (2, scaled.type.hi - scaled.type.lo + 1))),
        "dense": Dense.of("y", scaled, rng.integers(-3, 4, (3, 2))),
        "conv": conv("y", scaled, 4, Window.of((2, 2)), 2),
        "padded": conv("y", scaled, 4, AROUND, 1, -1),
        "add": Add.of("y", (scaled, X), np.array([[2, 1], [-1, 3]]), np.array([0, 5])),
    }
    nodes = [node for node in (source, scaled, last.get(kind)) if node is not None and node is not X]
    given = graph(*nodes)
    changed = run_passes(given)
    x = rng.integers(-3, 4, (40, *X.type.shape))
    assert np.array_equal(changed.evaluate(x), given.evaluate(x))
    exact = kind != "padded" or factors in ([1], [2])  # others pad with what is no value of the operand on all channels
    dead = kind == "table" and 0 in factors  # the Table would have to grow
    if exact and not dead:
        assert "scale" not in changed.by_name or changed.output == "scale"
        assert len(changed.nodes) <= 2


@pytest.mark.parametrize(
    ("nodes", "kinds"),
    [
        (lambda: [a := Take.of("a", X, 0, np.array([3, 1, 0])), Take.of("y", a, 0, np.array([2, 2, 0]))], [Take]),
        (lambda: [a := Take.of("a", X, 0, np.array([3, 1, 0, 2])), Take.of("y", a, 0, np.array([2, 1, 3, 0]))], []),
        (lambda: [a := Concat.of("a", (X, X), 1), Take.of("y", a, 1, np.array([7, 4]))], [Take]),
        (lambda: [a := Concat.of("a", (X, X), 1), Take.of("y", a, 1, np.array([4, 5, 6, 7]))], []),
        (lambda: [a := Concat.of("a", (X, X), 1), Concat.of("y", (a, X), 1)], [Concat]),
        (lambda: [Concat.of("y", (X,), 1)], []),
        (lambda: [a := Add.of("a", (X, X), np.array([[2, -1]])), Multiply.of("y", a, X)], [Multiply]),
    ],
)
def test_picks_and_sums_go(nodes: object, kinds: list[type]) -> None:
    assert callable(nodes)
    given = graph(*nodes())
    changed = run_passes(given)
    assert [type(node) for node in changed][1:] == kinds
    x = np.random.default_rng(0).integers(-3, 4, (9, *X.type.shape))
    assert np.array_equal(changed.evaluate(x), given.evaluate(x))


def test_rows_of_an_embedding_go() -> None:
    rows = Embedding.of("rows", X, np.arange(21).reshape(7, 3), -3)
    changed = run_passes(graph(rows, Dense.of("y", rows, np.array([[1, 0, 1]]))))
    (table,) = [node.table for node in changed if isinstance(node, Embedding)]
    assert table.shape == (7, 2)


@pytest.mark.parametrize("seed", range(150))
def test_channel_intervals_hold_the_results(seed: int) -> None:
    given, x = random_graph(seed, samples=100)
    intervals = channel_intervals(given)
    for name, values in given.trace(x).items():
        lo, hi = intervals[name]
        by_channel = values.reshape(-1, given[name].type.channels)
        assert (lo <= by_channel.min(axis=0)).all() and (by_channel.max(axis=0) <= hi).all(), name
