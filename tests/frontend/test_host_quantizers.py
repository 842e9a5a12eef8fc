"""Quantizers that the host runs after its own operators, and an input that several quantizers read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.frontend.onnx_import.executor import session

from .onnx_graphs import Builder, check_onnxruntime, imported

MICROSOFT = "com.microsoft"
F32 = np.float32
ALL_CODES = np.arange(-128, 128, dtype=F32).reshape(-1, 4) * F32(0.05)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_sixteen_bits_before_opset_21(dtype: Any, tmp_path: Path) -> None:
    """onnxruntime's quantizer writes com.microsoft's operators, which have these types in every opset."""
    b = Builder(("n", 4), 13, **{MICROSOFT: 1})
    grid = [F32(2.0**-6), np.array(int(np.iinfo(dtype).max) // 3, dtype)]

    def both(x: str) -> str:
        q = b.op("QuantizeLinear", x, *grid, domain=MICROSOFT)
        return str(b.op("DequantizeLinear", q, *grid, domain=MICROSOFT))

    codes = np.random.default_rng(0).integers(-100, 100, (4, 3)).astype(np.int8)
    w = b.op("DequantizeLinear", codes, np.full(3, 0.25, F32), np.zeros(3, np.int8), domain=MICROSOFT, axis=1)
    hidden = both(b.op("Relu", b.op("MatMul", both("x"), w)))
    output = both(b.op("Softmax", b.op("Mul", hidden, F32(0.5)), axis=-1))
    check_onnxruntime(b.model(output), ALL_CODES, tmp_path)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("dtype, shift", [(np.uint8, 128), (np.int8, 0)])
def test_softmax_between_codes(dtype: Any, shift: int, readers: int, opset: int, tmp_path: Path) -> None:
    """onnxruntime fuses it to QLinearSoftmax, unless something else reads the Softmax too."""
    b = Builder(("n", 4), opset)
    x, y = [F32(0.05), np.array(shift, dtype)], [F32(1 / 250.7), np.array(shift - 128, dtype)]
    real = b.op("DequantizeLinear", b.op("QuantizeLinear", "x", *x), *x)
    softmax = b.op("Softmax", b.op("DequantizeLinear", b.op("QuantizeLinear", b.op("Relu", real), *x), *x), axis=1)
    result = b.op("DequantizeLinear", b.op("QuantizeLinear", softmax, *y), *y)
    model = b.model(result, *[softmax][: readers - 1])
    samples = np.random.default_rng(0).uniform(-6, 6, (500, 4)).astype(F32)
    found = imported(model, tmp_path)
    ours = found.decode(found.graph.evaluate(found.encode(samples)))[result]
    fused, plain = (session(model, optimize).run([result], {"x": samples})[0] for optimize in (True, False))
    assert np.array_equal(ours, fused)
    assert (readers > 1) == np.array_equal(fused, plain)


def test_the_input_is_quantized_twice_alike(tmp_path: Path) -> None:
    b, grid = Builder(("n", 4)), [F32(0.05), np.array(3, np.uint8)]
    one, two = (b.op("DequantizeLinear", b.op("QuantizeLinear", "x", *grid), *grid) for _ in range(2))
    result = b.op("QuantizeLinear", b.op("Add", one, b.op("Relu", two)), *grid)
    found = check_onnxruntime(b.model(b.op("DequantizeLinear", result, *grid)), ALL_CODES, tmp_path)
    assert len([node for node in found.graph if not node.inputs]) == 1
