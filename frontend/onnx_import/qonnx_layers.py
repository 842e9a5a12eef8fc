"""QONNX's layers: XnorPopcountMatMul, QuantAvgPool2d, and layers with the channels last, between two transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.convolution import conv
from lutwright.frontend.onnx_import.elementwise import batch_normalization
from lutwright.frontend.onnx_import.linear import dense
from lutwright.frontend.onnx_import.pooling import max_pool, total
from lutwright.frontend.onnx_import.staircase import staircase
from lutwright.frontend.onnx_import.state import (
    FROM_INPUT,
    QONNX_DOMAINS,
    Import,
    Refused,
    attribute,
    constant,
    operator,
)
from lutwright.frontend.onnx_import.values import (
    VARIABLE,
    Anything,
    Constant,
    Lattice,
    Pending,
    Quantized,
    Raw,
    Value,
)
from lutwright.frontend.onnx_import.weights import integers

CHANNELS_LAST = ("qonnx.custom_op.channels_last",)


@operator("XnorPopcountMatMul", domains=QONNX_DOMAINS, integer=True, arity=2)
def xnor_popcount_matmul(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """((2x - 1) @ (2w - 1) + K) / 2, which is x @ (2w - 1) and a constant for each column of w."""
    left, right = inputs
    weight = constant(right, "second input")
    if weight.ndim != 2 or not np.isin(weight, (0, 1)).all():
        raise Refused(
            f"its weights of shape {weight.shape} must be a matrix of zeros and ones", "Use MatMul for others"
        )
    x = integers(state, node, left)
    signs = 2 * weight.astype(np.int64) - 1
    result = dense(state, node, x, Lattice(signs, np.ones(signs.shape), weight.dtype))
    constants = (len(signs) - signs.sum(axis=0)) / 2
    return [replace(result, offset=np.asarray(result.offset + constants))]


@operator("QuantAvgPool2d", domains=QONNX_DOMAINS, integer=True, arity=1)
def quant_avg_pool(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The sum over square windows, shifted right so far that the largest one has `obits` bits."""
    (x,) = inputs
    last = attribute(node, "data_layout", "NCHW") == "NHWC"
    given: Quantized | Pending = _integral(integers(state, node, x))
    if len(given.shape) != 4:
        raise Refused(
            f"its input of shape {given.shape} must have four axes",
            "Put a Reshape before it, or export the model again",
        )
    kernel, stride, in_bits, out_bits = (attribute(node, name, 1) for name in ("kernel", "stride", "ibits", "obits"))
    if min(kernel, stride) < 1 or not 1 <= in_bits <= 32:
        raise Refused("its kernel, stride and ibits must be at least 1", "Export the model again")
    source = integers(state, node, _channels_first(state, node, given) if last else given)
    window = Window.of((kernel, kernel), (stride, stride))
    if min(window.output(source.shape[2:])) < 1:
        raise Refused(
            f"its window of {kernel} is larger than its input {source.shape}",
            "Compare it with the shapes that `lutwright inspect` shows before it, and export the model again",
        )
    summed = total(state, node, source, window)
    shift = max(0, ((2**in_bits - 1) * kernel**2).bit_length() - out_bits)

    def levels(real: Anything) -> ir.Array:
        return np.asarray(np.asarray(real).astype(np.int64) >> shift)

    value = Pending((replace(summed, dtype=np.dtype(np.int64)),), VARIABLE)
    shifted = staircase(state, f"{node.name}_shift", value, levels, ())
    result = replace(shifted, scale=np.ones(()), offset=np.zeros(()), dtype=np.dtype(np.float32))
    return [_channels_last(state, node, result) if last else result]


@operator("Conv", domains=CHANNELS_LAST, integer=True, arity=(2, 3))
def channels_last_conv(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """Weights are [N, *kernel, C]."""
    x, weight, *bias = inputs
    array = constant(weight, "weights")
    assert isinstance(weight, Constant)
    if array.ndim < 3:
        raise Refused(f"its weights of shape {array.shape} must have at least 3 axes", "Export the model again")
    lattice = weight.lattice
    if lattice is not None:
        lattice = replace(lattice, q=np.moveaxis(lattice.q, -1, 1), scale=np.moveaxis(lattice.scale, -1, 1))
    first = _channels_first(state, node, _activation(x))
    (result,) = conv(state, _standard(node), [first, Constant(np.moveaxis(array, -1, 1), lattice), *bias])
    return [_channels_last(state, node, result)]


@operator("MaxPool", domains=CHANNELS_LAST, integer=True, arity=1)
@operator("MaxPoolNHWC", domains=QONNX_DOMAINS, integer=True, arity=1)
def channels_last_max_pool(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    first = _channels_first(state, node, _activation(inputs[0]))
    (result,) = max_pool(state, _standard(node), [first])
    return [_channels_last(state, node, result)]


@operator("BatchNormalization", domains=CHANNELS_LAST, integer=True, arity=5)
def channels_last_batch_normalization(
    state: Import, node: onnx.NodeProto, inputs: list[Value | None]
) -> Sequence[Value]:
    first = _channels_first(state, node, _activation(inputs[0]))
    (result,) = batch_normalization(state, _standard(node), [first, *inputs[1:]])
    return [_channels_last(state, node, result)]


def _standard(node: onnx.NodeProto) -> onnx.NodeProto:
    """ONNX's own operator with the same attributes."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.domain, copy.op_type = "", node.op_type.removesuffix("NHWC")
    return copy


def _activation(value: Value | None) -> Quantized | Pending:
    if isinstance(value, Raw):
        raise Refused("its activations come from a model input that the graph does not quantize", FROM_INPUT)
    if not isinstance(value, (Quantized, Pending)):
        raise Refused("its input is constant", "Fold it into a constant")
    return value


def _channels_first(state: Import, node: onnx.NodeProto, value: Value) -> Quantized | Pending:
    assert isinstance(value, (Quantized, Pending))
    rank = len(value.shape)
    if rank < 2:
        raise Refused(
            f"its input of shape {value.shape} must have a batch and channels",
            "Put a Reshape before it, or export the model again",
        )
    return state.transpose(value, [0, rank - 1, *range(1, rank - 1)], f"{node.name}_first")


def _channels_last(state: Import, node: onnx.NodeProto, value: Value) -> Quantized | Pending:
    assert isinstance(value, (Quantized, Pending))
    rank = len(value.shape)
    return state.transpose(value, [0, *range(2, rank), 1], f"{node.name}_last")


def _integral(value: Quantized) -> Quantized:
    if not all((part == np.round(part)).all() for part in (value.scale, value.offset)):
        raise Refused("it shifts activations that are not integers", "Divide by their scale before it, multiply after")
    return value
