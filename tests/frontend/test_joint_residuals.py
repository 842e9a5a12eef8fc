"""Residual sums, gates and wide sums: golden == qonnx on every kind of grids, and the nodes that they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


GRIDS: dict[str, tuple[Grid, Grid]] = {
    "equal scales": ((0.5, 0), (0.5, 0)),
    "powers of two": ((0.5, 0), (0.125, 0)),
    "multiples": ((0.75, 0), (0.25, 0)),
    "without a common step": ((0.3, 0), (0.7, 0)),
    "zero points": ((0.5, 3), (0.5, -2)),
    "zero points, without a common step": ((0.3, 3), (0.11, -5)),
}


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Max", "Min"])
@pytest.mark.parametrize(("first", "second"), GRIDS.values(), ids=GRIDS)
def test_residuals(operator: str, first: Grid, second: Grid, tmp_path: Path) -> None:
    """The quantizer after them is one staircase of a sum or product, or a table, never more."""
    net = Net(2, 3)
    y = net.quant(net.op(operator, *two(net, first, second)), 0.41, 5)
    found = kinds(same(net, y, samples(net, -16, 16, 0.125), tmp_path))
    shifts = ["Add"] * sum(zero != 0 for _, zero in (first, second)) if operator == "Mul" else []
    wanted = {"Mul": [*shifts, "Multiply", "Threshold"], "Max": ["Add", "Table"], "Min": ["Add", "Table"]}
    assert found[2:] == wanted.get(operator, ["Add", "Threshold"])


@pytest.mark.parametrize("divisor", [1.0, 3.5])
def test_division(divisor: float, tmp_path: Path) -> None:
    net = Net(2, 3)
    left, right = two(net, (0.5, 0), (0.25, 0))
    y = net.quant(net.op("Div", left, net.op("Add", net.op("Abs", right), np.float32(divisor))), 0.11, 5)
    assert kinds(same(net, y, samples(net, -16, 16, 0.125), tmp_path))[2:] == ["Add", "Table"]


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("grids", ["equal scales", "powers of two", "multiples", "zero points"])
def test_without_a_quantizer_the_integers_are_combined(operator: str, grids: str, tmp_path: Path) -> None:
    net = Net(2, 3)
    y = net.op("MatMul", net.op(operator, *two(net, *GRIDS[grids])), weights(3, 2))
    assert kinds(same(net, y, samples(net, -16, 16, 0.125), tmp_path))[-1] == "Dense"


FUNCTIONS: dict[str, Callable[[Net, str, str], str]] = {
    "relu of a sum": lambda net, a, b: net.op("Relu", net.op("Add", a, b)),
    "a sum, scaled per channel": lambda net, a, b: net.op(
        "Mul", net.op("Add", a, b), np.float32([0.3, -1.7]).reshape(2, 1)
    ),
    "operands scaled per channel": lambda net, a, b: net.op(
        "Add", net.op("Mul", a, np.float32([0.5, 2]).reshape(2, 1)), b
    ),
    "a sum of functions": lambda net, a, b: net.op("Add", net.op("Relu", a), net.op("Sigmoid", b)),
    "a sum of three": lambda net, a, b: net.op("Add", net.op("Add", a, b), net.op("Mul", a, np.float32(0.5))),
    "a sum with a constant": lambda net, a, b: net.op("Sub", net.op("Add", a, np.float32(0.7)), b),
    "a gate": lambda net, a, b: net.op("Mul", a, net.op("Sigmoid", b)),
    "a hard gate": lambda net, a, b: net.op("Mul", a, net.op("HardSigmoid", b)),
    "a square": lambda net, a, b: net.op("Add", net.op("Mul", a, a), b),
    "a weighted mean": lambda net, a, b: net.op("Div", net.op("Add", a, b), np.float32(2)),
    "the variadic sum": lambda net, a, b: net.op("Sum", a, b, a),
    "the variadic mean": lambda net, a, b: net.op("Mean", a, b),
    "the variadic maximum": lambda net, a, b: net.op("Max", a, b, np.float32(0.25)),
    "selected by a comparison": lambda net, a, b: net.op("Where", net.op("Greater", a, b), a, np.float32(0)),
}


@pytest.mark.parametrize("build", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions(build: Callable[[Net, str, str], str], tmp_path: Path) -> None:
    net = Net(2, 3)
    y = net.quant(build(net, *two(net, (0.5, 0), (0.25, 0))), 0.41, 5)
    found = kinds(same(net, y, samples(net, -16, 16, 0.125), tmp_path))
    assert found[-1] in ("Threshold", "Table") and "Dense" not in found and len(found) <= 5


SELF: dict[str, Callable[[Net, str], str]] = {
    "x * sigmoid(x)": lambda net, x: net.op("Mul", x, net.op("Sigmoid", x)),
    "x * hard sigmoid(x)": lambda net, x: net.op("Mul", x, net.op("HardSigmoid", x, alpha=1 / 6)),
    "x * tanh(softplus(x))": lambda net, x: net.op("Mul", x, net.op("Tanh", net.op("Softplus", x))),
    "x * x": lambda net, x: net.op("Mul", x, x),
    "x + relu(x)": lambda net, x: net.op("Add", x, net.op("Relu", x)),
    "x - x": lambda net, x: net.op("Sub", x, x),
    "gelu": lambda net, x: net.op(
        "Mul", x, net.op("Add", net.op("Erf", net.op("Div", x, np.float32(1.41421356))), np.float32(1))
    ),
}


@pytest.mark.parametrize("build", SELF.values(), ids=SELF)
@pytest.mark.parametrize("wide", [False, True], ids=["of a quantized tensor", "of sums of weights"])
def test_functions_of_one_activation_with_itself(build: Callable[[Net, str], str], wide: bool, tmp_path: Path) -> None:
    """One source, so one staircase or table."""
    net = Net(3)
    x = net.quant("input", 0.25)
    x = net.op("MatMul", x, weights(3, 2)) if wide else x
    found = kinds(same(net, net.quant(build(net, x), 0.41, 5), samples(net, -2, 2, 0.25), tmp_path))
    assert found[wide:] in (["Threshold"], ["Table"])


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("places", [(3, 1, 1), (3, 1, 4), (1, 4, 4), (3, 4, 1)], ids=str)
def test_gates_are_broadcast(places: tuple[int, int, int], signed: int, tmp_path: Path) -> None:
    """Squeeze and excitation: a gate [N, C, 1, 1] on an image; other axes of size 1 likewise."""
    net = Net(3, 4, 4)
    x = net.quant("input", 0.5)
    axes = [axis + 1 for axis, size in enumerate(places) if size == 1]
    pooled = net.op("ReduceMax", x, axes=axes, keepdims=1)
    gate = net.quant(net.op("Sigmoid", pooled), 0.125, 3, signed=signed)
    y = net.quant(net.op("Mul", x, gate), 0.37, 5)
    assert "Multiply" in kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path))


def test_squeeze_and_excitation_with_its_layers(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.quant("input", 0.5)
    pooled = net.quant(net.op("GlobalAveragePool", x), 0.25, 5)
    hidden = net.quant(net.op("Relu", net.op("Conv", pooled, weights(2, 3, 1, 1))), 0.5, 4, signed=0)
    gate = net.quant(net.op("HardSigmoid", net.op("Conv", hidden, weights(3, 2, 1, 1))), 0.0625, 5, signed=0)
    y = net.quant(net.op("Mul", x, gate), 0.37, 5)
    same(net, y, samples(net, -4, 4, 0.5), tmp_path)


@pytest.mark.parametrize("operator", ["Add", "Sub"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_wide_sums_are_added(operator: str, scale: float, tmp_path: Path) -> None:
    """Two convolutions without quantizers between: integers that are added, then one staircase."""
    net = Net(2, 5, 5)
    x = net.quant("input", 0.25, 6)
    left = net.op("Conv", x, weights(3, 2, 3, 3), pads=[1, 1, 1, 1])
    right = net.op("Conv", x, net.quant(weights(3, 2, 1, 1), scale))
    y = net.quant(net.op("Relu", net.op(operator, left, right)), 2.0, 5)
    found = kinds(same(net, y, samples(net, -8, 8, 0.25), tmp_path))
    assert sorted(found) == ["Add", "Conv", "Conv", "Threshold"]


def test_wide_sums_are_multiplied(tmp_path: Path) -> None:
    net = Net(3)
    x = net.quant("input", 0.25, 6)
    y = net.op("Mul", net.op("MatMul", x, weights(3, 4)), net.op("MatMul", x, weights(3, 4) * 0.5 + 0.5))
    found = kinds(same(net, net.quant(y, 4.0, 6), samples(net, -8, 8, 0.25), tmp_path))
    assert sorted(found) == ["Dense", "Dense", "Multiply", "Threshold"]


def test_residual_blocks_around_a_pool(tmp_path: Path) -> None:
    net = Net(2, 6, 6)
    x = net.quant("input", 0.5)
    inner = net.quant(net.op("Conv", x, weights(2, 2, 3, 3), pads=[1, 1, 1, 1]), 2.0)
    y = net.op("MaxPool", net.op("Relu", net.op("Add", inner, x)), kernel_shape=[2, 2], strides=[2, 2])
    y = net.op("Conv", net.quant(y, 0.5, 3, signed=0), weights(3, 2, 3, 3))
    found = kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path))
    assert sorted(found) == ["Add", "Conv", "Conv", "Pool", "Threshold", "Threshold", "Threshold"]


def test_a_function_of_many_combinations_is_refused(tmp_path: Path) -> None:
    net = Net(3, batch=1)
    left = net.quant("input", 2.0**-7, 12)
    right = net.quant(net.op("Neg", left), 2.0**-8, 12)
    y = net.op("MatMul", net.op("Max", left, net.op("Sigmoid", right)), weights(3, 2))
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(y).SerializeToString())
    with pytest.raises(ImportRefused, match="combinations of values by a function that is no sum and no product"):
        load(path)
