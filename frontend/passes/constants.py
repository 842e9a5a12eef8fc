"""Channels and operands that are the same for every input go into the biases and constants of what uses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lutwright.frontend.ir import Array, Graph, Node
from lutwright.frontend.nodes import Add, Conv, Dense, Multiply
from lutwright.frontend.passes.intervals import Interval, channel_intervals, channels_of_rows


def fold_constants(graph: Graph) -> Graph:
    """The weights of constant channels become 0, constant operands of an Add or a Multiply go."""
    intervals = channel_intervals(graph)

    def rewrite(node: Node) -> Node:
        sources = [intervals[name] for name in node.inputs]
        match node:
            case Dense():
                return _dense(node, *sources[0])
            case Conv():
                return _conv(node, *sources[0])
            case Add():
                return _add(node, sources)
            case Multiply():
                return _multiply(node, sources)
        return node

    return Graph(tuple(rewrite(node) for node in graph.nodes), graph.output)


def _dense(node: Dense, lo: Array, hi: Array) -> Node:
    fixed = (lo == hi) & node.weight.any(axis=0)
    if not fixed.any():
        return node
    bias = node.bias + node.weight[:, fixed] @ lo[fixed]
    return replace(node, weight=np.where(fixed, 0, node.weight), bias=bias)


def _conv(node: Conv, lo: Array, hi: Array) -> Node:
    """Where the window is padded, a constant channel has to be what it is padded with."""
    under = channels_of_rows(node)
    fixed = (lo == hi) & ((lo == node.pad_value) | (not node.window.padded))
    sums = node.weight.reshape(len(under), -1, under.shape[1]).sum(axis=1)
    gone = fixed[under].reshape(len(under), *(1,) * len(node.window.kernel), under.shape[1])
    if not (gone & (node.weight != 0)).any():
        return node
    bias = node.bias + np.where(fixed[under], sums * lo[under], 0).sum(axis=1)
    return replace(node, weight=np.where(gone, 0, node.weight), bias=bias)


def _add(node: Add, sources: list[Interval]) -> Node:
    kept = [i for i, (lo, hi) in enumerate(sources) if (lo != hi).any()]
    if not kept or len(kept) == len(sources):
        return node
    constant = node.constant + sum(node.factors[:, i] * lo for i, (lo, _) in enumerate(sources) if i not in kept)
    factors = np.broadcast_to(node.factors, (len(constant), len(sources)))[:, kept]
    return replace(node, inputs=tuple(node.inputs[i] for i in kept), factors=factors, constant=constant)


def _multiply(node: Multiply, sources: list[Interval]) -> Node:
    for index, (lo, hi) in enumerate(sources):
        if (lo == hi).all() and node.inputs[0] != node.inputs[1]:
            return Add(node.name, (node.inputs[1 - index],), node.type, lo[:, np.newaxis], np.zeros_like(lo))
    return node
