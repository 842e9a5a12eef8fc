"""From what nodes mean to what hardware is made of: a Conv becomes an Unfold and a Dense, which every engine can build.

A depthwise Conv stays: hardware has a component for it beside the engines. So does one whose engine takes it as it is,
and one over more than two axes, which has no hardware.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lutwright.frontend.ir import Array, Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Conv, Dense, Pool, Threshold, Unfold
from lutwright.frontend.passes.rewrite import Emitted, Names, each, only_use

PLANE = 2  # spatial axes that hardware slides over, at most
WINOGRAD = "winograd"  # what the names of engines that take a whole Conv begin with


def lower(graph: Graph, engines: Mapping[str, str] | None = None) -> Graph:
    """The same function; every name keeps its meaning. What is new is named after the node that it feeds.

    `engines`: by node, of those that have been chosen.
    """
    chosen = engines or {}
    names = Names(graph)

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Conv) or is_depthwise(node) or len(node.window.kernel) > PLANE:
            return (node,)
        if takes_conv(chosen.get(node.name, "")):
            return (node,)
        source = emitted[node.inputs[0]]
        if is_pointwise(node):
            return (Dense.of(node.name, source, dense_weight(node), node.bias),)
        unfold = Unfold.of(names(f"{node.name}_window"), source, node.window, node.pad_value, node.groups)
        return unfold, Dense.of(node.name, unfold, dense_weight(node), node.bias)

    return verify(each(graph, rewrite))


def restored(graph: Graph, convs: Mapping[str, Conv]) -> Graph:
    """The same function, with some Convs in place of the Unfold and the Dense that they have become."""
    windows = {graph[name].inputs[0] for name in convs}
    nodes = (convs.get(node.name, node) for node in graph if node.name not in windows)
    return verify(Graph(tuple(nodes), graph.output))


def margins(graph: Graph) -> Graph:
    """The same function, for hardware: a Dense that is read by one threshold a channel alone gives y - threshold.

    The answer is its sign then, and nothing is compared; thresholds join the biases. A channel that falls has its
    weights negated. Such a Dense keeps its name, but not its meaning.
    """

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Threshold) or node.thresholds.shape[1] != 1 or not only_use(graph, node.inputs[0]):
            return (node,)
        dense = emitted[node.inputs[0]]
        if not isinstance(dense, Dense) or dense.wraps:
            return (node,)
        channels = np.arange(len(dense.weight)) % len(node.thresholds)
        levels = np.clip(node.thresholds[channels, 0], dense.type.lo, dense.type.hi + 1)
        falls = node.step[channels] < 0
        weight, bias = dense.weight.copy(), dense.bias - levels
        weight[falls], bias[falls] = -weight[falls], -bias[falls] - 1
        base = node.base[channels] - falls
        if weight.min() < dense.weight_type.lo or weight.max() > dense.weight_type.hi or (base != base[0]).any():
            return (node,)
        ones = np.ones(1, np.int64)
        margin = Dense.of(dense.name, emitted[dense.inputs[0]], weight, bias)
        sign = Threshold.of(node.name, margin, np.zeros((1, 1), np.int64), base[:1], ones)
        return (margin, sign) if sign.type == node.type else (node,)  # else all answers are one

    return verify(each(graph, rewrite))


def takes_conv(engine: str) -> bool:
    """Whether an engine takes a Conv as it is."""
    return engine.partition(":")[0] == WINOGRAD


def unfolded_dense(node: Conv, x: Type) -> tuple[Dense, Type]:
    """The Dense that a Conv becomes, and the Type of what it multiplies."""
    unfold = Unfold.of("window", Input("x", (), x), node.window, node.pad_value, node.groups)
    return Dense.of(node.name, unfold, dense_weight(node), node.bias), unfold.type


def is_depthwise(node: Conv) -> bool:
    """Whether each output channel sees one input channel of its own."""
    return node.groups > 1 and node.groups == len(node.weight) and node.weight.shape[-1] == 1


def slides(node: Node) -> bool:
    """Whether hardware slides a window over the node's input: an Unfold, a Pool or a depthwise Conv over a plane."""
    if isinstance(node, Conv) and not is_depthwise(node):
        return False
    return isinstance(node, Unfold | Pool | Conv) and 1 <= len(node.window.kernel) <= PLANE


def is_pointwise(node: Conv) -> bool:
    """Whether the window is one place, at every place of the input."""
    window = node.window
    return max((*window.kernel, *window.strides), default=1) == 1 and not window.padded


def dense_weight(node: Conv) -> Array:
    """The weights [N, places * C] of what an Unfold gives; those of other groups are 0."""
    rows = len(node.weight)
    own = node.weight.reshape(rows, -1)
    spread = np.zeros((rows, node.groups, own.shape[1]), np.int64)
    spread[np.arange(rows), np.arange(rows) * node.groups // rows] = own
    return spread.reshape(rows, -1)
