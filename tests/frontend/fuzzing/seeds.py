"""The valid models that mutation starts from: small ones of every dialect, the example, and third-party ones."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from ..networks import mlp

ROOT = Path(__file__).parents[3]
QONNX = 'opset_import: ["" : 13, "qonnx.custom_op.general": 1]'

TEXTS = {
    "qonnx_dense": f"""<ir_version: 8, {QONNX}> g (float[n,6] x) => (float y) {{
        a = qonnx.custom_op.general.Quant<signed=1, narrow=0, rounding_mode="ROUND">(x, scale, zero, four)
        b = qonnx.custom_op.general.Quant<signed=1, narrow=1, rounding_mode="ROUND">(matrix, scale, zero, two)
        c = MatMul(a, b)
        d = BatchNormalization<epsilon=1e-5>(c, gain, bias, mean, variance)
        e = Relu(d)
        f = qonnx.custom_op.general.Quant<signed=0, narrow=0, rounding_mode="FLOOR">(e, scale, zero, two)
        h = qonnx.custom_op.general.BipolarQuant(square, one)
        i = Gemm<transB=1>(f, h, bias)
        y = Softmax<axis=1>(i) }}""",
    "qonnx_threshold": f"""<ir_version: 8, {QONNX}> g (float[1,2,3] x) => (int64 y) {{
        s = Mul(x, scale)
        a = qonnx.custom_op.general.BipolarQuant(s, one)
        t = Transpose<perm=[0,2,1]>(a)
        r = Reshape(t, flat)
        b = MatMul(r, signs)
        c = qonnx.custom_op.general.MultiThreshold<out_scale=1.0, out_bias=0.0, data_layout="NC">(b, steps)
        d = MatMul(c, signs4)
        y = ArgMax<axis=1, keepdims=0>(d) }}""",
    "qonnx_conv": f"""<ir_version: 8, {QONNX}> g (float[1,2,6,6] x) => (float y) {{
        a = qonnx.custom_op.general.Quant<signed=0, narrow=0, rounding_mode="ROUND">(x, scale, zero, four)
        k = qonnx.custom_op.general.Quant<signed=1, narrow=1, rounding_mode="ROUND">(kernel, scale, zero, two)
        c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], strides=[1,1], dilations=[1,1], group=1>(a, k)
        n = BatchNormalization(c, gain, bias, mean, variance)
        e = Relu(n)
        q = qonnx.custom_op.general.Quant<signed=0, narrow=0, rounding_mode="ROUND">(e, scale, zero, two)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(q)
        f = Flatten<axis=1>(p)
        w = qonnx.custom_op.general.BipolarQuant(wide, one)
        y = MatMul(f, w) }}""",
    "qdq": """<ir_version: 8, opset_import: ["" : 13]> g (float[1,2,6,6] x) => (float y) {
        q = QuantizeLinear(x, scale, zero8)
        a = DequantizeLinear(q, scale, zero8)
        k = DequantizeLinear<axis=0>(kernel8, scales, zeros8)
        b = DequantizeLinear(bias32, scale, zero32)
        c = Conv<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(a, k, b)
        r = Relu(c)
        s = QuantizeLinear(r, scale, zerou8)
        t = DequantizeLinear(s, scale, zerou8)
        p = GlobalAveragePool(t)
        f = Flatten(p)
        u = QuantizeLinear(f, scale, zero8)
        v = DequantizeLinear(u, scale, zero8)
        w = DequantizeLinear(square8, scale, zero8)
        y = MatMul(v, w) }""",
    "qoperator": """<ir_version: 8, opset_import: ["" : 13, "com.microsoft": 1]>
    g (float[1,2,6,6] x) => (float y) {
        q = QuantizeLinear(x, scale, zerou8)
        c = QLinearConv<kernel_shape=[3,3], pads=[0,0,0,0], group=1>(
            q, scale, zerou8, kernel8, scales, zeros8, scale, zerou8, bias32)
        d = com.microsoft.QLinearAdd(c, scale, zerou8, c, scale, zerou8, scale, zerou8)
        p = com.microsoft.QLinearGlobalAveragePool<channels_last=0>(d, scale, zerou8, scale, zerou8)
        f = Flatten(p)
        m = QLinearMatMul(f, scale, zerou8, square8, scale, zero8, scale, zerou8)
        y = DequantizeLinear(m, scale, zerou8) }""",
    "integer": """<ir_version: 8, opset_import: ["" : 13, "PACTOps": 1]> g (int8[1,2,6,6] x) => (float y) {
        c = ConvInteger<kernel_shape=[3,3]>(x, kernel8)
        r = PACTOps.RequantShift<div=64, n_levels_out=256, signed=1>(c, multiplier, addend)
        f = Reshape(r, flat4)
        y = MatMul(f, tall) }""",
    "integer_dense": """<ir_version: 8, opset_import: ["" : 13]> g (float[n,4] x) => (float y) {
        c = MatMul(x, whole)
        m = Mul(c, scale)
        o = Floor(m)
        l = Clip(o, low, high)
        y = MatMul(l, whole) }""",
}


@dataclass(frozen=True)
class Seed:
    """A valid model and the grid of its input where that needs one."""

    name: str
    model: bytes
    grid: str | None


def constants() -> dict[str, Any]:
    """Every initializer that the texts above use."""
    rng = np.random.default_rng(0)
    floats = {
        "scale": 0.25,
        "scales": [0.25, 0.5, 0.25, 0.125],
        "zero": 0,
        "one": 1,
        "two": 2,
        "four": 4,
        "low": -8,
        "high": 7,
        "matrix": rng.standard_normal((6, 4)),
        "square": rng.standard_normal((4, 4)),
        "kernel": rng.standard_normal((4, 2, 3, 3)),
        "wide": rng.standard_normal((36, 4)),
        "whole": rng.integers(-3, 4, (4, 4)),
        "tall": rng.integers(-99, 99, (64, 3)),
        "signs": rng.choice([-1, 1], (6, 4)),
        "signs4": rng.choice([-1, 1], (4, 4)),
        "steps": np.sort(rng.integers(-6, 6, (4, 3)), axis=1),
        "gain": rng.standard_normal(4),
        "bias": rng.standard_normal(4),
        "mean": rng.standard_normal(4),
        "variance": rng.random(4) + 0.5,
        "multiplier": rng.integers(1, 60, (1, 4, 1, 1)),
        "addend": rng.integers(-99, 99, (1, 4, 1, 1)),
    }
    integers = {
        "flat": ([1, -1], np.int64),
        "flat4": ([1, -1], np.int64),
        "zero8": (0, np.int8),
        "zerou8": (128, np.uint8),
        "zero32": (0, np.int32),
        "zeros8": ([0] * 4, np.int8),
        "bias32": (rng.integers(-99, 99, 4), np.int32),
        "kernel8": (rng.integers(-99, 99, (4, 2, 3, 3)), np.int8),
        "square8": (rng.integers(-99, 99, (4, 4)), np.int8),
    }
    arrays = {name: np.asarray(value, np.float32) for name, value in floats.items()}
    return arrays | {name: np.asarray(value, dtype) for name, (value, dtype) in integers.items()}


def written(text: str) -> bytes:
    """The model of the text, with the constants that it uses as initializers."""
    model = parser.parse_model(text)
    used = {name for node in model.graph.node for name in node.input}
    arrays = constants()
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def small() -> list[Seed]:
    """Every dialect in a few kilobytes."""
    grids = {"integer": "int8", "integer_dense": "int4"}
    seeds = [Seed(name, written(text), grids.get(name)) for name, text in TEXTS.items()]
    for number in range(12):
        model, grid, _ = mlp(number)
        seeds.append(Seed(f"mlp{number}", bytes(model.SerializeToString()), grid))
    return seeds


def large() -> list[Seed]:
    """The example, and the third-party models of LUTWRIGHT_MODELS."""
    seeds = [Seed("digits", (ROOT / "examples" / "digits" / "digits.onnx").read_bytes(), None)]
    for path in sorted(Path(os.environ.get("LUTWRIGHT_MODELS", "none")).glob("*/model.onnx")):
        case = path.parent / "case.json"
        grid = json.loads(case.read_text())["input"] if case.exists() else None
        seeds.append(Seed(path.parent.name, path.read_bytes(), grid))
    return seeds
