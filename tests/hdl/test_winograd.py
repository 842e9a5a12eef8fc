"""Minimal filters, Strassen's products and the method made of both equal the plain convolution, stage by stage."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.winograd.cook_toom import minimal_filter
from lutwright.hdl.winograd.method import Method, u_type, v_type, wrapped
from lutwright.hdl.winograd.strassen import Problem, schedule

FILTERS = [(2, 3), (4, 3), (6, 3), (3, 2), (2, 5), (4, 5), (2, 7), (3, 4), (1, 3), (3, 1), (1, 1)]
KINDS = {  # weights and elements
    "int8": ((-128, 127), (-128, 127)),
    "uint8": ((-128, 127), (0, 255)),
    "w4a4": ((-8, 7), (0, 15)),
    "w2a2": ((-2, 1), (0, 3)),
}
SHAPES = [  # x, N, kernel, pads
    ((6, 8, 4), 4, (3, 3), ((1, 1), (1, 1))),
    ((7, 5, 3), 5, (3, 3), ((1, 1), (1, 1))),
    ((5, 9, 1), 2, (3, 3), ((0, 0), (2, 0))),
    ((3, 3, 6), 1, (3, 3), ((0, 0), (0, 0))),
]
OTHERS = [
    ((6, 7, 2), 3, (5, 5), ((2, 2), (2, 2))),
    ((8, 8, 2), 2, (7, 7), ((3, 3), (3, 3))),
    ((19, 5), 3, (3,), ((1, 1),)),
    ((4, 6, 3), 2, (1, 5), ((0, 0), (2, 2))),
    ((9, 3, 2), 2, (3, 2), ((1, 1), (0, 1))),
]


def conv(case: tuple, weights: tuple[int, int], x: tuple[int, int], seed: int = 0, fill: int = 0) -> tuple[Conv, Type]:
    shape, rows, kernel, pads = case
    rng, kind = np.random.default_rng(seed), Type(shape, *x)
    weight = rng.integers(weights[0], weights[1] + 1, (rows, *kernel, shape[-1]))
    bias = rng.integers(-99, 100, rows)
    return Conv.of("y", Input("x", (), kind), weight, bias, Window.of(kernel, pads=pads), pad_value=fill), kind


def extreme(node: Conv, value: int) -> Conv:
    source = Input("x", (), Type((*node.type.shape[:-1], node.weight.shape[-1]), value, value))
    return Conv.of("y", source, np.full_like(node.weight, value), node.bias, node.window)


@pytest.mark.parametrize(("m", "r"), FILTERS)
def test_filter_is_the_correlation(m: int, r: int) -> None:
    """As bilinear forms: for all w and x."""
    one, products = minimal_filter(m, r), np.zeros((m, m + r - 1, r), np.int64)
    for p in range(m):
        products[p, p + np.arange(r), np.arange(r)] = 1
    found = np.einsum("pt,tx,tk->pxk", one.a, one.b, one.g)
    np.testing.assert_array_equal(found, one.scale * products)


def test_the_known_filters() -> None:
    small, large = minimal_filter(2, 3), minimal_filter(4, 3)
    assert (small.scale, small.shift, small.odd) == (2, 1, 1)
    assert (large.scale, large.shift, large.odd) == (24, 3, 3)
    np.testing.assert_array_equal(abs(small.g), [[1, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(abs(large.g), [[3, 0, 0], [1, 1, 1], [1, 1, 1], [1, 2, 4], [1, 2, 4], [0, 0, 3]])
    assert all((abs(one.a) & (abs(one.a) - 1) == 0).all() for one in (small, large))


@pytest.mark.parametrize(
    ("m", "weights", "x", "levels", "bits"),
    [
        (2, (-128, 127), (0, 255), 0, (12, 11)),
        (2, (-127, 127), (-128, 127), 0, (12, 10)),
        (2, (-7, 7), (0, 15), 0, (7, 7)),
        (2, (-128, 127), (0, 255), 3, (15, 14)),
        (4, (-128, 127), (-128, 127), 0, (14, 15)),
        (4, (-128, 127), (0, 255), 1, (15, 17)),
    ],
)
def test_widths_of_operands(m: int, weights: tuple, x: tuple, levels: int, bits: tuple) -> None:
    filters = (minimal_filter(m, 3),) * 2
    u, v = u_type(filters, Type((), *weights), levels), v_type(filters, Type((), *x), levels)
    assert (u.width, v.width) == bits


@pytest.mark.parametrize("levels", range(4))
def test_block_products_are_the_matrix_product(levels: int) -> None:
    """As bilinear forms: for all matrices."""
    plan = schedule(levels)
    assert (plan.products, plan.blocks) == (7**levels, 2**levels)
    found = np.einsum("abk,kcd,kef->abcdef", plan.result, plan.left, plan.right, optimize=True)
    one = np.eye(plan.blocks, dtype=np.int64)
    np.testing.assert_array_equal(found, np.einsum("ac,de,bf->abcdef", one, one, one))


@pytest.mark.parametrize(
    ("sizes", "levels", "multiplications", "best"),
    [
        ((8, 8, 8), 3, 343, 3),
        ((3, 8, 8), 1, 7 * 2 * 4 * 4, 0),
        ((7, 7, 7), 1, 7 * 64, 0),
        ((63, 64, 64), 2, 49 << 12, 5),
    ],
)
def test_padding_wastes_the_least(sizes: tuple, levels: int, multiplications: int, best: int) -> None:
    problem = Problem(*sizes)
    assert problem.multiplications(levels) == multiplications
    assert problem.best(5) == best


def check_stages(method: Method, x: Array) -> None:
    """All stages but Y against the method without any products saved, Y against the convolution."""
    v = method.v(x)
    assert v.min() >= method.v_type.lo and v.max() <= method.v_type.hi
    m = method.products(v)
    exact = np.einsum("psnc,bpsct->bpsnt", method.u, v)
    np.testing.assert_array_equal(m, wrapped(exact, method.width))
    np.testing.assert_array_equal(method.result(m), method.node.evaluate(x))
    used = np.count_nonzero(np.ones_like(exact)) // len(x) * method.u.shape[-1]
    assert used == method.multiplications


@pytest.mark.parametrize("levels", range(4))
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_method(kind: str, shape: tuple, m: int, levels: int) -> None:
    weights, x = KINDS[kind]
    node, of_x = conv(shape, weights, x, seed=levels, fill=x[0] + 1)
    method = Method(node, of_x, m, levels)
    rng = np.random.default_rng(m)
    check_stages(method, rng.integers(x[0], x[1] + 1, (2, *of_x.shape)))
    check_stages(method, rng.choice(x, (2, *of_x.shape)))


@pytest.mark.parametrize("levels", range(4))
@pytest.mark.parametrize("m", [2, 4])
def test_worst_case(m: int, levels: int) -> None:
    node, x = conv(SHAPES[1], (-128, 127), (-128, 127))
    worst = extreme(node, -128)
    check_stages(Method(worst, x, m, levels), np.full((1, *x.shape), -128))


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("shape", OTHERS, ids=str)
def test_other_kernels(shape: tuple, m: int) -> None:
    node, x = conv(shape, (-128, 127), (-128, 127))
    check_stages(Method(node, x, m), np.random.default_rng(0).integers(-128, 128, (2, *x.shape)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"strides": (2, 2)}, "strides of 1"),
        ({"dilations": (1, 2)}, "not be dilated"),
        ({"kernel": (1, 1)}, "more than one tap"),
        ({"groups": 2}, "2 groups"),
    ],
    ids=str,
)
def test_refusals(change: dict, text: str) -> None:
    groups = change.pop("groups", 1)
    window = Window.of(**({"kernel": (3, 3)} | change))
    x = Type((6, 6, 4), -8, 7)
    weight = np.ones((4, *window.kernel, 4 // groups), np.int64)
    node = Conv.of("conv3", Input("x", (), x), weight, np.zeros(4, np.int64), window, groups)
    with pytest.raises(PlanError, match=f"'conv3' .*{text}"):
        Method(node, x, 2)
