"""Thresholds and Tables with no more rows, steps and entries than their inputs can reach."""

from __future__ import annotations

import numpy as np

from lutwright.frontend.ir import Graph, Node
from lutwright.frontend.nodes import Clamp, Table, Threshold
from lutwright.frontend.passes.rewrite import Emitted, each, only_use

MOST_STEPS = 255  # of a Threshold that takes the place of a Clamp


def fuse_thresholds(graph: Graph) -> Graph:
    """A Threshold after a Threshold that nothing else uses becomes one with it, where that is monotone."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        first = emitted[node.inputs[0]] if node.inputs else node
        if not (isinstance(node, Threshold) and isinstance(first, Threshold)) or not only_use(graph, first.name):
            return (node,)
        return (_fitted(node.name, emitted[first.inputs[0]], (first, node)) or node,)

    return each(graph, rewrite)


def simplify_clamps(graph: Graph) -> Graph:
    """A Clamp that does nothing goes; one with few values becomes a Threshold."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Clamp):
            return (node,)
        source = emitted[node.inputs[0]]
        own = node.infer(source.type)
        if node.least <= source.type.lo and source.type.hi <= node.most:
            return (source,)
        if own.hi - own.lo > MOST_STEPS:
            return (node,)
        steps = np.arange(own.lo + 1, own.hi + 1)[np.newaxis]
        return (Threshold.of(node.name, source, steps, np.array([own.lo]), np.array([1])),)

    return each(graph, rewrite)


def simplify_thresholds(graph: Graph) -> Graph:
    """Without thresholds that are never or always reached, with one row where all are equal; identities go."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Threshold):
            return (node,)
        source = emitted[node.inputs[0]]
        fitted = _fitted(node.name, source, (node,))
        if fitted is None:
            return (node,)
        lo, hi = source.type.lo, source.type.hi
        if fitted.thresholds.shape == (1, hi - lo) and fitted.base[0] == lo and fitted.step[0] == 1:
            identity = np.arange(lo + 1, hi + 1)
            return (source,) if np.array_equal(fitted.thresholds[0], identity) else (fitted,)
        return (fitted,)

    return each(graph, rewrite)


def trim_tables(graph: Graph) -> Graph:
    """Tables hold what their input's interval reaches, and one row where all are equal; identities go."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Table):
            return (node,)
        source = emitted[node.inputs[0]]
        values = node.values[:, source.type.lo - node.lo : source.type.hi - node.lo + 1]
        if (values == np.arange(source.type.lo, source.type.hi + 1)).all():
            return (source,)
        return (Table.of(node.name, source, values[:1] if (values == values[0]).all() else values),)

    return each(graph, rewrite)


def _fitted(name: str, source: Node, stairs: tuple[Threshold, ...]) -> Threshold | None:
    """The Threshold on `source` that equals the `stairs` one after the other, or None if none does."""
    lo, rows = source.type.lo, max(len(stair.base) for stair in stairs)
    jumps = np.broadcast_to(stairs[0].thresholds, (rows, stairs[0].thresholds.shape[1]))
    points = np.concatenate([np.full((rows, 1), lo), np.maximum(jumps, lo)], axis=1)
    levels = points.T
    for stair in stairs:
        levels = stair.evaluate(levels)
    fitted = Threshold.fit(name, source, points, levels.T)
    if fitted is None or not all((part == part[0]).all() for part in (fitted.thresholds, fitted.base, fitted.step)):
        return fitted
    one = slice(0, 1)
    return Threshold.of(name, source, fitted.thresholds[one], fitted.base[one], fitted.step[one])
