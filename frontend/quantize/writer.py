"""Writes the quantized network; what a quantizer looks like is the dialect's affair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend.quantize.graph import Anything, FloatGraph, write
from lutwright.frontend.quantize.layers import QuantizedLayer
from lutwright.frontend.quantize.placement import Placement
from lutwright.frontend.quantize.scheme import Scheme


class Writer(ABC):
    """One use each: `written` gives the model. `repeats`: tensors that only pass on values get quantizers too."""

    domains: tuple[str, ...]
    repeats: bool

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Anything] = {}

    @abstractmethod
    def quantizer(self, x: str, name: str, scheme: Scheme, output: str) -> None:
        """Adds the quantizer of tensor x, whose tensors start with `name`, and whose result is called `output`."""

    @abstractmethod
    def layer(self, layer: QuantizedLayer) -> None:
        """Adds the layer's weight and bias, under the names that `layer.node` takes."""

    def constant(self, name: str, array: Anything) -> str:
        self.constants[name] = array
        return name

    def op(self, kind: str, inputs: list[str], output: str) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output))
        return output

    def written(
        self,
        graph: FloatGraph,
        placed: Placement,
        activations: Mapping[str, Scheme],
        layers: Mapping[str, QuantizedLayer],
    ) -> onnx.ModelProto:
        """The whole model, with the float model's inputs and outputs."""
        self.constants |= graph.constants
        absorbed = _absorbed(graph, placed, activations)
        standing: dict[str, str] = {}

        def quantized(name: str) -> bool:
            return name in placed.group and (self.repeats or name not in placed.inherited)

        def quantize(name: str, x: str) -> None:
            if quantized(name):
                standing[name] = name if name in graph.source.outputs else f"{name}::dequantized"
                self.quantizer(x, name, activations[placed.group[name]], standing[name])

        quantize(graph.source.input, graph.source.input)
        for node in graph.nodes:
            output = node.output[0]
            if output in absorbed:
                quantize(output, node.input[0])
                continue
            if output in layers:
                self.layer(layers[output])
                node = layers[output].node(node)
            made = onnx.NodeProto()
            made.CopyFrom(node)
            made.input[:] = [standing.get(name, name) for name in node.input]
            self.nodes.append(made)
            for place, name in enumerate(node.output):
                if quantized(name) and name in graph.source.outputs:  # which then is what the quantizer gives
                    made.output[place] = f"{name}::float"
                quantize(name, made.output[place])
        return write(graph, self.nodes, self.constants, domains=self.domains)


def _absorbed(graph: FloatGraph, placed: Placement, activations: Mapping[str, Scheme]) -> set[str]:
    """The outputs of Relu and Clip whose work the quantizer behind them does: its own ends are within theirs."""
    users, found = graph.users(), set()
    for node in graph.nodes:
        output = node.output[0]
        if node.op_type not in ("Relu", "Clip") or output not in placed.group:
            continue
        if node.input[0] in placed.group or graph.only_user(node.input[0], users) is None:
            continue
        ends = [graph.constants[name] if name else None for name in node.input[1:]] if node.op_type == "Clip" else [0.0]
        low, high = (*ends, None, None)[:2]
        scheme = activations[placed.group[output]]
        if (low is None or scheme.levels(np.asarray(low)) == scheme.lo) and (
            high is None or scheme.levels(np.asarray(high)) == scheme.hi
        ):
            found.add(output)
    return found
