"""The float32 order of operations that the import relies on is onnxruntime's."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.onnx_import.elementwise import batch_normalization
from lutwright.frontend.onnx_import.executor import execute
from lutwright.frontend.onnx_import.expressions import evaluate
from lutwright.frontend.onnx_import.linear import gemm
from lutwright.frontend.onnx_import.state import Import
from lutwright.frontend.onnx_import.values import Constant, Pending, Quantized


def integers(shape: tuple[int, ...], scale: float) -> tuple[Import, Quantized]:
    state = Import(13, shape[0])
    node = state.add(Input("x", (), Type(shape[1:], -128, 127)))
    return state, Quantized(node, shape, True, np.asarray(scale), np.asarray(0.0), np.dtype(np.float32))


@pytest.mark.parametrize("shape", [(1, 64), (1, 1), (7, 64), (1, 33, 5), (3, 8, 4, 4)])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-3, 0.0])
@pytest.mark.parametrize("opset", [9, 14, 15])
def test_batch_normalization(shape: tuple[int, ...], epsilon: float, opset: int) -> None:
    rng = np.random.default_rng(len(shape))
    state, x = integers(shape, 0.3)
    gamma, beta, mean = (rng.standard_normal(shape[1]).astype(np.float32) * 3 for _ in range(3))
    variance = rng.random(shape[1]).astype(np.float32) * 100
    parameters = [gamma, beta, mean, variance]
    node = helper.make_node("BatchNormalization", list("xsbmv"), ["y"], "norm", epsilon=epsilon)
    (result,) = batch_normalization(state, node, [x, *map(Constant, parameters)])
    assert isinstance(result, Pending)
    for _ in range(20):
        real = x.real(rng.integers(-128, 128, shape), x.scale, x.offset)
        (wanted,) = execute(node, [real, *parameters], opset)
        assert np.array_equal(evaluate(state, result.expression, [real]), wanted)


@pytest.mark.parametrize("beta", [1.0, 0.7])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_gemm_rounds_once(alpha: float, beta: float) -> None:
    rng = np.random.default_rng(0)
    state, x = integers((3, 16), 0.125)
    weight = rng.integers(-8, 8, (16, 16)).astype(np.float32) / 4
    bias = rng.standard_normal(16).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], "fc", alpha=alpha, beta=beta)
    (result,) = gemm(state, node, [x, Constant(weight), Constant(bias)])
    assert isinstance(result, Quantized)
    for _ in range(20):
        q = rng.integers(-8, 8, (3, 16))
        (wanted,) = execute(node, [x.real(q, x.scale, x.offset), weight, bias], 13)
        ours = result.real(result.node.evaluate(q), result.scale, result.offset)
        assert np.array_equal(ours, wanted)
