"""Small QONNX networks, made at random from a seed, that use what exporters use.

The scales of activations and weights are powers of two (sometimes times small integers), so that the reference's
float32 sums are exact and its result does not depend on the processor; everything elementwise is arbitrary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

DOMAINS = ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"]
ROUNDING = ["ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]


class Network:
    """Builds an ONNX graph from a seed; `x` is the tensor at its end, `shape` that tensor's."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.opset = int(self.rng.integers(9, 22))
        self.domain = str(self.rng.choice(DOMAINS))
        self.count = 0

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def fresh(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = self.fresh()
        tensor = numpy_helper.from_array(np.asarray(array, dtype), name)
        if self.chance(0.3):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = self.fresh()
        name = f"{kind}_{output}" if self.chance(0.8) else ""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, domain=domain, **attributes))
        return output

    def quantizer(self, x: str, shape: tuple[int, ...], channel_axis: int | None, largest: int = 5) -> str:
        """Quant, BipolarQuant or MultiThreshold; `channel_axis` may get scales of its own."""
        scale_shape = (
            ()
            if channel_axis is None or self.chance()
            else tuple(size if axis == channel_axis else 1 for axis, size in enumerate(shape))
        )
        scale = 2.0 ** self.rng.integers(-3, 1, () if self.chance(0.7) else scale_shape)
        kind = self.rng.choice(["Quant", "Quant", "Quant", "BipolarQuant"])
        if kind == "BipolarQuant":
            return self.op("BipolarQuant", x, self.constant(scale), domain=self.domain)
        return self.quant(x, scale, int(self.rng.integers(1, largest)))

    def quant(self, x: str, scale: Any, bits: int, zero: int | None = None) -> str:
        if zero is None:
            zero = int(self.rng.integers(-2, 3)) if self.chance(0.3) else 0
        return self.op(
            str(self.rng.choice(["Quant", "IntQuant"])) if self.domain == "qonnx.custom_op.general" else "Quant",
            x,
            self.constant(scale),
            self.constant(zero, np.int64 if self.chance(0.3) else np.float32),
            self.constant(bits, np.int64 if self.chance(0.3) else np.float32),
            domain=self.domain,
            signed=int(self.chance()),
            narrow=int(self.chance()),
            rounding_mode=str(self.rng.choice(ROUNDING)),
        )

    def multi_threshold(self, x: str, channels: int, layout: str) -> str:
        rows = channels if self.chance(0.7) else 1
        thresholds = np.sort(self.rng.standard_normal((rows, int(self.rng.integers(1, 8)))) * 3, axis=1)
        if self.chance():
            thresholds = np.round(thresholds * 2) / 2
        return self.op(
            "MultiThreshold",
            x,
            self.constant(thresholds),
            domain=self.domain,
            out_dtype="FLOAT32",
            out_scale=float(self.rng.choice([1.0, 2.0, 0.5])),
            out_bias=float(self.rng.choice([0.0, -1.0, -4.0])),
            **({"data_layout": layout} if self.chance() else {}),
        )

    def weights(self, inner: int, outer: int, transposed: bool) -> str:
        """[inner, outer], or its transpose, from a weight quantizer or as integers."""
        shape = (outer, inner) if transposed else (inner, outer)
        axis = 0 if transposed else 1
        if self.chance(0.2):
            return self.constant(self.rng.integers(-3, 4, shape) * (0.25 if self.chance() else 1.0))
        values = self.constant(self.rng.standard_normal(shape))
        scale = 2.0 ** self.rng.integers(-3, 0, [size if i == axis else 1 for i, size in enumerate(shape)])
        if self.chance():
            return self.op("BipolarQuant", values, self.constant(scale.flat[0]), domain=self.domain)
        zero = 1 if self.chance(0.2) else 0
        return self.quant(values, scale if self.chance() else scale.flat[0], int(self.rng.integers(1, 5)), zero)

    def elementwise(self, x: str, channels: int, rank: int, batched: bool) -> str:
        """A few elementwise operators with arbitrary constants, per channel or not."""

        def array(spread: float = 2.0, offset: float = 0.0) -> NDArray[np.float64]:
            return self.rng.standard_normal(() if self.chance(0.3) else (channels,)) * spread + offset

        if batched and rank == 2 and self.chance(0.6):
            gamma, beta, mean = (self.constant(self.rng.standard_normal(channels) * 2) for _ in range(3))
            variance = self.constant(self.rng.random(channels) * 20)
            x = self.op("BatchNormalization", x, gamma, beta, mean, variance, epsilon=1e-5)
        for _ in range(int(self.rng.integers(0, 4))):
            kind = str(
                self.rng.choice(
                    [
                        "Mul",
                        "Add",
                        "Sub",
                        "Div",
                        "Relu",
                        "Neg",
                        "Clip",
                        "Sigmoid",
                        "Tanh",
                        "LeakyRelu",
                        "Abs",
                        "HardSigmoid",
                        "silu",
                        "rsub",
                        "Elu",
                        "Pow",
                        "Max",
                    ]
                )
            )
            if kind in ("Mul", "Add", "Sub"):
                x = self.op(kind, x, self.constant(array()))
            elif kind == "Div":
                x = self.op(kind, x, self.constant(array() + 3 * np.sign(array(1.0).sum() or 1.0)))
            elif kind == "rsub":
                x = self.op("Sub", self.constant(array()), x)
            elif kind == "Max":
                x = self.op("Max", x, self.constant(array()))
            elif kind == "Pow":
                x = self.op("Pow", x, self.constant(2.0))
            elif kind == "silu":
                x = self.op("Mul", x, self.op("Sigmoid", x))
            elif kind == "Clip":
                bounds = sorted(float(v) for v in self.rng.standard_normal(2) * 4)
                if self.opset < 11:
                    x = self.op("Clip", x, min=bounds[0], max=bounds[1])
                else:
                    x = self.op("Clip", x, *(self.constant(bound) for bound in bounds))
            else:
                x = self.op(kind, x)
        return x


