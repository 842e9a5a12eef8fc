"""Bias correction: what quantization adds to a layer's output on average is taken from its bias.

Layers are corrected in order, each on inputs that quantized and already corrected layers give.
Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2, the
empirical form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx

from lutwright.errors import ModelError
from lutwright.frontend.onnx_import.executor import OperatorFailed, execute
from lutwright.frontend.quantize.data import Pieces
from lutwright.frontend.quantize.graph import Anything, FloatGraph
from lutwright.frontend.quantize.layers import QuantizedLayer
from lutwright.frontend.quantize.placement import Placement
from lutwright.frontend.quantize.scheme import Scheme

Values = dict[str, list[Anything]]


def corrected(
    graph: FloatGraph,
    placed: Placement,
    activations: Mapping[str, Scheme],
    layers: Mapping[str, QuantizedLayer],
    data: Pieces,
) -> dict[str, Anything]:
    """The bias of every layer that can have one, by the layer's output; float, one value a channel.

    Runs the float and the quantized network side by side, operator by operator, on all pieces at once.
    """
    exact: Values = {graph.source.input: list(data.arrays)}
    rough: Values = {graph.source.input: list(data.arrays)}
    left, biases = _uses(graph), dict[str, Anything]()
    last = list(placed.layers)[-1]

    def quantize(name: str) -> None:
        if name in placed.group and name not in placed.inherited:
            scheme = activations[placed.group[name]]
            rough[name] = [scheme.real(scheme.levels(part)) for part in rough[name]]

    quantize(graph.source.input)
    for node in graph.nodes:
        output = node.output[0]
        _run(graph, node, exact, graph.constants)
        if output in layers:
            layer, axis = layers[output], layers[output].place.output_axis
            _run(graph, layer.node(node), rough, dict(graph.constants) | layer.reals())
            if layer.place.takes_bias:
                error = _mean(exact[output], axis) - _mean(rough[output], axis)
                biases[output] = layer.float_bias + error
                rough[output] = [part + _along(error, axis, part.ndim) for part in rough[output]]
        else:
            _run(graph, node, rough, graph.constants)
        if output == last:
            break
        for name in filter(None, node.output):
            quantize(name)
        for name in filter(None, node.input):
            left[name] -= 1
            if not left[name] and name != graph.source.input:
                exact.pop(name, None), rough.pop(name, None)
    return biases


def _uses(graph: FloatGraph) -> dict[str, int]:
    """How often each tensor is taken."""
    return Counter(name for node in graph.nodes for name in node.input if name)


def _run(graph: FloatGraph, node: onnx.NodeProto, values: Values, constants: Mapping[str, Anything]) -> None:
    """Adds the node's outputs for every piece."""
    results = []
    for index in range(len(values[graph.source.input])):
        inputs = [_value(name, index, values, constants) for name in node.input]
        try:
            results.append(execute(node, inputs, graph.source.opset))
        except OperatorFailed as error:
            raise ModelError(
                f"bias correction must run every operator alone, but {node.op_type} '{node.name}' fails: {error}. "
                "Switch it off with --no-bias-correction"
            ) from error
    for name, parts in zip(node.output, zip(*results, strict=True), strict=False):
        if name:
            values[name] = list(parts)


def _value(name: str, index: int, values: Values, constants: Mapping[str, Anything]) -> Anything | None:
    if not name:
        return None
    return constants[name] if name in constants else values[name][index]


def _mean(parts: list[Anything], axis: int) -> Anything:
    """The mean for each index of the axis, over all samples and positions."""
    sums = sum(part.sum(axis=_others(part, axis), dtype=np.float64) for part in parts)
    return np.asarray(sums / sum(part.size // part.shape[axis] for part in parts))


def _others(part: Anything, axis: int) -> tuple[int, ...]:
    return tuple(index for index in range(part.ndim) if index != axis % part.ndim)


def _along(values: Anything, axis: int, rank: int) -> Anything:
    return values.reshape([-1 if index == axis % rank else 1 for index in range(rank)]).astype(np.float32)
