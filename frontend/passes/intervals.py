"""The interval of every channel of every node: finer than the nodes' Types, which hold for all channels."""

from __future__ import annotations

import numpy as np

from lutwright.frontend.ir import Array, Graph, Node, Type
from lutwright.frontend.nodes import (
    Add,
    Clamp,
    Concat,
    Conv,
    Dense,
    Embedding,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    Stuff,
    Table,
    Take,
    Threshold,
    Transpose,
)

Interval = tuple[Array, Array]  # least and greatest values, [channels] each


def channel_intervals(graph: Graph) -> dict[str, Interval]:
    """For every node by its name; a channel is an index of the last axis."""
    found: dict[str, Interval] = {}
    for node in graph.nodes:
        sources = [found[name] for name in node.inputs]
        lo, hi = _of(node, sources, graph.types(node)) if sources else _whole(node.type)
        found[node.name] = np.maximum(lo, node.type.lo), np.minimum(hi, node.type.hi)
    return found


def _whole(type_: Type) -> Interval:
    return np.full(type_.channels, type_.lo), np.full(type_.channels, type_.hi)


def _of(node: Node, sources: list[Interval], types: tuple[Type, ...]) -> Interval:
    lo, hi = sources[0]
    shape = types[0].shape
    match node:
        case Dense():
            return _sum(node.weight, lo, hi, node.bias)
        case Conv():
            return _conv(node, lo, hi)
        case Threshold() | Clamp():
            ends = [node.evaluate(end[np.newaxis])[0] for end in (lo, hi)]
            return np.minimum(*ends), np.maximum(*ends)
        case Table():
            return _table(node, lo, hi)
        case Add():
            pairs = [_scaled(node.factors[:, i], *source) for i, source in enumerate(sources)]
            return node.constant + sum(low for low, _ in pairs), node.constant + sum(high for _, high in pairs)
        case Multiply():
            ends = [a * b for a in sources[0] for b in sources[1]]
            return np.minimum.reduce(ends), np.maximum.reduce(ends)
        case MatMul():
            return _matmul(*sources)
        case Pool() if node.kind == "sum":
            counts = node.counts(shape[:-1])
            ends = [count * end for count in (counts.min(), counts.max()) for end in (lo, hi)]
            return np.minimum.reduce(ends), np.maximum.reduce(ends)
        case Embedding():
            rows = node.table[types[0].lo - node.lo : types[0].hi - node.lo + 1]
            return rows.min(axis=0), rows.max(axis=0)
        case Pool():
            return lo, hi
        case Take() if node.axis == len(shape) - 1:
            return lo[node.indices], hi[node.indices]
        case Take():
            return lo, hi
        case Concat() if node.axis == len(shape) - 1:
            return np.concatenate([low for low, _ in sources]), np.concatenate([high for _, high in sources])
        case Concat():
            return np.minimum.reduce([low for low, _ in sources]), np.maximum.reduce([high for _, high in sources])
        case Pad():
            lo, hi = (np.pad(end, node.pads[-1:], constant_values=node.value) for end in (lo, hi))
            return _with(node.value, lo, hi) if any(map(any, node.pads[:-1])) else (lo, hi)
        case Stuff() if node.strides[-1] == 1:
            return _with(node.value, lo, hi) if node.type.shape != shape else (lo, hi)
        case Transpose() if node.axes[-1] == len(shape) - 1:
            return lo, hi
        case Reshape() if node.type.channels % len(lo) == 0:
            return np.tile(lo, node.type.channels // len(lo)), np.tile(hi, node.type.channels // len(hi))
    return _whole(node.type)


def _with(value: int, lo: Array, hi: Array) -> Interval:
    return np.minimum(lo, value), np.maximum(hi, value)


def _scaled(factor: Array, lo: Array, hi: Array) -> Interval:
    return np.minimum(factor * lo, factor * hi), np.maximum(factor * lo, factor * hi)


def _sum(weight: Array, lo: Array, hi: Array, bias: Array) -> Interval:
    """The interval of bias[n] + sum over k of weight[n, k] * x[k]; lo and hi are [K], or [N, K] if rows see others."""
    positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
    low = (positive * lo + negative * hi).sum(axis=1)
    return low + bias, (positive * hi + negative * lo).sum(axis=1) + bias


def _conv(node: Conv, lo: Array, hi: Array) -> Interval:
    if node.window.padded:
        lo, hi = _with(node.pad_value, lo, hi)
    under = channels_of_rows(node)
    weight = node.weight.reshape(len(under), -1, under.shape[1])
    positive, negative = (part.sum(axis=1) for part in (np.maximum(weight, 0), np.minimum(weight, 0)))
    low = (positive * lo[under] + negative * hi[under]).sum(axis=1)
    return low + node.bias, (positive * hi[under] + negative * lo[under]).sum(axis=1) + node.bias


def channels_of_rows(node: Conv) -> Array:
    """The input channels that each row of weights sees, [N, C / groups]."""
    rows, inner = len(node.weight), node.weight.shape[-1]
    return np.asarray(np.arange(rows)[:, np.newaxis] // (rows // node.groups) * inner + np.arange(inner))


def _table(node: Table, lo: Array, hi: Array) -> Interval:
    if len(node.values) == 1:
        values = node.values[0, lo.min() - node.lo : hi.max() - node.lo + 1]
        low, high = np.full(len(lo), values.min()), np.full(len(lo), values.max())
        fixed = lo == hi
        low[fixed] = high[fixed] = node.values[0, lo[fixed] - node.lo]
        return low, high
    cuts = [row[a - node.lo : b - node.lo + 1] for row, a, b in zip(node.values, lo, hi, strict=True)]
    return np.array([cut.min() for cut in cuts]), np.array([cut.max() for cut in cuts])


def _matmul(left: Interval, right: Interval) -> Interval:
    ends = [a[:, np.newaxis] * b for a in left for b in right]  # [K, N]
    return np.minimum.reduce(ends).sum(axis=0), np.maximum.reduce(ends).sum(axis=0)
