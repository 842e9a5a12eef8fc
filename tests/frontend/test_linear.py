"""MatMul and Gemm with constants on either side, and of two activations: golden == qonnx, one node each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load

from .builder import Net, kinds, same, samples

Grid = tuple[float, float]  # scale and zero point


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-3, 4, shape).astype(np.float32)


def two(net: Net, first: Grid, second: Grid, bits: int = 4) -> tuple[str, str]:
    """Two activations on grids of their own, from one tensor that is finer than both; the second is turned round."""
    x = net.quant("input", 0.125, 8)
    turned = net.op("Mul", x, np.float32(-0.5))
    return net.quant(x, first[0], bits, zero=first[1]), net.quant(turned, second[0], bits, zero=second[1])


# Shapes of two activations cut out of one tensor, before the batch axis is counted, and how the second is turned.
PRODUCTS: dict[str, tuple[tuple[int, ...], list[int], list[int]]] = {
    "a matrix with its transpose": ((4, 3), [0, 1, 2], [0, 2, 1]),
    "the transpose first": ((4, 3), [0, 2, 1], [0, 1, 2]),
    "heads": ((2, 4, 3), [0, 1, 2, 3], [0, 1, 3, 2]),
    "heads in the middle": ((4, 2, 3), [0, 2, 1, 3], [0, 2, 3, 1]),
}


@pytest.mark.parametrize("zeros", [(0, 0), (3, -2)], ids=str)
@pytest.mark.parametrize(("shape", "left", "right"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_of_two_activations(
    shape: tuple[int, ...], left: list[int], right: list[int], zeros: tuple[int, int], tmp_path: Path
) -> None:
    net = Net(*shape)
    a, b = two(net, (0.5, zeros[0]), (0.25, zeros[1]))
    y = net.op("MatMul", net.op("Transpose", a, perm=left), net.op("Transpose", b, perm=right))
    model = same(net, net.quant(net.op("Mul", y, np.float32(0.577)), 0.41, 6), samples(net, -4, 4, 0.125), tmp_path)
    assert [kind for kind in kinds(model) if kind != "Add"] == ["Threshold", "Threshold", "MatMul", "Threshold"]


def test_attention_without_its_softmax(tmp_path: Path) -> None:
    """Queries, keys and values from three layers, heads split off, scores by a staircase instead of a Softmax."""
    net = Net(4, 6)
    x = net.quant("input", 0.5)
    heads = []
    for index, order in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])):
        made = net.quant(net.op("MatMul", x, np.roll(weights(6, 6), index)), 2.0)
        heads.append(net.op("Transpose", net.op("Reshape", made, np.array([0, 4, 2, 3])), perm=order))
    scores = net.quant(net.op("Sigmoid", net.op("MatMul", heads[0], heads[1])), 0.125, 3, signed=0)
    mixed = net.op("Transpose", net.op("MatMul", scores, heads[2]), perm=[0, 2, 1, 3])
    y = net.quant(net.op("Reshape", mixed, np.array([0, 4, 6])), 0.5, 6)
    assert kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path)).count("MatMul") == 2


# Attributes of Gemm, whether the activations are its second operand.
GEMMS: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, False),
    "transB": ({"transB": 1}, False),
    "alpha": ({"alpha": 0.5}, False),
    "beta": ({"beta": 2.0}, False),
    "alpha and beta": ({"alpha": 0.25, "beta": 0.5, "transB": 1}, False),
    "beta 0": ({"beta": 0.0}, False),
}


@pytest.mark.parametrize("bias", [None, 1, 4, (1, 4)], ids=str)
@pytest.mark.parametrize(("attributes", "second"), GEMMS.values(), ids=GEMMS)
def test_gemm(attributes: dict[str, Any], second: bool, bias: Any, tmp_path: Path) -> None:
    net = Net(3)
    w = weights(4, 3) if attributes.get("transB") else weights(3, 4)
    added = [] if bias is None else [np.float32(0.25) * weights(*np.atleast_1d(bias))]
    y = net.op("Gemm", net.quant("input", 0.5), w, *added, **attributes)
    model = same(net, net.quant(y, 0.75, 5), samples(net, -4, 4, 0.5), tmp_path)
    assert kinds(model) == ["Dense", "Threshold"]


@pytest.mark.parametrize("transposed", [(0, 1), (1, 1), (1, 0), (0, 0)], ids=str)
def test_gemm_with_constants_on_the_left(transposed: tuple[int, int], tmp_path: Path) -> None:
    """One sample is the whole matrix of activations [3, 2], or of [2, 3] that are transposed."""
    a, b = transposed
    net = Net(*((2, 3) if b else (3, 2)), batch=1)
    x = net.op("Squeeze", net.quant("input", 0.5), np.array([0]))
    y = net.op("Gemm", weights(3, 4) if a else weights(4, 3), x, weights(2), transA=a, transB=b, alpha=0.5)
    y = net.op("Unsqueeze", y, np.array([0]))
    assert kinds(same(net, net.quant(y, 0.75, 5), samples(net, -4, 4, 0.5), tmp_path)) == ["Dense", "Threshold"]


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3)], ids=str)
@pytest.mark.parametrize("matrix", [(3, 4), (3,), (1, 3, 4), (1, 1, 3, 4)], ids=str)
def test_matmul_by_constants_on_the_right(shape: tuple[int, ...], matrix: tuple[int, ...], tmp_path: Path) -> None:
    net = Net(*shape, batch=1)
    y = net.op("MatMul", net.quant("input", 0.5), weights(*matrix))
    assert kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path)) == ["Dense"]


@pytest.mark.parametrize("matrix", [(4, 3), (3,), (1, 4, 3), (1, 1, 4, 3)], ids=str)
@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 5)], ids=str)
def test_matmul_by_constants_on_the_left(shape: tuple[int, ...], matrix: tuple[int, ...], tmp_path: Path) -> None:
    net = Net(*shape, batch=1)
    y = net.op("MatMul", weights(*matrix), net.quant("input", 0.5))
    assert kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path)) == ["Dense"]


def test_leading_axes_of_weights_are_axes_of_the_result(tmp_path: Path) -> None:
    net = Net(3, batch=1)
    x = net.op("MatMul", net.quant("input", 0.5), weights(1, 1, 3, 4))
    y = net.op("Transpose", x, perm=[0, 3, 2, 1])
    assert kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path)) == ["Dense"]


def test_a_product_over_the_batch_is_refused(tmp_path: Path) -> None:
    net = Net(3, batch="n")
    a, b = two(net, (0.5, 0), (0.25, 0))
    path = tmp_path / "model.onnx"
    y = net.quant(net.op("MatMul", a, net.op("Transpose", b, perm=[1, 0])))
    path.write_bytes(net.model(y).SerializeToString())
    with pytest.raises(ImportRefused, match="over the batch axis"):
        load(path)