def mlp(seed: int) -> tuple[onnx.ModelProto, str | None, NDArray[np.float32]]:
    """A random MLP, the grid that its input needs (None: it quantizes it itself), and samples."""
    net = Network(seed)
    rng = net.rng
    batch: Any = [1, "n", 3, None][int(rng.integers(4))]
    batched = batch is not None
    inner = [int(size) for size in rng.integers(1, 6, int(rng.integers(1, 3)) if batched else 1)]
    size = batch if isinstance(batch, int) else 1
    shape = ([size] if batched else []) + inner
    grid = str(rng.choice(["int4", "fixed<6,3>", "uint3"])) if net.chance(0.3) else None
    x = "input"
    channels = inner[-1]
    if grid is None:
        if net.chance():
            x = net.op("Sub", net.op("Mul", x, net.constant(2.0)), net.constant(0.75))
        x = net.quantizer(x, tuple(shape), None)
    if len(shape) == 3 and net.chance(0.7):
        if net.chance():
            x, shape = net.op("Transpose", x, perm=[0, 2, 1]), [shape[0], shape[2], shape[1]]
        kind = rng.choice(["Flatten", "Reshape"])
        channels = shape[1] * shape[2]
        if kind == "Flatten":
            x = net.op("Flatten", x, axis=1)
        else:
            x = net.op("Reshape", x, net.constant([[-1, channels], [0, -1]][int(rng.integers(2))], np.int64))
        shape = [shape[0], channels]
    channels = shape[-1]
    for layer in range(int(rng.integers(1, 4))):
        outer = int(rng.integers(1, 7))
        if layer:
            x = activation(net, x, shape, batched)
        if len(shape) == 2 and net.chance(0.4):
            turned = net.chance()
            inputs = [x, net.weights(channels, outer, turned)]
            if net.chance() or net.opset < 11:
                bias = net.constant(rng.standard_normal(outer))
                inputs.append(net.quant(bias, 2.0**-4, 6, 0) if net.chance() else bias)
            x = net.op("Gemm", *inputs, transB=int(turned), alpha=float(rng.choice([1.0, 0.5])))
        elif len(shape) == 2 and net.chance(0.2) and not batched:
            x = net.op("MatMul", net.weights(channels, outer, True), x)
        elif net.chance():
            x = net.op("MatMul", x, net.op("Transpose", net.weights(channels, outer, True), perm=[1, 0]))
        else:
            x = net.op("MatMul", x, net.weights(channels, outer, False))
        shape, channels = [*shape[:-1], outer], outer
    ending = str(rng.choice(["none", "none", "quantizer", "elementwise", "Softmax", "ArgMax", "TopK"]))
    kind = TensorProto.FLOAT
    if ending == "quantizer":
        x = activation(net, x, shape, batched)
    elif ending == "elementwise":
        x = net.elementwise(x, channels, len(shape), batched)
    elif ending == "Softmax":
        x = net.op("Softmax", x, axis=len(shape) - 1)
    elif ending == "ArgMax":
        x, kind = net.op("ArgMax", x, axis=len(shape) - 1, keepdims=int(net.chance())), TensorProto.INT64
    elif ending == "TopK":
        net.nodes.append(top_one(net, x))
        x, kind = "index", TensorProto.INT64
    model = helper.make_model(
        helper.make_graph(
            net.nodes,
            f"seed{seed}",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ([batch] if batched else []) + inner)],
            [helper.make_tensor_value_info(x, kind, None)],
            net.initializers,
        ),
        opset_imports=[helper.make_opsetid("", net.opset), helper.make_opsetid(net.domain, 1)],
        ir_version=8,
    )
    samples = rng.standard_normal((12, *inner)) * 2
    if grid is not None:
        step, low, high = {"int4": (1.0, -8, 7), "fixed<6,3>": (0.125, -32, 31), "uint3": (1.0, 0, 7)}[grid]
        samples = np.clip(np.round(samples * 3 / step), low, high) * step
    elif net.chance():
        samples = np.round(samples * 8) / 8
    return model, grid, samples.astype(np.float32)


def activation(net: Network, x: str, shape: list[int], batched: bool) -> str:
    x = net.elementwise(x, shape[-1], len(shape), batched)
    if batched and net.chance(0.3):
        layout = {2: "NC", 3: "NWC"}[len(shape)]
        return net.multi_threshold(x, shape[-1], layout)
    return net.quantizer(x, tuple(shape), len(shape) - 1)


def top_one(net: Network, x: str) -> onnx.NodeProto:
    if net.opset < 10:
        return helper.make_node("TopK", [x], ["value", "index"], k=1, axis=-1)
    return helper.make_node("TopK", [x, net.constant([1], np.int64)], ["value", "index"], axis=-1)
