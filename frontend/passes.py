"""Passes: functions Graph -> Graph that keep what every surviving node computes. PASSES is their one order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lutwright.frontend.ir import Graph, verify

Pass = Callable[[Graph], Graph]


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes that the output does not need; the Input stays."""
    needed = {graph.output, graph.input.name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.name in needed))


PASSES: tuple[Pass, ...] = (drop_dead,)


def run_passes(graph: Graph) -> Graph:
    """All passes in order, each verified."""
    for apply in PASSES:
        graph = verify(apply(graph))
    return graph
