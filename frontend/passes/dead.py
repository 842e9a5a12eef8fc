"""Nodes that nothing needs, nodes that are there twice, types wider than need be."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from lutwright.frontend.ir import Graph, Node
from lutwright.frontend.passes.rewrite import Emitted, each


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes that the output does not need; the Input stays."""
    needed = {graph.output, graph.input.name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.name in needed))


def merge_identical(graph: Graph) -> Graph:
    """One node for all that compute the same from the same inputs."""
    seen: dict[tuple[object, ...], Node] = {}

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        values = [getattr(node, item.name) for item in fields(node) if item.name != "name"]
        key = (type(node), *((v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for v in values))
        return (seen.setdefault(key, node),)

    return each(graph, rewrite)


def narrow(graph: Graph) -> Graph:
    """Every type as tight as its inputs' types allow."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        return (replace(node, type=node.infer(*(emitted[name].type for name in node.inputs))),)

    return each(graph, rewrite)
