"""The quantized network as QONNX: a Quant node on every tensor; and the same in plain operators, to run it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lutwright.frontend.quantize.layers import QuantizedLayer
from lutwright.frontend.quantize.scheme import Float, Scheme
from lutwright.frontend.quantize.writer import Writer

DOMAIN = "qonnx.custom_op.general"


class QonnxWriter(Writer):
    """Weights and biases are float constants, on their grid already, with a Quant node that says which grid it is."""

    domains: tuple[str, ...] = (DOMAIN,)
    repeats = False

    def quantizer(self, x: str, name: str, scheme: Scheme, output: str) -> None:
        self._quant(x, name, scheme, scheme.scale, output)

    def layer(self, layer: QuantizedLayer) -> None:
        for kind, real in layer.reals().items():
            scheme = layer.scheme if kind.endswith("::weight") else layer.bias_scheme
            self._quant(self.constant(f"{kind}::float", real), kind, scheme, scheme.spread(real.ndim), kind)

    def _quant(self, x: str, name: str, scheme: Scheme, scale: Float, output: str) -> None:
        inputs = [
            self.constant(f"{name}::scale", scale),
            self.constant(f"{name}::zero_point", np.asarray(scheme.zero_point, np.float32)),
            self.constant(f"{name}::bits", np.asarray(scheme.bits, np.float32)),
        ]
        settings: dict[str, Any] = {
            "signed": int(scheme.signed),
            "narrow": int(scheme.narrow),
            "rounding_mode": "ROUND",
        }
        node = helper.make_node("Quant", [x, *inputs], [output], f"{name}::quant", domain=DOMAIN, **settings)
        self.nodes.append(node)


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every Quant node written out in ONNX's own operators: Div, Add, Clip, Round, Sub, Mul.

    The same float32 operations in the same order as the operator's definition.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    constants = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    del made.graph.node[:]
    for node in model.graph.node:
        made.graph.node.extend(_steps(node, constants, made.graph) if node.domain == DOMAIN else [node])
    kept = [item for item in made.opset_import if item.domain != DOMAIN]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    return made


def _steps(node: onnx.NodeProto, constants: dict[str, Float], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    x, scale, zero_point, bits = node.input
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    width = int(constants[bits])
    low = -(2 ** (width - 1)) + values["narrow"] if values["signed"] else 0
    high = 2 ** (width - 1) - 1 if values["signed"] else 2**width - 1
    ends = [f"{node.output[0]}::low", f"{node.output[0]}::high"]
    for name, value in zip(ends, (low, high), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    steps: tuple[tuple[str, list[str]], ...] = (
        ("Div", [scale]),
        ("Add", [zero_point]),
        ("Clip", ends),
        ("Round", []),
        ("Sub", [zero_point]),
    )
    made = []
    for kind, others in (*steps, ("Mul", [scale])):
        output = node.output[0] if kind == "Mul" else f"{node.output[0]}::{kind}"
        made.append(helper.make_node(kind, [x, *others], [output]))
        x = output
    return made
