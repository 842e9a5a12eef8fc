"""Every node against a naive loop, and the intervals that `infer` gives."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.ir import Array, Input, Node, Type
from lutwright.frontend.nodes import Add, Conv, Dense, MatMul, Multiply, Pool, Stuff
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.executor import session

from .integer_graphs import random_graph

# size, channels, rows, kernel, strides, dilations, pads, groups
WINDOWS = [
    ((7,), 3, 4, (3,), (1,), (1,), ((0, 0),), 1),
    ((9,), 4, 6, (3,), (2,), (2,), ((2, 1),), 2),
    ((5, 6), 2, 3, (3, 2), (1, 2), (1, 1), ((1, 1), (0, 1)), 1),
    ((6, 5), 4, 4, (2, 3), (2, 1), (2, 2), ((1, 0), (2, 2)), 4),
    ((4, 4), 3, 9, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), 3),
    ((4, 4), 6, 4, (1, 1), (2, 2), (1, 1), ((0, 0), (0, 0)), 2),
    ((3, 4, 3), 2, 2, (2, 2, 2), (1, 2, 1), (1, 1, 2), ((0, 1), (1, 0), (1, 1)), 1),
]


def naive_windows(x: Array, window: Window) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]]:
    """Each output place with each kernel place: the input place under it, or None outside."""
    size, found = x.shape[1:-1], []
    for out in np.ndindex(*window.output(size)):
        for k in np.ndindex(*window.kernel):
            place = tuple(
                o * s + i * d - before
                for o, s, i, d, (before, _) in zip(out, window.strides, k, window.dilations, window.pads, strict=True)
            )
            inside = all(0 <= p < length for p, length in zip(place, size, strict=True))
            found.append((out, k, place if inside else None))
    return found


@pytest.mark.parametrize("case", WINDOWS)
@pytest.mark.parametrize("fill", [0, -3])
def test_conv(case: tuple, fill: int) -> None:
    size, channels, rows, kernel, strides, dilations, pads, groups = case
    rng = np.random.default_rng(0)
    window, source = Window(kernel, strides, dilations, pads), Input("x", (), Type((*size, channels), -3, 5))
    inner = channels // groups
    weight, bias = rng.integers(-4, 5, (rows, *kernel, inner)), rng.integers(-9, 10, rows)
    node = Conv.of("y", source, weight, bias, window, groups, fill)
    x = rng.integers(-3, 6, (2, *size, channels))
    wanted = np.tile(bias, (2, *window.output(size), 1))
    for (out, k, place), n, c in itertools.product(naive_windows(x, window), range(rows), range(inner)):
        group = n // (rows // groups)
        under = fill if place is None else x[(slice(None), *place, group * inner + c)]
        wanted[(slice(None), *out, n)] += weight[(n, *k, c)] * under
    assert np.array_equal(node.evaluate(x), wanted)


@pytest.mark.parametrize("case", WINDOWS)
def test_conv_is_onnxruntimes(case: tuple) -> None:
    size, channels, rows, kernel, strides, dilations, pads, groups = case
    rng = np.random.default_rng(1)
    weight, bias = rng.integers(-4, 5, (rows, *kernel, channels // groups)), rng.integers(-9, 10, rows)
    source = Input("x", (), Type((*size, channels), -8, 7))
    node = Conv.of("y", source, weight, bias, Window(kernel, strides, dilations, pads), groups)
    x = rng.integers(-8, 8, (3, *size, channels))
    constants = [np.moveaxis(weight, -1, 1).astype(np.float32), bias.astype(np.float32)]
    operator = helper.make_node(
        "Conv",
        ["x", "w", "b"],
        ["y"],
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=[before for before, _ in pads] + [after for _, after in pads],
        group=groups,
    )
    graph = helper.make_graph(
        [operator],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, channels, *size])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for array, name in zip(constants, "wb", strict=True)],
    )
    run = session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    (wanted,) = run.run(None, {"x": np.moveaxis(x, -1, 1).astype(np.float32)})
    assert np.array_equal(node.evaluate(x), np.moveaxis(wanted, 1, -1))


@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((6,), Window.of((3,), (2,))),
        ((5,), Window.of((3,), (1,), (1,), ((2, 1),))),
        ((4, 5), Window.of((2, 3), (2, 1), (1, 2), ((1, 0), (1, 1)))),
        ((4, 4), Window.of((4, 4))),
    ],
)
def test_pool(kind: str, size: tuple[int, ...], window: Window) -> None:
    x = np.random.default_rng(2).integers(-9, -3, (2, *size, 3))  # the padding must not count as 0
    node = Pool.of("y", Input("x", (), Type((*size, 3), -9, -3)), kind, window)
    under: dict[tuple[int, ...], list[Array]] = {}
    for out, _, place in naive_windows(x, window):
        under.setdefault(out, []).extend([] if place is None else [x[(slice(None), *place)]])
    found, counts = node.evaluate(x), node.counts(size)
    for out, values in under.items():
        assert counts[out] == len(values)
        assert np.array_equal(found[(slice(None), *out)], getattr(np, kind)(values, axis=0))


def test_stuff() -> None:
    x = np.random.default_rng(3).integers(-4, 5, (2, 3, 2, 2))
    y = Stuff.of("y", Input("x", (), Type((3, 2, 2), -4, 4)), (2, 3, 1), 7).evaluate(x)
    assert y.shape == (2, 5, 4, 2)
    for b, i, j, c in np.ndindex(*y.shape):
        assert y[b, i, j, c] == (x[b, i // 2, j // 3, c] if i % 2 == 0 and j % 3 == 0 else 7)


@pytest.mark.parametrize("largest", [7, 2**14, 2**29])  # float32, float64 and int64 products
def test_matmul(largest: int) -> None:
    rng = np.random.default_rng(4)
    left, right = (rng.integers(-largest, largest + 1, (2, 3, *shape)) for shape in ((4, 5), (5, 2)))
    sources = [Input(n, (), Type(a.shape[1:], -largest, largest)) for n, a in (("a", left), ("b", right))]
    found = MatMul.of("y", *sources).evaluate(left, right)
    for b, h, m, n in np.ndindex(*found.shape):
        assert found[b, h, m, n] == sum(int(left[b, h, m, k]) * int(right[b, h, k, n]) for k in range(5))


def extremes(node: Node, source: Type) -> tuple[int, int]:
    """The least and greatest of the node's results on every corner of its input's interval."""
    corners = np.array(list(itertools.product((source.lo, source.hi), repeat=source.size)), np.int64)
    y = node.evaluate(corners.reshape(-1, *source.shape))
    return int(y.min()), int(y.max())


@pytest.mark.parametrize("seed", range(20))
def test_intervals_of_linear_nodes_are_tight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lo, hi = sorted(int(end) for end in rng.integers(-5, 6, 2))
    x = Input("x", (), Type((2, 2, 3), lo, hi))
    flat = Input("x", (), Type((6,), lo, hi))
    conv = Conv.of("y", x, rng.integers(-4, 5, (3, 2, 2, 3)), rng.integers(-9, 10, 3), Window.of((2, 2)))
    dense = Dense.of("y", flat, rng.integers(-4, 5, (3, 6)), rng.integers(-9, 10, 3))
    add = Add.of("y", (flat,), rng.integers(-4, 5, (6, 1)), rng.integers(-9, 10, 6))
    for node, source in ((conv, x), (dense, flat), (add, flat)):
        assert extremes(node, source.type) == (node.type.lo, node.type.hi)


@pytest.mark.parametrize("left", [(-3, 2), (1, 4), (-4, -1), (0, 0)])
@pytest.mark.parametrize("right", [(-2, 5), (2, 3), (-6, -2)])
def test_intervals_of_products_are_tight(left: tuple[int, int], right: tuple[int, int]) -> None:
    a, b = Input("a", (), Type((1,), *left)), Input("b", (), Type((1,), *right))
    products = [x * y for x in range(left[0], left[1] + 1) for y in range(right[0], right[1] + 1)]
    node = Multiply.of("y", a, b)
    assert (node.type.lo, node.type.hi) == (min(products), max(products))
    squares = [x * x for x in range(left[0], left[1] + 1)]
    node = Multiply.of("y", a, a)
    assert (node.type.lo, node.type.hi) == (min(squares), max(squares))


@pytest.mark.parametrize("seed", range(100))
def test_intervals_hold_the_results(seed: int) -> None:
    graph, x = random_graph(seed, samples=200)
    for name, values in graph.trace(x).items():
        assert graph[name].type.lo <= values.min() and values.max() <= graph[name].type.hi, name
