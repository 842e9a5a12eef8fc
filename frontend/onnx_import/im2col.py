"""Im2Col of QONNX, channels last: the windows of an image as vectors. With a MatMul after it, it is a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import nodes
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.convolution import Kernel, convolve
from lutwright.frontend.onnx_import.state import QONNX_DOMAINS, Import, Refused, attribute, operator
from lutwright.frontend.onnx_import.values import Lattice, Quantized, Value
from lutwright.frontend.onnx_import.weights import integers


@operator("Im2Col", domains=QONNX_DOMAINS, integer=True, arity=1)
def im2col(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """[B, H, W, C] to [B, H', W', kh * kw * C]: padding, then the rows and the columns under each window."""
    x = integers(state, node, inputs[0])
    if len(x.shape) != 4 or (state.batch and not x.batched):
        raise Refused(
            f"its input of shape {x.shape} must be [batch, height, width, channels]",
            "Put a Reshape before it, or export the model again",
        )
    window = _window(node, x)
    value = attribute(node, "pad_value", 0)
    padded = _padded(state, node, x, window, value)
    places = [
        (np.arange(count)[:, np.newaxis] * stride + np.arange(size) * dilation).ravel()
        for count, size, stride, dilation in zip(
            window.output(x.shape[1:3]), window.kernel, window.strides, window.dilations, strict=True
        )
    ]
    taken = state.take(state.take(padded, 1, places[0], f"{node.name}_rows"), 2, places[1], f"{node.name}_columns")
    (height, width), (kh, kw), channels = window.output(x.shape[1:3]), window.kernel, x.shape[3]
    parts = state.reshape(taken, (x.shape[0], height, kh, width, kw, channels), f"{node.name}_windows")
    turned = state.transpose(parts, [0, 1, 3, 2, 4, 5], f"{node.name}_transpose")
    result = state.reshape(turned, (x.shape[0], height, width, kh * kw * channels), node.name)
    if not (window.padded and value):
        depthwise = bool(attribute(node, "depthwise", 0))
        state.columns[result.node.name] = lambda node, weight: _convolved(state, node, x, window, weight, depthwise)
    return [result]


def _convolved(
    state: Import, node: onnx.NodeProto, source: Quantized, window: Window, weight: Lattice, depthwise: bool
) -> Quantized:
    """The product of the windows over the source [B, H, W, C] with weights [kh * kw * C, N]."""
    channels, rows = source.shape[3], weight.q.shape[1]
    q, scale = (np.moveaxis(part.T.reshape(rows, *window.kernel, channels), -1, 1) for part in (weight.q, weight.scale))
    groups = 1
    if depthwise and rows == channels and not q[~np.eye(rows, dtype=bool)].any():
        diagonal = np.arange(rows)
        q, scale, groups = q[diagonal, diagonal][:, np.newaxis], scale[diagonal, diagonal][:, np.newaxis], rows
    first = state.transpose(source, [0, 3, 1, 2], f"{node.name}_first")
    result = convolve(state, node, first, Kernel(q, scale, groups, weight), window, None)
    return state.transpose(result, [0, 2, 3, 1], f"{node.name}_last")


def _window(node: onnx.NodeProto, x: Quantized) -> Window:
    kernel, strides = (tuple(attribute(node, name, list[int]())) for name in ("kernel_size", "stride"))
    dilations, pads = attribute(node, "dilations", [1, 1]), attribute(node, "pad_amount", [0, 0, 0, 0])
    given = ((kernel, 2, 1), (strides, 2, 1), (dilations, 2, 1), (pads, 4, 0))
    if not all(len(part) == count and min(part) >= least for part, count, least in given):
        raise Refused(
            f"its kernel_size {kernel}, stride {strides}, dilations {dilations} and pad_amount {pads} make no window",
            "Export the model again",
        )
    window = Window.of(kernel, strides, tuple(dilations), ((pads[0], pads[2]), (pads[1], pads[3])))
    if min(window.output(x.shape[1:3])) < 1:
        raise Refused(
            f"its window {window} is larger than its input of shape {x.shape}",
            "Compare it with the shapes that `lutwright inspect` shows before it, and export the model again",
        )
    return window


def _padded(state: Import, node: onnx.NodeProto, x: Quantized, window: Window, value: int) -> Quantized:
    if not window.padded:
        return x
    if x.scale.size > 1 or x.offset.size > 1:
        raise Refused("it pads activations with more than one scale", "Quantize its activations per tensor")
    number = float((value - x.offset.flat[0]) / x.scale.flat[0])
    if number != round(number):
        raise Refused(
            f"the value {value} that it pads with is no level of its input",
            "Use a quantizer whose levels include it, for example without an offset",
        )
    pads = (*window.pads, (0, 0)) if x.batched else ((0, 0), *window.pads, (0, 0))
    node_ = state.add(nodes.Pad.of(state.name(f"{node.name}_pad"), x.node, pads, round(number)))
    sizes = [size + sum(pads) for size, pads in zip(x.shape[1:3], window.pads, strict=True)]
    return replace(x, node=node_, shape=(x.shape[0], *sizes, x.shape[3]), product=None, mean=None)
