"""Integer graphs in float tensors, requantized by RequantShift (as Deeploy's exporter writes them)."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .layers import conv
from .moves import move
from .net import SAMPLES, Act, Case, Net, Shape
from .topology import layer, pooled

DOMAINS = ("", "PACTOps")
GRIDS = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7)}


class Integer:
    """y = clip(floor((x * mul + add + div / 2) / div)), mul and add for all or for each channel."""

    def __init__(self, net: Net) -> None:
        self.domain = net.pick(*DOMAINS)
        self.shift = net.integer(0, 16)

    def quantize(self, net: Net, x: Act) -> Act:
        rank, per_channel = len(x.shape), net.chance() and len(x.shape) > 1
        shape = (x.shape[1], *(1,) * (rank - 2)) if per_channel else (1,)
        mul = net.integers(shape, -(2**6) if net.chance(5) else 1, 2**6)
        add = net.integers(shape, -(2**self.shift) * 20, 2**self.shift * 20)
        levels, signed = net.pick(256, 16, 2, 100), int(net.chance())
        one = [] if net.chance() else [1]
        name = net.op(
            "RequantShift",
            x.name,
            net.constant(mul),
            net.constant(add),
            domain=self.domain,
            div=helper.make_tensor("div", TensorProto.FLOAT, [], [float(2**self.shift)]),
            n_levels_out=helper.make_tensor("n_levels_out", TensorProto.FLOAT, one, [float(levels)]),
            signed=helper.make_tensor("signed", TensorProto.FLOAT, one, [float(signed)]),
        )
        return Act(name, x.shape)

    def requantize_same(self, net: Net, x: Act, like: Act) -> Act:
        return x

    def weight(self, net: Net, shape: Shape, axis: int) -> tuple[str, NDArray[np.float64]]:
        largest = net.pick(7, 127, 1)
        return net.constant(net.integers(shape, -largest, largest)), np.array(1.0)

    def bias(self, net: Net, count: int, x: Act, scales: NDArray[np.float64]) -> str | None:
        return net.constant(net.integers((count,), -1000, 1000)) if net.chance() else None


@st.composite
def models(draw: Any) -> Case:
    net = Net(draw, "integer", (11, 17))
    net.exact = True
    dialect, shape, grid = Integer(net), net.input_shape(), net.pick(*GRIDS)
    low, high = GRIDS[grid]
    samples = net.rng().integers(low, high + 1, (SAMPLES, *shape[1:])).astype(np.float32)
    x = Act("input", shape)
    for _ in range(net.integer(1, 4)):
        x = block(net, dialect, x)
    if net.chance():
        x = layer(net, dialect, x)
    return net.finish(x, shape, samples, grid)


def block(net: Net, dialect: Integer, x: Act) -> Act:
    kind = net.pick("layer", "layer", "pool", "move", "residual", "requant")
    if kind == "pool" and len(x.shape) > 2:
        return pooled(net, dialect, x)
    if kind == "move":
        return move(net, x)
    if kind == "requant":
        return dialect.quantize(net, x)
    if kind == "residual":
        left = dialect.quantize(net, conv(net, dialect, x, keep=True) if len(x.shape) > 2 else x)
        return dialect.quantize(net, Act(net.op("Add", left.name, x.name), x.shape))
    return dialect.quantize(net, layer(net, dialect, x))
