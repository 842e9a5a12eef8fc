"""Chains without a quantizer at their end: requantization in ordinary operators, and float networks on a grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from lutwright.errors import ImportRefused

from .onnx_graphs import Builder, check_onnxruntime, imported

RNG = np.random.default_rng(11)
W1, W2 = (RNG.integers(-60, 61, shape).astype(np.float32) for shape in ((6, 5), (5, 3)))
X = RNG.integers(-128, 128, (100, 6)).astype(np.float32)
F = np.float32


def cast(b: Builder, x: Any, dtype: Any) -> Any:
    return b.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def shifted(b: Builder, acc: Any) -> Any:
    """Multiply, add, shift right by a division, clip: in float32."""
    y = b.op("Floor", b.op("Mul", b.op("Add", acc, F([5, 100, -7, 0, 2000])), F(1 / 512)))
    return b.op("Clip", y, F(-128), F(127))


def to_uint8(b: Builder, acc: Any) -> Any:
    y = b.op("Clip", b.op("Round", b.op("Mul", b.op("Relu", acc), F([0.01, 0.02, 0.003, 0.05, 0.7]))), F(0), F(255))
    return cast(b, cast(b, y, np.uint8), np.float32)


def in_int32(b: Builder, acc: Any) -> Any:
    """Integer division rounds towards zero."""
    y = b.op(
        "Div",
        b.op("Add", b.op("Mul", cast(b, acc, np.int32), np.int32([3, 5, 7, -9, 11])), np.int32(77)),
        np.int32(999),
    )
    return cast(b, b.op("Min", b.op("Max", y, np.int32(-128)), np.int32(127)), np.float32)


def bit_shift(b: Builder, acc: Any) -> Any:
    y = cast(b, b.op("Add", acc, F(2**20)), np.uint32)
    return cast(b, b.op("BitShift", y, np.uint32([12]), direction="RIGHT"), np.float32)


def ceiling(b: Builder, acc: Any) -> Any:
    return b.op("Sub", b.op("Ceil", b.op("Div", acc, F(-700))), F(3))


def not_monotone(b: Builder, acc: Any) -> Any:
    return b.op("Abs", b.op("Floor", b.op("Mul", acc, F(1 / 300))))


CHAINS = [shifted, to_uint8, in_int32, bit_shift, ceiling, not_monotone]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.__name__)
def test_requantization_in_ordinary_operators(chain: Callable[[Builder, Any], Any], tmp_path: Path) -> None:
    b = Builder((1, 6))
    hidden = chain(b, b.op("MatMul", "x", W1))
    found = check_onnxruntime(b.model(b.op("MatMul", hidden, W2)), X, tmp_path, "int8")
    assert sum(type(node).__name__ == "Dense" for node in found.graph.nodes) == 2


def test_what_may_leave_its_type_is_refused(tmp_path: Path) -> None:
    b = Builder((1, 6))
    y = cast(b, cast(b, b.op("Round", b.op("MatMul", "x", W1)), np.int8), np.float32)
    with pytest.raises(ImportRefused, match=r"Cast .*where it would wrap"):
        imported(b.model(b.op("MatMul", y, W2)), tmp_path, "int8")


def test_sums_in_int32_that_fit(tmp_path: Path) -> None:
    """The input is int8 itself, and a Cast makes it wider."""
    b = Builder((1, 6), dtype=TensorProto.INT8)
    wide = cast(b, "x", np.int32)
    y = b.op("Sub", b.op("Mul", wide, np.int32(3)), np.int32(-4))
    model = b.model(b.op("MatMul", cast(b, y, np.float32), W1))
    found = check_onnxruntime(model, X.astype(np.int8), tmp_path)
    assert [type(node).__name__ for node in found.graph.nodes] == ["Input", "Dense"]


def on_grid(shape: tuple[int, ...], bits: int, fraction: int, seed: int) -> Any:
    low = -(2 ** (bits - 1))
    return (np.random.default_rng(seed).integers(low, -low, shape) / 2.0**fraction).astype(np.float32)


def dense_network(b: Builder) -> Any:
    x = b.op("Relu", b.op("Gemm", "x", on_grid((6, 5), 4, 2, 0), on_grid((5,), 6, 5, 1)))
    x = b.op("Relu", b.op("Add", b.op("MatMul", x, on_grid((5, 4), 3, 3, 2)), on_grid((4,), 6, 2, 3)))
    x = b.op("Clip", b.op("MatMul", x, on_grid((4, 4), 3, 1, 4)), F(-2), F(6))
    return b.op("MatMul", x, on_grid((4, 3), 3, 0, 5))


def conv_network(b: Builder) -> Any:
    x = b.op("Relu", b.op("Conv", "x", on_grid((4, 2, 3, 3), 3, 2, 6), on_grid((4,), 6, 5, 7), pads=[1, 1, 1, 1]))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.op("Max", b.op("Conv", x, on_grid((3, 4, 2, 2), 2, 1, 8)), F(0.25))
    return b.op("Conv", b.op("Min", x, F(2)), on_grid((2, 3, 2, 2), 2, 0, 9))


@pytest.mark.parametrize("grid", ["fixed<8,4>", "fixed<4,1>", "uint4"])
@pytest.mark.parametrize(("build", "shape"), [(dense_network, (1, 6)), (conv_network, (1, 2, 6, 6))])
def test_float_networks_on_a_grid(
    build: Callable[[Builder], Any], shape: tuple[int, ...], grid: str, tmp_path: Path
) -> None:
    b = Builder(shape)
    rng, size = np.random.default_rng(5), (50, *shape[1:])
    samples = rng.integers(0, 16, size) if grid == "uint4" else rng.integers(-8, 8, size) / 8
    samples = rng.integers(-128, 128, size) / 16 if grid == "fixed<8,4>" else samples
    check_onnxruntime(b.model(build(b)), samples.astype(np.float32), tmp_path, grid)


def test_a_relu_of_wide_sums_is_a_clamp(tmp_path: Path) -> None:
    b = Builder((1, 6))
    x = b.op("Relu", b.op("MatMul", "x", W1 * 97 / 128))
    found = check_onnxruntime(b.model(b.op("MatMul", x, F(np.eye(5)))), X, tmp_path, "int8")
    assert [type(node).__name__ for node in found.graph.nodes] == ["Input", "Dense", "Clamp", "Dense"]


@pytest.mark.parametrize("text", ["MatMul", "Sigmoid"])
def test_float_weights_and_functions_say_quantize(text: str, tmp_path: Path) -> None:
    b = Builder((1, 6))
    if text == "MatMul":
        y = b.op("MatMul", b.quant("x"), RNG.standard_normal((6, 5)).astype(np.float32))
    else:
        y = b.op("MatMul", b.op("Sigmoid", b.op("MatMul", b.quant("x", 0.01, 12), W1)), W2)
    with pytest.raises(ImportRefused, match="lutwright quantize"):
        imported(b.model(y), tmp_path)
