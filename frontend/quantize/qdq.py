"""The quantized network as QDQ: QuantizeLinear and DequantizeLinear around every operator, Clip for narrow bits.

Around the operators stand the groups that onnxruntime fuses to integer ones: dequantized operands, operator, quantizer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from lutwright.frontend.quantize.graph import Anything
from lutwright.frontend.quantize.layers import QuantizedLayer
from lutwright.frontend.quantize.scheme import Scheme
from lutwright.frontend.quantize.writer import Writer


class QdqWriter(Writer):
    """Every quantized tensor is int8 or uint8, narrower ones in a part of its range; a bias is int32."""

    domains: tuple[str, ...] = ()
    repeats = True

    def quantizer(self, x: str, name: str, scheme: Scheme, output: str) -> None:
        dtype = np.int8 if scheme.signed else np.uint8
        scale = self.constant(f"{name}::scale", scheme.scale)
        zero_point = self.constant(f"{name}::zero_point", np.asarray(scheme.zero_point, dtype))
        q = self.op("QuantizeLinear", [x, scale, zero_point], f"{name}::quantized")
        if scheme.bits < 8:
            low = self.constant(f"{name}::low", np.asarray(scheme.lo, dtype))
            high = self.constant(f"{name}::high", np.asarray(scheme.hi, dtype))
            q = self.op("Clip", [q, low, high], f"{name}::clipped")
        self.op("DequantizeLinear", [q, scale, zero_point], output)

    def layer(self, layer: QuantizedLayer) -> None:
        self._constant(f"{layer.prefix}::weight", layer.weight.astype(np.int8), layer.scheme)
        if layer.has_bias:
            self._constant(f"{layer.prefix}::bias", layer.bias().astype(np.int32), layer.bias_scheme)

    def _constant(self, name: str, q: Anything, scheme: Scheme) -> None:
        inputs = [self.constant(f"{name}::quantized", q), self.constant(f"{name}::scale", scheme.scale)]
        inputs.append(self.constant(f"{name}::zero_point", np.zeros(scheme.scale.shape, q.dtype)))
        axis: dict[str, Any] = {} if scheme.axis is None else {"axis": scheme.axis}
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}::dequantize", **axis))
