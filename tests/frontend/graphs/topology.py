"""Random topologies of float-form layers: chains, residuals, gates, concats, splits, pools, and a head."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from .layers import MAXIMA, Dialect, conv, conv_transpose, dense, elementwise, pool
from .moves import move
from .net import Act, Net

MOST_ELEMENTS = 300  # of a sample; beyond it, blocks that enlarge are left out
HEADS = ("none", "none", "quantizer", "dense", "elementwise", "Softmax", "ArgMax", "TopK")


def body(net: Net, dialect: Dialect, x: Act) -> Act:
    """One to four blocks; x and the result are quantized."""
    for _ in range(net.integer(1, 4)):
        x = block(net, dialect, x)
    return x


def block(net: Net, dialect: Dialect, x: Act) -> Act:
    kind = net.pick("layer", "layer", "pool", "move", "residual", "concat", "gate", "elementwise", "attention")
    if kind == "layer":
        return dialect.quantize(net, maybe_elementwise(net, layer(net, dialect, x)))
    if kind == "pool" and len(x.shape) > 2:
        return pooled(net, dialect, x)
    if kind == "move":
        y = move(net, x)
        return dialect.requantize_same(net, y, x) if prod(y.shape) <= MOST_ELEMENTS else x
    if kind == "residual":
        left, right = path(net, dialect, x), path(net, dialect, x) if net.chance() else x
        y = Act(net.op(net.pick("Add", "Add", "Sub"), left.name, right.name), x.shape)
        return dialect.quantize(net, maybe_elementwise(net, y))
    if kind == "gate":
        left, right = path(net, dialect, x), path(net, dialect, x)
        if net.chance(3) and len(x.shape) > 2:
            right = dialect.quantize(
                net, Act(net.op("GlobalAveragePool", x.name), (*x.shape[:2], *(1,) * (len(x.shape) - 2)))
            )
        return dialect.quantize(net, Act(net.op("Mul", left.name, right.name), x.shape))
    if kind == "concat":
        return concat(net, dialect, x)
    if kind == "attention" and len(x.shape) == 3:
        left, right = path(net, dialect, x), path(net, dialect, x) if net.chance() else x
        turned = net.op("Transpose", right.name, perm=[0, 2, 1])
        y = Act(net.op("MatMul", left.name, turned), (x.shape[0], x.shape[1], x.shape[1]))
        return dialect.quantize(net, maybe_elementwise(net, y))
    return dialect.quantize(net, elementwise(net, x))


def layer(net: Net, dialect: Dialect, x: Act, keep: bool = False) -> Act:
    """Dense, Conv or ConvTranspose, as the rank allows."""
    if len(x.shape) == 2:
        return dense(net, dialect, x, keep)
    if len(x.shape) == 3 and net.chance(3):
        return dense(net, dialect, x, keep)
    if not keep and net.chance(6):
        return conv_transpose(net, dialect, x)
    return conv(net, dialect, x, keep)


def maybe_elementwise(net: Net, x: Act) -> Act:
    return elementwise(net, x, 2) if net.chance() else x


def path(net: Net, dialect: Dialect, x: Act) -> Act:
    """A branch that keeps the shape: a layer, or an elementwise function; quantized."""
    y = layer(net, dialect, x, keep=True) if net.chance() else elementwise(net, x, 2)
    return dialect.quantize(net, y)


def pooled(net: Net, dialect: Dialect, x: Act) -> Act:
    y = pool(net, x)
    moves = net.nodes[-1].op_type in MAXIMA
    return dialect.requantize_same(net, y, x) if moves and net.chance() else dialect.quantize(net, y)


def concat(net: Net, dialect: Dialect, x: Act) -> Act:
    """Two or three branches along any axis but the batch; quantized again or not."""
    if prod(x.shape) > MOST_ELEMENTS // 2:
        return x
    parts = [path(net, dialect, x) if net.chance() else x for _ in range(net.integer(2, 3))]
    axis = net.integer(1, len(x.shape) - 1)
    shape = (*x.shape[:axis], x.shape[axis] * len(parts), *x.shape[axis + 1 :])
    y = Act(net.op("Concat", *(part.name for part in parts), axis=axis), shape)
    return dialect.quantize(net, y)


def head(net: Net, dialect: Dialect, x: Act) -> tuple[Act, int]:
    """The end of the network, and the type of its output."""
    kind = net.pick(*HEADS)
    if kind == "none":
        return x, TensorProto.FLOAT
    if len(x.shape) > 2 and net.chance():
        x = dialect.requantize_same(net, Act(net.op("Flatten", x.name), (x.shape[0], prod(x.shape[1:]))), x)
    y = layer(net, dialect, x)
    if kind == "quantizer":
        return dialect.quantize(net, y), TensorProto.FLOAT
    if kind == "elementwise":
        return elementwise(net, y), TensorProto.FLOAT
    last = len(y.shape) - 1
    if kind == "Softmax":
        return Act(net.op("Softmax", y.name, axis=last), y.shape), TensorProto.FLOAT
    if kind == "ArgMax":
        keepdims = int(net.chance())
        shape = (*y.shape[:-1], 1) if keepdims else y.shape[:-1]
        return Act(net.op("ArgMax", y.name, axis=last, keepdims=keepdims), shape), TensorProto.INT64
    if kind == "TopK":
        _, index = net.op("TopK", y.name, net.constant([1], np.int64), outputs=2, axis=-1)
        return Act(index, (*y.shape[:-1], 1)), TensorProto.INT64
    return y, TensorProto.FLOAT
