"""Layers in float form: what stands between two quantizers of QONNX, QDQ and integer graphs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .net import Act, Net, Shape
from .windows import groups, window


class Dialect(Protocol):
    """How a dialect quantizes inputs, activations, weights and biases."""

    def quantize(self, net: Net, x: Act) -> Act: ...

    def requantize_same(self, net: Net, x: Act, like: Act) -> Act:
        """After an operator that only moves or selects values: with the quantizer of `like`, or nothing."""

    def weight(self, net: Net, shape: Shape, axis: int) -> tuple[str, NDArray[np.float64]]:
        """A quantized weight with its output channels on that axis, and its scale for all or for each channel."""

    def bias(self, net: Net, count: int, x: Act, scales: NDArray[np.float64]) -> str | None: ...


def conv(net: Net, dialect: Dialect, x: Act, keep: bool = False) -> Act:
    sizes, channels = x.shape[2:], x.shape[1]
    group = groups(net, channels)
    outer = channels if keep else group * net.integer(1, max(1, 6 // group))
    area = window(net, sizes, keep)
    weight, scales = dialect.weight(net, (outer, channels // group, *area.kernel), 0)
    bias = dialect.bias(net, outer, x, scales)
    name = net.op("Conv", x.name, weight, *([bias] if bias else []), group=group, **area.attributes)
    return Act(name, (x.shape[0], outer, *area.sizes))


def conv_transpose(net: Net, dialect: Dialect, x: Act) -> Act:
    sizes, channels = x.shape[2:], x.shape[1]
    group = groups(net, channels)
    outer = group * net.integer(1, max(1, 4 // group))
    kernel = [net.integer(1, 3) for _ in sizes]
    strides = [net.integer(1, 3) for _ in sizes]
    dilations = [net.integer(1, 2) if net.chance(4) else 1 for _ in sizes]
    ends = [net.integer(0, s - 1) if net.chance(4) else 0 for s in strides]
    full = [
        (n - 1) * s + (k - 1) * d + 1 + e for n, s, k, d, e in zip(sizes, strides, kernel, dilations, ends, strict=True)
    ]
    pads = [net.integer(0, min(1, (f - 1) // 2)) for f in full] * 2
    weight, scales = dialect.weight(net, (channels, outer // group, *kernel), 1)
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "group": group, "dilations": dilations}
    bias = dialect.bias(net, outer, x, scales) if group == 1 else None
    name = net.op("ConvTranspose", x.name, weight, *([bias] if bias else []), output_padding=ends, **attributes)
    shape = [f - 2 * p for f, p in zip(full, pads, strict=False)]
    return Act(name, (x.shape[0], outer, *shape))


def dense(net: Net, dialect: Dialect, x: Act, keep: bool = False) -> Act:
    """Over the last axis; MatMul on any rank, Gemm on matrices."""
    inner = x.shape[-1]
    outer = inner if keep else net.integer(1, 8)
    if len(x.shape) == 2 and net.chance():
        turned = net.chance()
        weight, scales = dialect.weight(net, (outer, inner) if turned else (inner, outer), 0 if turned else 1)
        bias = dialect.bias(net, outer, x, scales)
        if bias is None and net.opset < 11:
            bias = net.constant(np.zeros(outer))
        return Act(
            net.op("Gemm", x.name, weight, *([bias] if bias else []), transB=int(turned)), (*x.shape[:-1], outer)
        )
    how = net.pick("right", "transposed", "left") if len(x.shape) == 3 else net.pick("right", "transposed")
    if how == "left":
        outer = x.shape[1] if keep else outer
        weight, _ = dialect.weight(net, (outer, x.shape[1]), 0)
        return Act(net.op("MatMul", weight, x.name), (x.shape[0], outer, x.shape[2]))
    if how == "right":
        weight, scales = dialect.weight(net, (inner, outer), 1)
    else:
        weight, scales = dialect.weight(net, (outer, inner), 0)
        weight = net.op("Transpose", weight, perm=[1, 0])
    name = net.op("MatMul", x.name, weight)
    bias = dialect.bias(net, outer, x, scales)
    return Act(net.op("Add", name, bias) if bias else name, (*x.shape[:-1], outer))


MAXIMA = ("MaxPool", "GlobalMaxPool", "ReduceMax")
MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")


def pool(net: Net, x: Act) -> Act:
    """A maximum or, unless all values must stay integers, a mean over windows or everything of [n, c, …]."""
    kind = net.pick(*MAXIMA, *(MEANS if net.dialect != "integer" else ()))
    ones = (*x.shape[:2], *(1,) * (len(x.shape) - 2))
    if kind.startswith("Global"):
        return Act(net.op(kind, x.name), ones)
    if kind.startswith("Reduce"):
        axes, keepdims = list(range(2, len(x.shape))), int(net.chance())
        late = net.opset >= 18
        given = [net.constant(axes, np.int64)] if late else []
        name = net.op(kind, x.name, *given, keepdims=keepdims, **({} if late else {"axes": axes}))
        return Act(name, ones if keepdims else x.shape[:2])
    area = window(net, x.shape[2:], pool=kind)
    attributes = dict(area.attributes)
    if kind == "AveragePool" and "pads" in attributes:
        attributes["count_include_pad"] = int(net.chance())
    return Act(net.op(kind, x.name, **attributes), (*x.shape[:2], *area.sizes))


FUNCTIONS = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "Abs", "Neg", "Elu", "HardSwish", "silu")
CONSTANT_FUNCTIONS = ("Mul", "Add", "Sub", "Div", "Max", "PRelu")


def elementwise(net: Net, x: Act, most: int = 3) -> Act:
    """Up to `most` elementwise operators, with constants for all or for each channel."""
    name, rank = x.name, len(x.shape)
    if net.chance(3) and rank > 1:
        count, rng = x.shape[1], net.rng()
        gamma, beta, mean = (net.constant(rng.standard_normal(count)) for _ in range(3))
        name = net.op("BatchNormalization", name, gamma, beta, mean, net.constant(rng.random(count) + 0.1))
    for _ in range(net.integer(0, most)):
        kind = net.pick(*FUNCTIONS, *CONSTANT_FUNCTIONS)
        if kind in CONSTANT_FUNCTIONS:
            per_channel = rank > 1 and net.chance()
            values = net.rng().standard_normal((x.shape[1], *(1,) * (rank - 2)) if per_channel else ())
            values = values + np.sign(values) * 0.2 if kind == "Div" else values
            name = net.op(kind, name, net.constant(values))
        elif kind == "silu":
            name = net.op("Mul", name, net.op("Sigmoid", name))
        elif kind == "HardSwish" and net.opset < 14:
            name = net.op("Mul", name, net.op("HardSigmoid", name, alpha=1 / 6, beta=0.5))
        elif kind == "Clip":
            low, high = sorted(float(value) for value in net.reals((2,)))
            name = net.op("Clip", name, net.constant(low), net.constant(high))
        else:
            name = net.op(kind, name, **({"alpha": float(net.pick(0.25, 0.1, 0.01))} if kind == "LeakyRelu" else {}))
    return Act(name, x.shape)
