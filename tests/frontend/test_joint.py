"""Functions of several activations, of one activation twice, and activations joined with constants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused

from .onnx_graphs import Builder, check_qonnx, imported

F = np.float32
W = np.random.default_rng(4).integers(-3, 4, (2, 4, 5)).astype(F)
X = (np.random.default_rng(5).standard_normal((50, 4)) * 3).astype(F)


def two(kind: str, **attributes: Any) -> Callable[[Builder, Any, Any], Any]:
    return lambda b, x, y: b.op(kind, x, y, **attributes)


PAIRS: dict[str, Callable[[Builder, Any, Any], Any]] = {
    "Sub": two("Sub"),
    "Add": two("Add"),
    "Mul": two("Mul"),
    "Max": two("Max"),
    "Min": two("Min"),
    "PRelu": two("PRelu"),
    "Div": lambda b, x, y: b.op("Div", x, b.op("Add", b.op("Abs", y), F(1))),
    "Where": lambda b, x, y: b.op("Where", b.op("Greater", x, y), x, b.op("Neg", y)),
    "Mean": two("Mean"),
    "Pow": lambda b, x, y: b.op("Pow", b.op("Abs", x), b.op("Sigmoid", y)),
    "gate": lambda b, x, y: b.op("Mul", b.op("Tanh", x), b.op("Sigmoid", y)),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("zero", [0.0, 2.0])
@pytest.mark.parametrize("channels", [False, True])
def test_two_activations(kind: str, zero: float, channels: bool, tmp_path: Path) -> None:
    b = Builder((1, 4))
    scales = F([0.5, 1, 2, 0.25, 1]) if channels else F(0.75)
    entry = b.quant("x")
    x = b.quant(b.op("MatMul", entry, W[0]), scales, 4, zero)
    y = b.quant(b.op("MatMul", entry, W[1]), 1.0, 3)
    check_qonnx(b.model(b.op("MatMul", b.quant(PAIRS[kind](b, x, y), 0.5, 5), W[0].T)), X, tmp_path)


ITSELF: dict[str, Callable[[Builder, Any], Any]] = {
    "x * sigmoid(x)": lambda b, x: b.op("Mul", x, b.op("Sigmoid", x)),
    "x * x": lambda b, x: b.op("Mul", x, x),
    "x + relu(x)": lambda b, x: b.op("Add", x, b.op("Relu", x)),
    "x - x": lambda b, x: b.op("Sub", x, x),
    "x * hardsigmoid(x + 1)": lambda b, x: b.op("Mul", x, b.op("HardSigmoid", b.op("Add", x, F(1)))),
    "max(x, 0.1 x)": lambda b, x: b.op("Max", x, b.op("Mul", x, F(0.1))),
}


@pytest.mark.parametrize("kind", ITSELF)
@pytest.mark.parametrize("quantized", [True, False])
def test_one_activation_twice(kind: str, quantized: bool, tmp_path: Path) -> None:
    """With a quantizer after it, and as the operand of a layer where its values lie on a grid."""
    b = Builder((1, 4))
    value = ITSELF[kind](b, b.quant(b.op("MatMul", b.quant("x"), W[0]), 0.5, 4))
    if quantized:
        value = b.quant(value, 0.5, 5)
    model = b.model(b.op("MatMul", value, W[1].T))
    if not quantized and ("sigmoid" in kind or "0.1" in kind):
        with pytest.raises(ImportRefused, match="lutwright quantize"):
            imported(model, tmp_path)
    else:
        check_qonnx(model, X, tmp_path)


JOINS = [
    ([1.0, -2.0], 1.0, 0.0),
    ([0.25, 7.5], 0.5, 0.0),  # a grid of its own
    ([1.0, 3.0], 1.0, 3.0),  # the grid of the activations, with an offset
    ([1e-3, 7.0], 1.0, None),
]


@pytest.mark.parametrize(("row", "scale", "zero"), JOINS, ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_concat_with_a_constant(
    row: list[float], scale: float, zero: float | None, first: bool, tmp_path: Path
) -> None:
    b = Builder((1, 4))
    x = b.quant(b.op("MatMul", b.quant("x"), W[0]), scale, 5, zero or 0.0)
    joined = b.op("Concat", *([F([row]), x] if first else [x, F([row])]), axis=1)
    model = b.model(b.op("MatMul", joined, np.concatenate([W[0].T, W[1].T[:2]])))
    if zero is None:
        with pytest.raises(ImportRefused, match="a constant that is not quantized"):
            imported(model, tmp_path)
    else:
        check_qonnx(model, X, tmp_path)


def test_concat_of_images_with_positions(tmp_path: Path) -> None:
    b = Builder((1, 2, 3, 4))
    positions = np.broadcast_to(np.arange(4, dtype=F) / 4, (1, 1, 3, 4))
    joined = b.op("Concat", b.quant("x"), np.ascontiguousarray(positions), axis=1)
    weight = np.random.default_rng(6).integers(-3, 4, (2, 3, 2, 2)).astype(F)
    x = (np.random.default_rng(7).standard_normal((12, 2, 3, 4)) * 2).astype(F)
    check_qonnx(b.model(b.op("Conv", joined, weight, kernel_shape=[2, 2])), x, tmp_path)
