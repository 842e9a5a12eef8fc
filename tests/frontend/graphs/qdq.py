"""QDQ and QCDQ: operators between QuantizeLinear, perhaps Clip, DequantizeLinear, as onnxruntime and Brevitas do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .net import Act, Case, Net, Shape
from .topology import body, head


class Qdq:
    """`narrow`: QCDQ, where a Clip on the integers makes them fewer bits. `kind` is the type of the activations."""

    def __init__(self, net: Net) -> None:
        self.kind = net.pick(np.uint8, np.int8)
        self.narrow = net.chance(4)
        self.symmetric = net.chance()

    def quantize(self, net: Net, x: Act) -> Act:
        bounds = np.iinfo(self.kind)
        zero = 0
        if not self.symmetric:
            zero = net.pick(0, int(bounds.min), int(bounds.max), net.integer(int(bounds.min), int(bounds.max)))
        return self.pair(net, x, net.scale(), zero)

    def requantize_same(self, net: Net, x: Act, like: Act) -> Act:
        return (
            replace(x, scale=like.scale, zero=like.zero) if net.chance(5) else self.pair(net, x, like.scale, like.zero)
        )

    def pair(self, net: Net, x: Act, scale: float, zero: int) -> Act:
        parameters = [net.constant(scale), net.constant(zero, self.kind)]
        q = net.op("QuantizeLinear", x.name, *parameters)
        if self.narrow:
            low, high = sorted([int(np.iinfo(self.kind).min), int(np.iinfo(self.kind).max)])
            margin = 2 ** net.integer(1, 7) - 1
            q = net.op("Clip", q, net.constant(low // margin, self.kind), net.constant(high // margin, self.kind))
        return Act(net.op("DequantizeLinear", q, *parameters), x.shape, scale, zero, self.kind)

    def weight(self, net: Net, shape: Shape, axis: int) -> tuple[str, NDArray[np.float64]]:
        """As integers with a DequantizeLinear; sometimes as floats with both."""
        kind = net.pick(np.int8, np.int8, np.int8, np.uint8) if self.kind == np.uint8 else np.int8
        low, high = (-127, 127) if kind == np.int8 else (0, 255)
        if net.chance(4):
            low, high = (-7, 7) if kind == np.int8 else (0, 15)
        per_channel = net.chance()
        scales = net.scales(shape[axis]) if per_channel else net.scale()
        scales = net.fitting(scales, high // 2, math.prod(shape) // shape[axis])
        zero = 0 if kind == np.int8 else net.pick(128, 0, 100) if high == 255 else 8
        q = net.integers(shape, low, high)
        s, z = net.constant(scales), net.constant(np.full(scales.shape, zero), kind)
        attributes = {"axis": axis} if per_channel else {}
        if net.opset >= 21 and kind == np.int8 and high == 7 and net.chance(3):
            four = helper.make_tensor("", TensorProto.INT4, shape, q.ravel().tolist())
            zeros = helper.make_tensor("", TensorProto.INT4, scales.shape, [0] * scales.size)
            name = net.op("DequantizeLinear", net.constant(four), s, net.constant(zeros), **attributes)
        elif net.chance(4):
            column = [shape[axis] if index == axis and per_channel else 1 for index in range(len(shape))]
            values = net.constant((q - zero) * scales.reshape(column if per_channel else ()))
            name = net.op("DequantizeLinear", net.op("QuantizeLinear", values, s, z, **attributes), s, z, **attributes)
        else:
            name = net.op("DequantizeLinear", net.constant(q, kind), s, z, **attributes)
        return name, scales.astype(np.float64)

    def bias(self, net: Net, count: int, x: Act, scales: NDArray[np.float64]) -> str | None:
        """int32 at the scale of the products."""
        if net.chance():
            return None
        product = np.float32(x.scale) * scales.astype(np.float32)
        product = np.asarray(product).reshape(-1 if scales.size > 1 else ())
        q = net.constant(net.integers((count,), -1000, 1000), np.int32)
        attributes = {"axis": 0} if product.ndim else {}
        return str(net.op("DequantizeLinear", q, net.constant(product), **attributes))


def _folded(net: Net, node: onnx.NodeProto) -> bool:
    """Whether onnxruntime may fold it into the float weights of a layer before it, so that these are rounded again."""
    constants = {item.name for item in net.initializers}
    arithmetic = node.op_type in ("Add", "Sub", "Mul", "Div") and any(name in constants for name in node.input)
    return node.op_type == "BatchNormalization" or arithmetic


@st.composite
def models(draw: Any) -> Case:
    net = Net(draw, "qdq", (13, 21))
    dialect, shape = Qdq(net), net.input_shape()
    x = dialect.quantize(net, Act("input", shape))
    low, high = int(np.iinfo(x.dtype).min) - x.zero, int(np.iinfo(x.dtype).max) - x.zero
    samples = net.float_samples(shape, x.scale, low, high)
    y, kind = head(net, dialect, body(net, dialect, x))
    net.exact = net.exact and not any(_folded(net, node) for node in net.nodes)
    return net.finish(y, shape, samples, None, kind)
