"""QONNX, QDQ and integer quantizers in one graph; power-of-two scales only, so that fused and unfused forms agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from .layers import MEANS
from .net import Act, Case, Net, Shape
from .qdq import Qdq
from .qonnx import Qonnx
from .topology import body, head


class Mixed:
    """Draws the dialect anew for every quantizer and weight."""

    def __init__(self, net: Net) -> None:
        self.dialects = (Qonnx(net), Qdq(net))

    def quantize(self, net: Net, x: Act) -> Act:
        return net.pick(*self.dialects).quantize(net, x)

    def requantize_same(self, net: Net, x: Act, like: Act) -> Act:
        return self.dialects[int(like.dtype != np.float32)].requantize_same(net, x, like)

    def weight(self, net: Net, shape: Shape, axis: int) -> tuple[str, NDArray[np.float64]]:
        return net.pick(*self.dialects).weight(net, shape, axis)

    def bias(self, net: Net, count: int, x: Act, scales: NDArray[np.float64]) -> str | None:
        return self.dialects[int(x.dtype != np.float32)].bias(net, count, x, scales)


@st.composite
def models(draw: Any) -> Case:
    net = Net(draw, "mixed", (13, 21))
    net.exact = True
    dialect, shape = Mixed(net), net.input_shape()
    x = dialect.quantize(net, Act("input", shape))
    samples = net.float_samples(shape, x.scale, -20, 20)
    y, kind = head(net, dialect, body(net, dialect, x))
    net.exact = not any(node.op_type in MEANS for node in net.nodes)  # a fused mean multiplies by a rounded 1 / count
    return net.finish(y, shape, samples, None, kind)
