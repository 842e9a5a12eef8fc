"""The two networks of `versus_nngen`: int8 layers with fixed seeds, their QONNX file, and their file for NNgen.

Every scale is a power of two, and ties round away from zero as NNgen rounds, so that a layer is
`clip(round(sum / 2^shift), -128, 127)` in both tools, to the last bit. Tensors are channel last here, as both tools
hold them; the ONNX file is channel first, as ONNX has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Ints = NDArray[np.int64]

ACTIVATION = 2.0**-7  # the scale of every activation
QONNX = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Layer:
    """int8 weights [out, in], or [out, height, width, in] for a convolution of the same size, biases [out].

    `pool`: the side of the windows of a max pool after it, 1 for none.
    """

    weight: Ints
    bias: Ints
    shift: int
    relu: bool
    pool: int = 1

    @property
    def conv(self) -> bool:
        return self.weight.ndim == 4


@dataclass(frozen=True)
class Net:
    """`shape`: of an input, channel last; `parallel`: in how many channels in and out at a time NNgen builds it.

    The convolution's memories grow with the channels, past what Yosys maps in ten minutes at 4.
    """

    name: str
    shape: tuple[int, ...]
    parallel: Sequence[int]
    layers: Sequence[Layer]


def layer(seed: int, shape: tuple[int, ...], shift: int, *, relu: bool = True, pool: int = 1) -> Layer:
    """Uniform weights; a shift of about half the bits of a sum keeps the activations busy and seldom saturated."""
    rng = np.random.default_rng(seed)
    return Layer(rng.integers(-127, 128, shape), rng.integers(-2000, 2001, shape[0]), shift, relu, pool)


def networks() -> tuple[Net, ...]:
    mlp = Net(
        "MLP 16-64-32-32-5",
        (16,),
        (1, 4),
        (
            layer(0, (64, 16), 9),
            layer(1, (32, 64), 9),
            layer(2, (32, 32), 9),
            layer(3, (5, 32), 9, relu=False),
        ),
    )
    conv = Net(
        "8x8, conv 3x3x8, pool, dense 10",
        (8, 8, 1),
        (1,),
        (layer(4, (8, 3, 3, 1), 9, pool=2), layer(5, (10, 128), 11, relu=False)),
    )
    return mlp, conv


def frames(net: Net, count: int) -> Ints:
    """Inputs [count, *shape], all of int8's values."""
    return np.random.default_rng(6).integers(-128, 128, (count, *net.shape))


def samples(net: Net, count: int) -> NDArray[np.float32]:
    """The same as the ONNX file takes them: channel first, in real values."""
    last = frames(net, count)
    first = np.moveaxis(last, -1, 1) if last.ndim > 2 else last
    return (first * ACTIVATION).astype(np.float32)


def write_peer(net: Net, count: int, path: Path) -> None:
    """The network and `count` frames for `versus_nngen_peer`, which knows no ONNX."""
    facts = [{"shift": given.shift, "relu": given.relu, "pool": given.pool} for given in net.layers]
    arrays = {"frames": frames(net, count), "layers": np.array(json.dumps(facts))}
    for index, given in enumerate(net.layers):
        arrays |= {f"weight{index}": given.weight, f"bias{index}": given.bias}
    np.savez(path, **arrays)


class _Writer:
    """Collects the nodes and constants of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | float) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def op(self, kind: str, inputs: Sequence[str], name: str, domain: str = "", **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name, domain=domain, **attributes))
        return name

    def quantized(self, source: str, name: str, scale: float, bits: int = 8) -> str:
        numbers = {"scale": scale, "zero": 0.0, "bits": float(bits)}
        given = [self.constant(f"{name}_{what}", value) for what, value in numbers.items()]
        return self.op("Quant", [source, *given], name, QONNX, signed=1, narrow=0, rounding_mode="HALF_UP")


def write_onnx(net: Net, path: Path) -> None:
    """A QONNX file: 8-bit weights and activations, one scale a tensor."""
    made = _Writer()
    *plane, channels = net.shape
    flat = not plane
    h = made.quantized("x", "x_quantized", ACTIVATION)
    for index, given in enumerate(net.layers):
        weight, step = given.weight, 2.0**-given.shift
        if given.conv:
            weight = weight.transpose(0, 3, 1, 2)
        elif not flat:
            h = made.op("Flatten", [h], f"flat{index}")
            weight = weight.reshape(-1, *plane, channels).transpose(0, 3, 1, 2).reshape(len(weight), -1)
            flat = True
        w = made.quantized(made.constant(f"w{index}_real", weight * step), f"w{index}", step)
        b = made.constant(f"b{index}", given.bias * step * ACTIVATION)
        if given.conv:
            height, width = weight.shape[2:]
            pads = [height // 2, width // 2, height // 2, width // 2]
            h = made.op("Conv", [h, w, b], f"layer{index}", pads=pads)
        else:
            h = made.op("Gemm", [h, w, b], f"layer{index}", transB=1)
        h = made.op("Relu", [h], f"relu{index}") if given.relu else h
        h = made.quantized(h, f"y{index}", ACTIVATION)
        if given.pool > 1:
            sides = [given.pool, given.pool]
            h = made.op("MaxPool", [h], f"pool{index}", kernel_shape=sides, strides=sides)
            plane = [size // given.pool for size in plane]
        channels = len(weight)
    kind = TensorProto.FLOAT
    x = helper.make_tensor_value_info("x", kind, [1, *net.shape[-1:], *net.shape[:-1]])
    y = helper.make_tensor_value_info(h, kind, [1, channels])
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid(QONNX, 1)]
    graph = helper.make_graph(made.nodes, "network", [x], [y], made.constants)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
