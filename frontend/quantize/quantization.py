"""Post-training quantization from a model file and samples to a quantized model and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lutwright.errors import Refusal
from lutwright.frontend.onnx_import.source import read
from lutwright.frontend.quantize.calibrate import activation_schemes
from lutwright.frontend.quantize.correct import corrected
from lutwright.frontend.quantize.data import pieces
from lutwright.frontend.quantize.evaluate import evaluate
from lutwright.frontend.quantize.graph import Anything
from lutwright.frontend.quantize.layers import QuantizedLayer, quantized_layer
from lutwright.frontend.quantize.placement import Placement, place
from lutwright.frontend.quantize.prepare import prepare, read_float
from lutwright.frontend.quantize.qdq import QdqWriter
from lutwright.frontend.quantize.qonnx import QonnxWriter
from lutwright.frontend.quantize.scheme import Scheme
from lutwright.frontend.quantize.settings import Settings

WRITERS = {"qdq": QdqWriter, "qonnx": QonnxWriter}
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Quantization:
    """`model` is the quantized ONNX model. `activations` are schemes by tensor, `layers` by the tensor they make.

    `not_quantized` are nodes that stay float inside or around the network, `host` those before its first and after
    its last quantized operator."""

    model: onnx.ModelProto
    activations: Mapping[str, Scheme]
    layers: Mapping[str, QuantizedLayer]
    corrected: frozenset[str]
    not_quantized: tuple[Refusal, ...]
    host: tuple[onnx.NodeProto, ...]

    def facts(self) -> Facts:
        """Plain objects: a row a layer, a row a quantized tensor, and what stays float."""
        return {
            "layers": [self._layer(layer) for layer in self.layers.values()],
            "activations": [
                {
                    "tensor": name, "bits": scheme.bits, "signed": scheme.signed, "zero_point": scheme.zero_point,
                    "scale": float(scheme.scale), "lowest": float(scheme.real(np.asarray(scheme.lo))),
                    "highest": float(scheme.real(np.asarray(scheme.hi))),
                }
                for name, scheme in self.activations.items()
            ],
            "not_quantized": [
                {"node": item.node, "operator": item.operator, "reason": item.reason, "fix": item.fix}
                for item in self.not_quantized
            ],
            "host": [{"node": node.name, "operator": node.op_type} for node in self.host],
        }  # fmt: skip

    def _layer(self, layer: QuantizedLayer) -> Facts:
        scales = layer.scheme.scale
        return {
            "node": layer.place.name,
            "operator": layer.place.node.op_type,
            "weights": list(layer.weight.shape),
            "bits": layer.scheme.bits,
            "scales": int(scales.size),
            "scale": [float(scales.min()), float(scales.max())],
            "input": layer.place.x,
            "bias_corrected": layer.prefix in self.corrected,
        }


def quantize(
    path: str | Path, inputs: Anything, settings: Settings, progress: Callable[..., None] = lambda *_: None
) -> Quantization:
    """Quantizes the float model in the file for samples like `inputs` [n, *shape], in the model's own input domain.

    ModelError if the model cannot be quantized at all, DataError if the samples are not the model's.
    """
    source = read_float(path)
    data = pieces(source, inputs)
    progress("optimize the float model")
    graph = prepare(source)
    placed = place(graph)
    progress(f"calibrate on {data.count} samples")
    activations = activation_schemes(graph, placed, data, settings)
    layers = {
        name: quantized_layer(graph, layer, _scheme(placed, activations, layer.x), settings)
        for name, layer in placed.layers.items()
    }
    biases: Mapping[str, Anything] = {}
    if settings.bias_correction:
        progress("correct biases")
        biases = corrected(graph, placed, activations, layers, data)
        layers |= {
            name: quantized_layer(graph, layers[name].place, layers[name].x, settings, bias)
            for name, bias in biases.items()
        }
    progress("write")
    model = WRITERS[settings.format]().written(graph, placed, activations, layers)
    onnx.checker.check_model(model)
    tensors = [name for name in placed.group if name not in placed.inherited]
    by_tensor = {name: activations[placed.group[name]] for name in tensors}
    return Quantization(model, by_tensor, layers, frozenset(biases), placed.not_quantized, placed.host)


def _scheme(placed: Placement, activations: Mapping[str, Scheme], name: str) -> Scheme:
    return activations[placed.group[name]]


def measured(path: str | Path, model: onnx.ModelProto, inputs: Anything, labels: Anything | None) -> list[Facts]:
    """The rows of `evaluate` for the float model in the file and its quantized form."""
    source = read(path)
    return evaluate(source, model, pieces(source, inputs), labels)
