"""QOperator: integer operators with scales and zero points as inputs, ONNX's own and those of com.microsoft."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

from .layers import FUNCTIONS
from .moves import move
from .net import SAMPLES, Act, Case, Net, Shape
from .windows import groups, window

MICROSOFT = "com.microsoft"
MOST_ELEMENTS = 300


class Weight:
    """A drawn weight: the names of its integers, scales and zero points, and the scales' values."""

    def __init__(
        self, net: Net, shape: Shape, axis: int, kind: Any, per_channel: bool, float_scales: bool = True
    ) -> None:
        low, high = (-127, 127) if kind == np.int8 else (0, 255)
        scales = net.scales(shape[axis]) if per_channel else net.scale()
        self.scales = net.fitting(scales, 64, prod(shape) // shape[axis])
        zero = net.pick(0, 0, 3) if kind == np.int8 else net.pick(128, 0, 100)
        self.q = net.constant(net.integers(shape, low, high), kind)
        self.zero = net.constant(np.full(self.scales.shape, zero), kind)
        self.scale = net.constant(self.scales) if float_scales else ""


def parameters(net: Net, x: Act) -> list[str]:
    return [net.constant(x.scale), net.constant(x.zero, x.dtype)]


def target(net: Net, kind: Any, shape: Shape) -> Act:
    """A quantized tensor to be: a scale and a zero point of that type, no name yet."""
    bounds = np.iinfo(kind)
    zero = net.pick(0, int(bounds.min), net.integer(int(bounds.min), int(bounds.max)))
    return Act("", shape, net.scale(), zero, kind)


def weight_kind(net: Net, x: Act) -> Any:
    """What onnxruntime has: uint8 with either, int8 with int8."""
    return net.pick(np.int8, np.int8, np.uint8) if x.dtype == np.uint8 else np.int8


def bias(net: Net, count: int) -> list[str]:
    return [net.constant(net.integers((count,), -2000, 2000), np.int32)] if net.chance() else []


def conv(net: Net, x: Act) -> Act:
    channels = x.shape[1]
    group = groups(net, channels)
    outer = group * net.integer(1, max(1, 6 // group))
    area = window(net, x.shape[2:])
    shape = (x.shape[0], outer, *area.sizes)
    filters = (outer, channels // group, *area.kernel)
    if x.dtype == np.uint8 and net.chance(4):
        w = Weight(net, filters, 0, weight_kind(net, x), False)
        acc = net.op("ConvInteger", x.name, w.q, net.constant(x.zero, x.dtype), w.zero, group=group, **area.attributes)
        return rescaled(net, acc, shape, (outer, *(1,) * len(area.sizes)), x, w)
    w, y = Weight(net, filters, 0, weight_kind(net, x), net.chance()), target(net, x.dtype, shape)
    name = net.op(
        "QLinearConv", x.name, *parameters(net, x), w.q, w.scale, w.zero, *parameters(net, y), *bias(net, outer),
        group=group, **area.attributes,
    )  # fmt: skip
    return replace(y, name=name)


def rescaled(net: Net, acc: str, shape: Shape, column: Shape, x: Act, w: Weight) -> Act:
    """int32 sums to reals, with a bias or not, quantized again."""
    real = net.op("Cast", acc, to=TensorProto.FLOAT)
    per_channel = net.chance()
    factor = np.broadcast_to(np.float32(x.scale) * w.scales, column) if per_channel else np.float32(x.scale) * w.scales
    real = net.op("Mul", real, net.constant(factor))
    if net.chance():
        real = net.op("Add", real, net.constant(net.reals(column)))
    if net.chance(3):
        real = net.op("Relu", real)
    return quantized(net, real, target(net, x.dtype, shape))


def quantized(net: Net, real: str, y: Act) -> Act:
    return replace(y, name=net.op("QuantizeLinear", real, *parameters(net, y)))


def dense(net: Net, x: Act) -> Act:
    """QLinearMatMul, MatMulInteger, or on matrices QGemm."""
    inner, outer = x.shape[-1], net.integer(1, 8)
    shape = (*x.shape[:-1], outer)
    kind = net.pick("QLinearMatMul", "MatMulInteger", *(["QGemm"] if len(x.shape) == 2 else []))
    if kind == "MatMulInteger":
        w = Weight(net, (inner, outer), 1, weight_kind(net, x), False)
        acc = net.op(kind, x.name, w.q, net.constant(x.zero, x.dtype), w.zero)
        return rescaled(net, acc, shape, (outer,), x, w)
    y = target(net, x.dtype, shape)
    if kind == "QLinearMatMul":
        w = Weight(net, (inner, outer), 1, weight_kind(net, x), net.chance())
        return replace(y, name=net.op(kind, x.name, *parameters(net, x), w.q, w.scale, w.zero, *parameters(net, y)))
    turned = net.chance()
    size, axis = ((outer, inner), 0) if turned else ((inner, outer), 1)
    w = Weight(net, size, axis, weight_kind(net, x), net.chance())
    given = [x.name, *parameters(net, x), w.q, w.scale, w.zero, *(bias(net, outer) or [""])]
    attributes = {"transB": int(turned), "alpha": float(net.pick(1.0, 1.0, 0.5))}
    if net.chance(4):
        return quantized(net, net.op(kind, *given, domain=MICROSOFT, **attributes), y)
    return replace(y, name=net.op(kind, *given, *parameters(net, y), domain=MICROSOFT, **attributes))


def pool(net: Net, x: Act) -> Act:
    kind = net.pick("MaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool")
    if kind == "MaxPool":
        area = window(net, x.shape[2:], pool=kind)
        return replace(x, name=net.op(kind, x.name, **area.attributes), shape=(*x.shape[:2], *area.sizes))
    if kind == "QLinearGlobalAveragePool":
        y = target(net, x.dtype, (*x.shape[:2], *(1,) * (len(x.shape) - 2)))
        attributes: dict[str, Any] = {"channels_last": 0}
    else:
        area = window(net, x.shape[2:], pool=kind)
        y, attributes = target(net, x.dtype, (*x.shape[:2], *area.sizes)), dict(area.attributes)
        attributes["count_include_pad"] = int(net.chance())
    name = net.op(kind, x.name, *parameters(net, x), *parameters(net, y), domain=MICROSOFT, **attributes)
    return replace(y, name=name)


def function(net: Net, x: Act) -> Act:
    """QLinearSigmoid, QLinearLeakyRelu, or any function between a DequantizeLinear and a QuantizeLinear."""
    kind, y = net.pick("QLinearLeakyRelu", "QLinearSigmoid", "float"), target(net, x.dtype, x.shape)
    if kind == "float":
        real = net.op("DequantizeLinear", x.name, *parameters(net, x))
        plain = [name for name in FUNCTIONS if name not in ("Clip", "silu", "HardSwish")]
        return quantized(net, net.op(net.pick(*plain), real), y)
    attributes = {"alpha": float(net.pick(0.25, 0.1))} if kind == "QLinearLeakyRelu" else {}
    name = net.op(kind, x.name, *parameters(net, x), *parameters(net, y), domain=MICROSOFT, **attributes)
    return replace(y, name=name)


def join(net: Net, x: Act) -> Act:
    """QLinearAdd or QLinearMul of two tensors with their own scales."""
    left, right = function(net, x), function(net, x) if net.chance() else x
    y = target(net, x.dtype, x.shape)
    given = [left.name, *parameters(net, left), right.name, *parameters(net, right), *parameters(net, y)]
    return replace(y, name=net.op(net.pick("QLinearAdd", "QLinearMul"), *given, domain=MICROSOFT))


def concat(net: Net, x: Act) -> Act:
    if prod(x.shape) > MOST_ELEMENTS // 2:
        return x
    parts = [function(net, x) if net.chance() else x for _ in range(net.integer(2, 3))]
    axis = net.integer(1, len(x.shape) - 1)
    y = target(net, x.dtype, (*x.shape[:axis], x.shape[axis] * len(parts), *x.shape[axis + 1 :]))
    given = parameters(net, y) + [name for part in parts for name in (part.name, *parameters(net, part))]
    return replace(y, name=net.op("QLinearConcat", *given, domain=MICROSOFT, axis=axis))


def block(net: Net, x: Act) -> Act:
    kind = net.pick("layer", "layer", "pool", "join", "concat", "move", "function")
    spatial = len(x.shape) > 2
    if kind == "layer":
        return conv(net, x) if spatial and not (len(x.shape) == 3 and net.chance(4)) else dense(net, x)
    if kind == "pool" and spatial:
        return pool(net, x)
    if kind == "join":
        return join(net, x)
    if kind == "concat":
        return concat(net, x)
    if kind == "move":
        y = move(net, x)
        return y if prod(y.shape) <= MOST_ELEMENTS else x
    return function(net, x)


def head(net: Net, x: Act) -> tuple[Act, int]:
    kind = net.pick("dequantized", "integers", "Softmax", "ArgMax")
    if kind == "integers":
        return x, helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype))
    real = net.op("DequantizeLinear", x.name, *parameters(net, x))
    if kind == "Softmax":
        real = net.op("Softmax", real, axis=len(x.shape) - 1)
    elif kind == "ArgMax":
        index = net.op("ArgMax", real, axis=len(x.shape) - 1, keepdims=int(net.chance()))
        return replace(x, name=index), TensorProto.INT64
    return replace(x, name=real), TensorProto.FLOAT


@st.composite
def models(draw: Any) -> Case:
    net = Net(draw, "qoperator", (13, 21))
    shape, kind = net.input_shape(), net.pick(np.uint8, np.int8)
    y = target(net, kind, shape)
    bounds = np.iinfo(kind)
    if net.chance(3):
        x, samples = replace(y, name="input"), net.rng().integers(bounds.min, bounds.max + 1, (SAMPLES, *shape[1:]))
        samples = samples.astype(kind)
    else:
        x = quantized(net, "input", y)
        samples = net.float_samples(shape, y.scale, int(bounds.min) - y.zero, int(bounds.max) - y.zero)
    for _ in range(net.integer(1, 5)):
        x = block(net, x)
    y, output = head(net, x)
    return net.finish(y, shape, samples, None, output)
