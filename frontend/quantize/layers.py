"""The integers of a layer: its weights on their grid, and its bias on the grid of its sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from lutwright.frontend.quantize.graph import Anything, FloatGraph, attributes
from lutwright.frontend.quantize.placement import Layer
from lutwright.frontend.quantize.scheme import Scheme, weight_scheme, with_room_for
from lutwright.frontend.quantize.settings import Settings


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """`weight` are integers of `scheme`; `float_bias` is one value a channel, zero where the layer has none."""

    place: Layer
    scheme: Scheme
    weight: NDArray[np.int64]
    float_bias: Anything
    groups: int
    x: Scheme

    @property
    def prefix(self) -> str:
        return str(self.place.node.output[0])

    @property
    def bias_scheme(self) -> Scheme:
        """Steps of x_scale * w_scale, as the sums have them, in 32 bits."""
        scale = np.asarray(self.x.scale * self.scheme.scale, np.float32)
        axis = 0 if self.scheme.axis is not None else None
        scale = np.tile(scale, self.groups) if axis == 0 else scale
        return Scheme(scale, 0, -(2**31), 2**31 - 1, 32, axis)

    def node(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The float node with this layer's own weight and bias tensors, named by `prefix`."""
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[list(node.input).index(self.place.weight)] = f"{self.prefix}::weight"
        if self.has_bias:
            del made.input[2:]
            made.input.append(f"{self.prefix}::bias")
        return made

    @property
    def has_bias(self) -> bool:
        return self.place.takes_bias and bool(self.place.bias is not None or self.float_bias.any())

    def bias(self) -> NDArray[np.int64]:
        return self.bias_scheme.levels(self.float_bias)

    def reals(self) -> dict[str, Anything]:
        """What the quantized tensors stand for, by the names that `node` uses."""
        weight = {f"{self.prefix}::weight": self.scheme.real(self.weight)}
        return weight | {f"{self.prefix}::bias": self.bias_scheme.real(self.bias())} if self.has_bias else weight


def quantized_layer(
    graph: FloatGraph, place: Layer, x: Scheme, settings: Settings, bias: Anything | None = None
) -> QuantizedLayer:
    """The layer on its grids; `bias` replaces the model's."""
    weight = graph.constants[place.weight]
    groups = attributes(place.node).get("group", 1) if place.node.op_type == "ConvTranspose" else 1
    axis = place.weight_axis if settings.per_channel else None
    search = settings.method == "mse"
    scheme = weight_scheme(weight, settings.weights, axis, settings.power_of_two, search)
    if bias is None:
        zeros = np.zeros(weight.shape[place.weight_axis] * groups)
        bias = graph.constants[place.bias] if place.bias is not None else zeros
    scheme = with_room_for(bias, scheme, float(x.scale), settings.power_of_two)
    return QuantizedLayer(place, scheme, scheme.levels(weight), np.asarray(bias), groups, x)
