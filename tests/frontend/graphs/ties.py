"""Float32 ties: shown by recomputing a quantizer's argument in float64 from the reference's own quantized tensors.

The reference sums in float32, in an order of its own. An element is a tie if the quantizer, run by the reference on the
float64 argument moved down and up by a few float32 ulps of the largest value on the way, gives both results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lutwright.testbenches.reference import contexts, prepared

from .exact import run_node
from .net import Case
from .reference import Values, session_run

ULPS = 4 * 2.0**-23
QONNX = {"Quant", "IntQuant", "BipolarQuant", "MultiThreshold", "Trunc"}
AFTER = {"Clip", "DequantizeLinear"}  # between a QuantizeLinear and what it stands for


@dataclass(frozen=True)
class Tie:
    """A quantizer's argument in float64, how far float32 may be off, and the quantizer's results at both ends; for a
    float output its value in float64 and the two values."""

    argument: float
    margin: float
    below: float
    above: float

    def __str__(self) -> str:
        return f"float32 tie: {self.argument!r} +- {self.margin:.2g} quantizes to {self.below:g} or {self.above:g}"


class Ties:
    """The ties of one case; `values` are the reference's."""

    def __init__(self, case: Case, values: Values) -> None:
        self.case, self.values = case, values
        self.opset = next(entry.version for entry in case.model.opset_import if entry.domain == "")
        initializers = {item.name for item in case.model.graph.initializer}
        (self.input,) = [item.name for item in case.model.graph.input if item.name not in initializers]
        self.makers = {name: node for node in case.model.graph.node for name in node.output}
        self.constants = {item.name: numpy_helper.to_array(item) for item in case.model.graph.initializer}

    def explain(self, tensor: str, sample: int, index: tuple[int, ...], ours: float, theirs: float) -> Tie | None:
        """The tie that makes both values possible for that element of a quantized tensor; None if there is none."""
        chain = [self.makers[tensor]]
        if chain[0].op_type == "QLinearAveragePool":
            return self.mean(chain[0], sample, index, ours, theirs)
        while chain[0].op_type in AFTER and chain[0].input[0] in self.makers:
            chain.insert(0, self.makers[chain[0].input[0]])
        if not quantizes(chain[0]):
            return None
        memo: dict[str, NDArray[Any]] = {}
        if not self.known(chain[0].input[0]):
            return None
        argument = self.float64(chain[0].input[0], sample, memo)
        margin = ULPS * self.largest(memo)
        ends = [self.quantized(chain, tensor, argument + sign * margin).ravel() for sign in (-1, 1)]
        place = int(np.ravel_multi_index(index, argument.shape[1:] if len(index) < argument.ndim else argument.shape))
        below, above = sorted(float(end[place]) for end in ends)
        if not below - 1e-6 <= min(ours, theirs) <= max(ours, theirs) <= above + 1e-6:
            return None
        return Tie(float(argument.ravel()[place]), margin, below, above)

    def mean(self, node: onnx.NodeProto, sample: int, index: tuple[int, ...], ours: float, theirs: float) -> Tie | None:
        """QLinearAveragePool: onnxruntime adds the window's reals in float32."""
        if not self.known(node.input[0]):
            return None
        q = self.float64(node.input[0], sample, {})
        x_scale, x_zero, y_scale, y_zero = (float(self.constants[name]) for name in node.input[1:5])
        pool = onnx.helper.make_node("AveragePool", ["x"], ["y"])
        pool.attribute.extend(node.attribute)
        real = (q - x_zero) * x_scale
        (y,) = run_node(pool, [real], self.opset)
        argument = float(y.ravel()[np.ravel_multi_index(index, y.shape[1:])]) / y_scale + y_zero
        margin = ULPS * max(float(np.abs(real).max()) / y_scale, abs(y_zero))
        ends = np.rint(np.array([argument - margin, argument + margin]))
        info = np.iinfo(self.constants[node.input[4]].dtype)
        below, above = (float(end) for end in np.clip(ends, info.min, info.max))
        if not below <= min(ours, theirs) <= max(ours, theirs) <= above:
            return None
        return Tie(argument, margin, below, above)

    def rounding(
        self, output: str, sample: int, index: tuple[int, ...], ours: NDArray[Any], theirs: NDArray[Any]
    ) -> Tie | None:
        """For a float output: whether both lie around the float64 value, by no more than float32 sums may be off."""
        if not self.known(output):
            return None
        memo: dict[str, NDArray[Any]] = {}
        exact = self.float64(output, sample, memo).ravel()
        margin = ULPS * self.largest(memo)
        off = np.maximum(np.abs(exact - ours.ravel()), np.abs(exact - theirs.ravel()))
        if not (off <= margin).all():
            return None
        place = int(np.ravel_multi_index(index, ours.shape[1:]))
        return Tie(float(exact[place]), margin, float(theirs.ravel()[place]), float(ours.ravel()[place]))

    def known(self, name: str) -> bool:
        """Whether the reference gave the quantized tensors that this one is computed from."""
        node = self.makers.get(name)
        if node is None or name in self.values:
            return True
        constant = all(item in self.constants for item in node.input)
        return (constant or not quantizes(node)) and all(self.known(item) for item in node.input if item)

    def largest(self, values: dict[str, NDArray[Any]]) -> float:
        """The largest real among them; integers of QuantizeLinear are none."""
        integers = {name for name in values if name in self.makers and self.makers[name].op_type == "QuantizeLinear"}
        reals = [value for name, value in values.items() if value.dtype.kind == "f" and name not in integers]
        return float(max(np.abs(value).max(initial=0) for value in reals))

    def float64(self, name: str, sample: int, memo: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """The tensor for one sample, from the nearest quantized tensors."""
        if name not in memo:
            memo[name] = self._float64(name, sample, memo)
        return memo[name]

    def _float64(self, name: str, sample: int, memo: dict[str, NDArray[Any]]) -> NDArray[Any]:
        if name == self.input:
            return self.case.samples[sample : sample + 1].astype(np.float64)
        if name in self.constants:
            array = self.constants[name]
            return array.astype(np.float64) if array.dtype.kind == "f" and array.size else array
        node = self.makers[name]
        if quantizes(node):
            if all(item in self.constants for item in node.input):
                return self.quantized([node], name, self.constants[node.input[0]])
            return self.values[name][sample : sample + 1].astype(np.float64)
        inputs = [self.float64(item, sample, memo) if item else None for item in node.input]
        if node.op_type == "DequantizeLinear":
            return dequantized(node, *inputs)
        return run_node(node, inputs, self.opset)[0]

    def quantized(self, chain: list[onnx.NodeProto], tensor: str, argument: NDArray[Any]) -> NDArray[Any]:
        """The quantizer and what belongs to it, run by the reference on float32."""
        x = argument.astype(np.float32)
        given = [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, x.shape)]
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in chain]
        nodes[0].input[0] = "input"
        model = onnx.ModelProto.FromString(self.case.model.SerializeToString())
        del model.graph.node[:], model.graph.input[:], model.graph.output[:], model.graph.value_info[:]
        model.graph.node.extend(nodes)
        model.graph.input.extend(given)
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
        if nodes[0].op_type == "QuantizeLinear":
            return np.asarray(session_run(model, optimize=False)(x)[tensor], np.float64)
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        return np.asarray(contexts(prepared(model), x)[tensor], np.float64)


def quantizes(node: onnx.NodeProto) -> bool:
    return node.op_type in QONNX or node.op_type == "QuantizeLinear" or node.op_type.startswith(("QLinear", "QGemm"))


def dequantized(node: onnx.NodeProto, q: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None = None) -> Any:
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    column = [-1 if index == axis and scale.size > 1 else 1 for index in range(q.ndim)] if scale.ndim else ()
    offset = 0 if zero is None else zero.astype(np.float64).reshape(column)
    return (q.astype(np.float64) - offset) * scale.astype(np.float64).reshape(column)
