"""Channels that nothing weighs are not computed.

Which channels are needed spreads both ways along the nodes that keep channels apart, since all that an elementwise
node takes and gives has to lose the same ones. A Dense or Conv needs the channels that have weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
from lutwright.frontend.passes.rewrite import Names

Flags = NDArray[np.bool_]


def drop_channels(graph: Graph) -> Graph:
    """Without the channels that the output does not need; of every node at least one stays."""
    needed = _needed(graph)
    names, made = Names(graph), dict[str, Node]()
    for node in graph.nodes:
        inputs = tuple(made[name].name for name in node.inputs)
        kept = [needed[name] for name in node.inputs]
        changed = replace(node, inputs=inputs)
        if not all(flags.all() for flags in (needed[node.name], *kept)):
            changed = _cut(changed, needed[node.name], kept)
            changed = replace(changed, type=changed.infer(*(made[name].type for name in node.inputs)))
            if not needed[node.name].all():  # another tensor
                changed = replace(changed, name=names(f"{node.name}_kept"))
        made[node.name] = changed
    return Graph(tuple(made.values()), made[graph.output].name)


def _needed(graph: Graph) -> dict[str, Flags]:
    links = {node.name: _links(node, graph.types(node)) for node in graph}
    weighs = {
        node.name: np.asarray(node.weight.reshape(len(node.weight), -1, node.weight.shape[-1]).any(axis=1))
        for node in graph
        if isinstance(node, (Dense, Conv)) and _dense(node)
    }
    needed = {node.name: np.full(node.type.channels, node.name == graph.output) for node in graph}
    for node in graph:
        if not _can_lose(node, links[node.name]):
            needed[node.name][:] = True
        for name, link in zip(node.inputs, links[node.name], strict=True):
            if link is None and node.name not in weighs:
                needed[name][:] = True
    while True:
        _spread(graph, links, weighs, needed)
        empty = [flags for flags in needed.values() if not flags.any()]
        if not empty:
            return needed
        empty[0][0] = True


def _spread(
    graph: Graph, links: dict[str, list[Array | None]], weighs: dict[str, Flags], needed: dict[str, Flags]
) -> None:
    count = -1
    while count != (count := sum(int(flags.sum()) for flags in needed.values())):
        for node in reversed(graph.nodes):
            out = needed[node.name]
            for name, link in zip(node.inputs, links[node.name], strict=True):
                if link is not None:
                    inside = link >= 0
                    needed[name][link[inside & out]] = True
                    out[inside] |= needed[name][link[inside]]
                elif node.name in weighs:
                    needed[name] |= weighs[node.name][out].any(axis=0)


def _dense(node: Node) -> bool:
    """Whether every output channel is a sum over all channels of the input."""
    return isinstance(node, Dense) or (isinstance(node, Conv) and node.groups == 1)


def _can_lose(node: Node, links: list[Array | None]) -> bool:
    """Whether the node can be cut to some of its output's channels."""
    if not node.type.shape:
        return False
    return _dense(node) or isinstance(node, Embedding) or any(link is not None for link in links)


def _links(node: Node, types: tuple[Type, ...]) -> list[Array | None]:
    """For every input, the channel that each output channel alone follows (-1: none of this input); None if not so."""
    channels = np.arange(node.type.channels)
    if isinstance(node, Concat) and node.axis == len(node.type.shape) - 1:
        ends = np.cumsum([x.channels for x in types])
        parts = [(channels - (end - x.channels), x.channels) for end, x in zip(ends, types, strict=True)]
        return [np.where((own >= 0) & (own < count), own, -1) for own, count in parts]
    if isinstance(node, MatMul):
        return [None, channels]
    return [_link(node, x, channels) for x in types]


def _link(node: Node, x: Type, channels: Array) -> Array | None:
    last = len(x.shape) - 1
    match node:
        case Threshold() | Table() | Clamp() | Add() | Multiply() | Pool() | Concat():
            return channels
        case Conv() if node.groups > 1 and node.weight.shape[-1] == 1:
            return channels // (len(channels) // node.groups)
        case Pad() if not any(node.pads[-1]):
            return channels
        case Stuff() if node.strides[-1] == 1:
            return channels
        case Transpose() if node.axes[-1] == last:
            return channels
        case Take():
            return node.indices if node.axis == last else channels
        case Reshape() if x.shape and node.type.shape and len(channels) % x.channels == 0:
            return channels % x.channels
    return None


def _cut(node: Node, out: Flags, kept: list[Flags]) -> Node:
    """The node with these channels of its output on these of its inputs."""
    match node:
        case Dense():
            return replace(node, weight=node.weight[out][:, kept[0]], bias=node.bias[out])
        case Conv() if node.groups == 1:
            return replace(node, weight=node.weight[out][..., kept[0]], bias=node.bias[out])
        case Conv() if node.weight.shape[-1] == 1:
            return replace(node, weight=node.weight[out], bias=node.bias[out], groups=int(kept[0].sum()))
        case Threshold() if len(node.base) > 1:
            return replace(node, thresholds=node.thresholds[out], base=node.base[out], step=node.step[out])
        case Table() if len(node.values) > 1:
            return replace(node, values=node.values[out])
        case Add() if len(node.factors) > 1:
            return replace(node, factors=node.factors[out], constant=node.constant[out])
        case Embedding():
            return replace(node, table=node.table[:, out])
        case Take() if node.axis == len(node.type.shape) - 1:
            return replace(node, indices=(np.cumsum(kept[0]) - 1)[node.indices[out]])
        case Reshape():
            return replace(node, type=replace(node.type, shape=(*node.type.shape[:-1], int(out.sum()))))
    return node
