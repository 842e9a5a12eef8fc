"""A float bias before a quantizer: onnxruntime rounds it to the grid of the sums, also where it fuses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.frontend.onnx_import.executor import session

from .onnx_graphs import Builder, imported

F32 = np.float32
# Scales of powers of two: float32 sums are exact; the biases lie where rounding them moves the quantizer's results.
X, W, Y = F32(0.25), F32(0.5), F32(1.0)
BIAS = np.array([0.5 - 3 / 64, 1.5 + 5 / 64, -0.5 + 3 / 64, 0.1], F32)


def network(kind: str, between: tuple[str, ...], dtype: Any, channels: bool) -> tuple[Builder, str]:
    matrix = kind == "Gemm"
    b = Builder(("n", 4) if matrix else ("n", 4, 3, 3), 21)
    x, y = [X, np.array(3, dtype)], [Y, np.array(9, dtype)]
    w_scale = np.array([0.5, 0.25, 1.0, 0.5], F32) if channels else W
    axis = {"axis": 0 if kind == "Conv" else 1} if channels else {}
    codes = np.random.default_rng(0).integers(-9, 9, (4, 4) if matrix else (4, 4, 2, 2)).astype(np.int8)
    w = b.op("DequantizeLinear", codes, w_scale, np.zeros_like(w_scale, np.int8), **axis)
    real = b.op("DequantizeLinear", b.op("QuantizeLinear", "x", *x), *x)
    result = b.op(kind, real, w, BIAS)
    for operator in between:
        result = b.op(operator, result, *([F32(-20), F32(20)] if operator == "Clip" else []))
    return b, b.op("DequantizeLinear", b.op("QuantizeLinear", result, *y), *y)


@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales per channel"])
@pytest.mark.parametrize("between", [(), ("Relu",), ("Clip",), ("Relu", "Clip"), ("LeakyRelu",)], ids=str)
@pytest.mark.parametrize(
    "kind, dtype",
    [(kind, np.int8) for kind in ("Conv", "ConvTranspose", "Gemm")] + [("Conv", np.int16), ("ConvTranspose", np.int16)],
)
def test_float_bias(kind: str, dtype: Any, between: tuple[str, ...], channels: bool, tmp_path: Path) -> None:
    b, output = network(kind, between, dtype, channels)
    model = b.model(output)
    shape = (200, 4) if kind == "Gemm" else (200, 4, 3, 3)
    samples = (np.random.default_rng(1).integers(-40, 40, shape) / 4).astype(F32)
    found = imported(model, tmp_path)
    ours = found.decode(found.graph.evaluate(found.encode(samples)))[output]
    optimized, plain = session(model, optimize=True), session(model)
    one = [slice(index, index + 1) for index in range(len(samples))]
    wanted = np.concatenate([optimized.run(None, {"x": samples[index]})[0] for index in one])
    written = np.concatenate([plain.run(None, {"x": samples[index]})[0] for index in one])
    assert np.array_equal(ours, wanted)
    assert ("LeakyRelu" in between) == np.array_equal(wanted, written)
