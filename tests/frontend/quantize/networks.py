"""Small float networks with random weights, one an operator, that quantization has to carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Net:
    """Adds operators to a graph whose input 'x' has a symbolic batch and the sample shape `shape`."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape, self.rng = shape, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], f"{kind}_{output}", **attributes))
        return output

    def conv(self, x: str, outer: int, inner: int, size: int = 3, **attributes: Any) -> str:
        settings = {"kernel_shape": [size, size], "pads": [size // 2] * 4} | attributes
        groups, spatial = settings.get("group", 1), settings["kernel_shape"]
        weight = self.weights(outer, inner // groups, *spatial)
        return self.op("Conv", x, weight, self.weights(outer), **settings)

    def normalization(self, x: str, channels: int) -> str:
        parts = (self.rng.normal(1, 0.3, channels), self.rng.normal(size=channels), self.rng.normal(size=channels))
        return self.op("BatchNormalization", x, *map(self.constant, (*parts, self.rng.uniform(0.5, 2, channels))))

    def dense(self, x: str, outer: int, inner: int) -> str:
        return self.op("Gemm", x, self.weights(outer, inner), self.weights(outer), transB=1)

    def model(self, output: str, batch: int | str = "n") -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *self.shape])]
        graph = helper.make_graph(
            self.nodes, "g", ends, [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)

    def samples(self, count: int = 12) -> NDArray[np.float32]:
        return np.random.default_rng(1).normal(size=(count, *self.shape)).astype(np.float32)


IMAGE = (3, 8, 8)
Build = Callable[[Net], str]


@dataclass(frozen=True)
class Case:
    """A network: what it is called, the shape of a sample, and what adds its operators and names its output."""

    name: str
    shape: tuple[int, ...]
    build: Build

    def save(self, folder: Path) -> tuple[Path, NDArray[np.float32]]:
        """The model's file, and samples for it."""
        net = Net(self.shape)
        path = folder / f"{self.name}.onnx"
        onnx.save(net.model(self.build(net)), path)
        return path, net.samples()


def _after_conv(add: Callable[[Net, str], str]) -> Build:
    """Conv, the operators of `add` on 4 channels, and a Conv."""
    return lambda n: n.op("Relu", n.conv(add(n, n.conv("x", 4, 3)), 2, 4))


def _function(kind: str, **attributes: Any) -> Case:
    return Case(kind.lower(), IMAGE, _after_conv(lambda n, x: n.op(kind, x, **attributes)))


def _head(kind: str, **attributes: Any) -> Case:
    """Conv, a pool over the whole image, and a dense layer."""
    return Case(
        kind.lower(), IMAGE,
        lambda n: n.op("Softmax", n.dense(n.op("Flatten", n.op(
            kind, n.op("Relu", n.conv("x", 4, 3)), **attributes)), 5, 4)),
    )  # fmt: skip


def _residual(n: Net) -> str:
    x = n.op("Relu", n.conv("x", 4, 3))
    return n.conv(n.op("Relu", n.op("Add", x, n.conv(x, 4, 4))), 2, 4)


def _excitation(n: Net) -> str:
    x = n.op("Relu", n.conv("x", 4, 3))
    gate = n.op("Sigmoid", n.conv(n.op("GlobalAveragePool", x), 4, 4, 1))
    return n.conv(n.op("Mul", x, gate), 2, 4)


def _concat(n: Net) -> str:
    x = n.op("Relu", n.conv("x", 4, 3))
    return n.conv(n.op("Concat", x, n.op("Relu", n.conv(x, 3, 4)), axis=1), 2, 7)


def _split(n: Net) -> str:
    left = n.op("Split", n.op("Relu", n.conv("x", 6, 3)), n.constant([2, 4], np.int64), axis=1)
    n.nodes[-1].output.append("right")
    return n.op("Relu", n.op("Add", n.conv(left, 3, 2), n.conv("right", 3, 4)))


def _swish(n: Net) -> str:
    x = n.conv("x", 4, 3)
    x = n.conv(n.op("Mul", x, n.op("Sigmoid", x)), 4, 4)
    gate = n.op("Clip", n.op("Add", x, n.constant(3.0)), n.constant(0.0), n.constant(6.0))
    return n.conv(n.op("Div", n.op("Mul", x, gate), n.constant(6.0)), 2, 4)


def _transposed(groups: int) -> Build:
    def build(n: Net) -> str:
        weight, bias = n.weights(4, 6 // groups, 2, 2), n.weights(6)
        x = n.op("ConvTranspose", n.op("Relu", n.conv("x", 4, 3)), weight, bias, strides=[2, 2], group=groups)
        return n.conv(n.op("Relu", n.normalization(x, 6)), 2, 6)

    return build


def _shapes(n: Net) -> str:
    x = n.op("Transpose", n.op("Relu", n.conv("x", 4, 3)), perm=[0, 2, 3, 1])
    x = n.op("Squeeze", n.op("Unsqueeze", x, n.constant([1], np.int64)), n.constant([1], np.int64))
    x = n.op("Slice", x, *(n.constant([value], np.int64) for value in (1, 7, 1)))
    return n.dense(n.op("Reshape", x, n.constant([-1, 6 * 8 * 4], np.int64)), 5, 192)


def _matmul_left(n: Net) -> str:
    return n.op("Tanh", n.op("MatMul", n.weights(5, 6), n.op("Relu", n.op("MatMul", "x", n.weights(7, 4)))))


CASES = [
    Case("conv", IMAGE, lambda n: n.conv(n.op("Relu", n.conv("x", 4, 3)), 2, 4)),
    Case("conv_strided", IMAGE, _after_conv(lambda n, x: n.conv(x, 4, 4, strides=[2, 2], pads=[0, 1, 1, 2]))),
    Case("conv_dilated", IMAGE, _after_conv(lambda n, x: n.conv(x, 4, 4, dilations=[2, 2]))),
    Case("conv_depthwise", IMAGE, _after_conv(lambda n, x: n.conv(n.op("Relu", x), 4, 4, group=4))),
    Case("conv_grouped", IMAGE, _after_conv(lambda n, x: n.conv(n.op("Relu", x), 4, 4, group=2))),
    Case("conv_1d", (3, 16), lambda n: n.conv(
        n.op("Relu", n.conv("x", 4, 3, kernel_shape=[3], pads=[1, 1])), 2, 4, kernel_shape=[5], pads=[2, 2])),
    Case("conv_transposed", IMAGE, _transposed(1)),
    Case("conv_transposed_grouped", IMAGE, _transposed(2)),
    Case("normalization_after_conv", IMAGE, _after_conv(lambda n, x: n.op("Relu", n.normalization(x, 4)))),
    Case("normalization_first", IMAGE, _after_conv(lambda n, x: n.op("Relu", n.normalization(n.op(
        "MaxPool", x, kernel_shape=[2, 2]), 4)))),
    Case("gemm", (12,), lambda n: n.dense(n.op("Relu", n.normalization(n.dense("x", 9, 12), 9)), 5, 9)),
    Case("gemm_alpha_beta", (12,), lambda n: n.dense(n.op("Relu", n.op(
        "Gemm", "x", n.weights(12, 9), n.weights(1, 9), alpha=0.5, beta=2.0)), 5, 9)),
    Case("matmul", (12,), lambda n: n.op("MatMul", n.op("Relu", n.op("Add", n.op(
        "MatMul", "x", n.weights(12, 9)), n.weights(9))), n.weights(9, 5))),
    Case("matmul_3d", (6, 12), lambda n: n.op("MatMul", n.op("Relu", n.op(
        "MatMul", "x", n.weights(12, 9))), n.weights(9, 5))),
    Case("matmul_left", (6, 7), _matmul_left),
    Case("residual", IMAGE, _residual),
    Case("excitation", IMAGE, _excitation),
    Case("swish", IMAGE, _swish),
    Case("concat", IMAGE, _concat),
    Case("split", IMAGE, _split),
    Case("pool_then_relu", IMAGE, _after_conv(lambda n, x: n.op("Relu", n.op("MaxPool", x, kernel_shape=[2, 2])))),
    Case("averagepool", IMAGE, _after_conv(lambda n, x: n.op("AveragePool", n.op("Relu", x), kernel_shape=[2, 2]))),
    Case("relu6", IMAGE, _after_conv(lambda n, x: n.op("Clip", x, n.constant(0.0), n.constant(0.5)))),
    Case("pad", IMAGE, _after_conv(lambda n, x: n.op("Pad", n.op("Relu", x), n.constant(
        [0, 0, 1, 1, 0, 0, 2, 2], np.int64)))),
    Case("resize", IMAGE, _after_conv(lambda n, x: n.op(
        "Resize", n.op("Relu", x), "", n.constant([1, 1, 2, 2]), mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor"))),
    Case("shapes", IMAGE, _shapes),
    Case("first_scaled", IMAGE, lambda n: n.conv(
        n.op("Div", n.op("Sub", "x", n.constant(0.2)), n.constant(0.3)), 2, 3)),
    _head("GlobalAveragePool"), _head("ReduceMean", axes=[2, 3]),
    _function("LeakyRelu", alpha=0.1), _function("Sigmoid"), _function("Tanh"), _function("HardSigmoid"),
    _function("HardSwish"),
]  # fmt: skip
