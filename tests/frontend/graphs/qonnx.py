"""QONNX: Quant with everything that it has, BipolarQuant, Trunc, MultiThreshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from .net import SAMPLES, Act, Case, Net, Shape
from .topology import body, head

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
ROUNDING = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")
GRIDS = {"int4": (1.0, -8, 7), "fixed<6,3>": (0.125, -32, 31), "uint3": (1.0, 0, 7)}


class Qonnx:
    """The dialect, in one of its three domains."""

    def __init__(self, net: Net) -> None:
        self.domain = net.pick(*DOMAINS)

    def quantize(self, net: Net, x: Act) -> Act:
        kind = net.pick("Quant", "Quant", "Quant", "Quant", "BipolarQuant", "MultiThreshold")
        if kind == "MultiThreshold" and len(x.shape) in (2, 4):
            return self.multi_threshold(net, x)
        rank = len(x.shape)
        per_channel = rank > 1 and net.chance(3)
        scales = net.scales(x.shape[1]).reshape(-1, *(1,) * (rank - 2)) if per_channel else net.scale()
        if kind == "BipolarQuant":
            return Act(net.op("BipolarQuant", x.name, net.constant(scales), domain=self.domain), x.shape)
        bits = net.integer(1, 8)
        y = self.quant(net, x.name, scales, bits, net.integer(-3, 3) if net.chance(4) else 0)
        if net.chance(6) and bits > 1 and not per_channel:
            y = self.trunc(net, y, scales, bits)
        return Act(y, x.shape)

    def quant(self, net: Net, x: str, scale: Any, bits: int, zero: int = 0, whole: bool = False) -> str:
        """`whole`: every integer of the bits, for weights that are on the grid already."""
        arguments = [net.constant(scale), net.constant(float(zero)), net.constant(float(bits))]
        kind = net.pick("Quant", "IntQuant") if self.domain == DOMAINS[0] else "Quant"
        return str(
            net.op(
                kind,
                x,
                *arguments,
                domain=self.domain,
                signed=1 if whole else int(net.chance()),
                narrow=0 if whole else int(net.chance()),
                rounding_mode=net.pick(*ROUNDING),
            )
        )

    def trunc(self, net: Net, x: str, scale: Any, bits: int) -> str:
        left = net.integer(1, bits)
        arguments = [net.constant(value) for value in (scale, 0.0, float(bits), float(left))]
        return str(net.op("Trunc", x, *arguments, domain=self.domain, rounding_mode=net.pick("FLOOR", "ROUND", "CEIL")))

    def multi_threshold(self, net: Net, x: Act) -> Act:
        rows = x.shape[1] if net.chance() else 1
        thresholds = np.sort(net.reals((rows, net.integer(1, 15)), 2.0), axis=1)
        name = net.op(
            "MultiThreshold",
            x.name,
            net.constant(thresholds),
            domain=self.domain,
            out_dtype="FLOAT32",
            out_scale=net.scale(),
            out_bias=float(net.pick(0.0, -1.0, -4.0)) * (1.0 if net.exact else 0.3),
        )
        return Act(name, x.shape)

    def requantize_same(self, net: Net, x: Act, like: Act) -> Act:
        return x

    def weight(self, net: Net, shape: Shape, axis: int) -> tuple[str, NDArray[np.float64]]:
        bits = net.integer(1, 8)
        channels = tuple(size if index == axis else 1 for index, size in enumerate(shape))
        scales = net.scales(shape[axis]).reshape(channels) if net.chance() else np.array(net.scale(), np.float32)
        scales = net.fitting(scales, 2 ** (bits - 1), math.prod(shape) // shape[axis])
        if net.chance(5):  # integers as they are
            return net.constant(net.integers(shape, -3, 3)), np.array(1.0)
        values = net.constant(net.rng().standard_normal(shape))
        if net.chance(4):
            return net.op("BipolarQuant", values, net.constant(scales.flat[0]), domain=self.domain), np.array(1.0)
        if net.chance():
            on_grid = net.constant(net.integers(shape, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scales)
            return self.quant(net, on_grid, scales, bits, whole=True), scales.astype(np.float64)
        return self.quant(net, values, scales, bits, net.pick(0, 0, 0, 1)), scales.astype(np.float64)

    def bias(self, net: Net, count: int, x: Act, scales: NDArray[np.float64]) -> str | None:
        kind = net.pick("none", "float", "quantized")
        if kind == "none":
            return None
        values = net.constant(net.reals((count,)))
        return values if kind == "float" else self.quant(net, values, net.scale(), 6)


def embedded(net: Net, dialect: Qonnx, x: Act) -> Act:
    """A row of a quantized table for each index."""
    size = net.integer(1, 4)
    table, _ = dialect.weight(net, (8, size), 1)
    return Act(net.op("Gather", table, x.name, axis=0), (*x.shape, size))


@st.composite
def models(draw: Any) -> Case:
    net = Net(draw, "qonnx", (11, 21))
    dialect, shape = Qonnx(net), net.input_shape()
    x = Act("input", shape)
    grid = net.pick(None, None, None, *GRIDS)
    if grid is None:
        scale, bits = net.scale(), net.integer(1, 8)
        x = Act(dialect.quant(net, "input", scale, bits, net.pick(0, 0, 1)), shape)
        samples = net.float_samples(shape, scale, -(2 ** (bits - 1)), 2**bits)
    else:
        step, low, high = GRIDS[grid]
        samples = (net.rng().integers(low, high + 1, (SAMPLES, *shape[1:])) * step).astype(np.float32)
    if grid == "uint3" and len(shape) == 2 and net.chance():
        samples, x = samples.astype(np.int64), embedded(net, dialect, x)
    y, kind = head(net, dialect, body(net, dialect, x))
    return net.finish(y, shape, samples, grid, kind)
