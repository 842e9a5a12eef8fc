"""Takes and Concats: one of another, one of everything, one that needs not be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lutwright.frontend.ir import Graph, Node
from lutwright.frontend.nodes import Concat, Take
from lutwright.frontend.passes.rewrite import Emitted, each


def simplify_picks(graph: Graph) -> Graph:
    """A Take of a Take, or of one operand of a Concat; a Concat of Concats, or of one; a Take of everything."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if isinstance(node, Take):
            return (_take(node, emitted),)
        return (_concat(node, emitted),) if isinstance(node, Concat) else (node,)

    return each(graph, rewrite)


def _take(node: Take, emitted: Emitted) -> Node:
    source = emitted[node.inputs[0]]
    if np.array_equal(node.indices, np.arange(source.type.shape[node.axis])):
        return source
    if isinstance(source, Take) and source.axis == node.axis:
        return _take(replace(node, inputs=source.inputs, indices=source.indices[node.indices]), emitted)
    if isinstance(source, Concat) and source.axis == node.axis:
        start = 0
        for name in source.inputs:
            size = emitted[name].type.shape[node.axis]
            if start <= node.indices.min() and node.indices.max() < start + size:
                return _take(Take.of(node.name, emitted[name], node.axis, node.indices - start), emitted)
            start += size
    return node


def _concat(node: Concat, emitted: Emitted) -> Node:
    inputs: list[str] = []
    for name in node.inputs:
        source = emitted[name]
        inputs += source.inputs if isinstance(source, Concat) and source.axis == node.axis else (name,)
    return emitted[inputs[0]] if len(inputs) == 1 else replace(node, inputs=tuple(inputs))
