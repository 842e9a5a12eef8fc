"""What all passes are made of: one sweep over the nodes that rewrites them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np

from lutwright.frontend.ir import Graph, Node

Pass = Callable[[Graph], Graph]
Emitted = Mapping[str, Node]


def each(graph: Graph, rewrite: Callable[[Node, Emitted], tuple[Node, ...]]) -> Graph:
    """Rewrites the nodes in order. `rewrite(node, emitted)` gives the nodes to emit; the last one stands for `node`.

    That one may be in `emitted` already: then the name of `node` goes.
    """
    emitted: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        results = rewrite(replace(node, inputs=tuple(renamed[name] for name in node.inputs)), emitted)
        emitted |= {result.name: result for result in results}
        renamed[node.name] = results[-1].name
    return Graph(tuple(emitted.values()), renamed[graph.output])


class Names:
    """Names that no node of a graph has."""

    def __init__(self, graph: Graph) -> None:
        self.taken = set(graph.by_name)

    def __call__(self, wish: str) -> str:
        while wish in self.taken:
            wish += "_"
        self.taken.add(wish)
        return wish


def only_use(graph: Graph, name: str) -> bool:
    """Whether one node alone needs the node of that name."""
    return name != graph.output and len(graph.consumers(name)) == 1


def same(first: Graph, second: Graph) -> bool:
    """Whether two graphs have the same nodes, constants and output."""
    if first.output != second.output or len(first.nodes) != len(second.nodes):
        return False
    return all(_same(a, b) for a, b in zip(first.nodes, second.nodes, strict=True))


def _same(a: Node, b: Node) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    pairs = [(getattr(a, item.name), getattr(b, item.name)) for item in fields(a)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)
