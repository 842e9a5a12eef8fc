"""Accumulators as wide as samples need them, where the user asks for that: unlike interval analysis it is no proof.

A bounded Dense holds its sums modulo a power of two. It gives what it gave before for every input whose sums stay
within the bounds, and wraps beyond, in hardware and in the golden model alike.
"""

from __future__ import annotations

from dataclasses import replace

from lutwright.frontend.ir import Array, Graph, Node, Type, verify
from lutwright.frontend.nodes import Dense
from lutwright.frontend.passes.rewrite import Emitted, each

CHUNK = 16  # samples traced at a time


def bounded(graph: Graph, x: Array) -> Graph:
    """The graph with every Dense in the least width that holds its sums on the samples x [n, ...].

    Names and nodes stay; only types become narrower.
    """
    ends: dict[str, tuple[int, int]] = {}
    for start in range(0, len(x), CHUNK):
        for name, value in graph.trace(x[start : start + CHUNK]).items():
            low, high = ends.get(name, (int(value.flat[0]), int(value.flat[0])))
            ends[name] = min(low, int(value.min())), max(high, int(value.max()))

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Dense):
            return (replace(node, type=node.infer(*(emitted[name].type for name in node.inputs))),)
        width = Type((), *ends[node.name]).width
        natural = replace(node, type=node.infer(emitted[node.inputs[0]].type))
        if width >= natural.type.width:
            return (natural,)
        low = -(1 << (width - 1)) if ends[node.name][0] < 0 else 0
        return (replace(node, type=Type(node.type.shape, low, low + (1 << width) - 1), wraps=True),)

    return verify(each(graph, rewrite))
