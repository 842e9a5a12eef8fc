"""Passes: functions Graph -> Graph. PASSES is their one order; `verify` runs after each.

A pass keeps what the graph computes, and what every surviving node computes: a name never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np

from lutwright.frontend.ir import Graph, Node, verify
from lutwright.frontend.nodes import Dense, Reshape, Table, Threshold, Transpose

Pass = Callable[[Graph], Graph]
Emitted = Mapping[str, Node]


def _each(graph: Graph, rewrite: Callable[[Node, Emitted], tuple[Node, ...]]) -> Graph:
    """Rewrites the nodes in order. `rewrite(node, emitted)` gives the nodes to emit; the last one stands for `node`.

    That one may be in `emitted` already: then nothing is emitted and the name of `node` goes.
    """
    emitted: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        results = rewrite(replace(node, inputs=tuple(renamed[name] for name in node.inputs)), emitted)
        emitted |= {result.name: result for result in results}
        renamed[node.name] = results[-1].name
    return Graph(tuple(emitted.values()), renamed[graph.output])


def merge_identical(graph: Graph) -> Graph:
    """One node for all that compute the same from the same inputs."""
    seen: dict[tuple[object, ...], Node] = {}

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        values = [getattr(node, item.name) for item in fields(node) if item.name != "name"]
        key = (type(node), *((v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for v in values))
        return (seen.setdefault(key, node),)

    return _each(graph, rewrite)


def join_moves(graph: Graph) -> Graph:
    """A Reshape or Transpose after another becomes one with it, and goes where it does nothing."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, (Reshape, Transpose)):
            return (node,)
        source = emitted[node.inputs[0]]
        if isinstance(node, Transpose):
            if isinstance(source, Transpose):
                node = replace(node, inputs=source.inputs, axes=tuple(source.axes[axis] for axis in node.axes))
                source = emitted[node.inputs[0]]
            long = [axis for axis in node.axes if source.type.shape[axis] > 1]
            if long == sorted(long):  # only axes of size 1 move
                node = Reshape(node.name, node.inputs, node.type)
        if isinstance(node, Reshape) and isinstance(source, Reshape):
            node = replace(node, inputs=source.inputs)
            source = emitted[node.inputs[0]]
        return (source if isinstance(node, Reshape) and node.type.shape == source.type.shape else node,)

    return _each(graph, rewrite)


def sink_transposes(graph: Graph) -> Graph:
    """A Threshold or Table that treats all channels alike goes before a Transpose, which comes nearer to a Dense."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not (isinstance(node, (Threshold, Table)) and _rows(node) == 1):
            return (node,)
        move = emitted[node.inputs[0]]
        behind = emitted[move.inputs[0]] if move.inputs else move
        if not isinstance(move, Transpose) and not (isinstance(move, Reshape) and isinstance(behind, Transpose)):
            return (node,)
        name = f"{node.name}_unmoved"
        while name in emitted or name in graph.by_name:
            name += "_"
        first = replace(node, name=name, inputs=move.inputs, type=replace(node.type, shape=behind.type.shape))
        return first, replace(move, name=node.name, inputs=(name,), type=node.type)

    return _each(graph, rewrite)


def absorb_transposes(graph: Graph) -> Graph:
    """A Dense over the whole sample takes its columns in the order that the Transposes before it would give them."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Dense) or len(node.type.shape) != 1:
            return (node,)
        source, moves = emitted[node.inputs[0]], list[Node]()
        while isinstance(source, (Reshape, Transpose)):
            moves.append(source)
            source = emitted[source.inputs[0]]
        if not any(isinstance(move, Transpose) for move in moves):
            return (node,)
        order = np.arange(source.type.size).reshape(1, *source.type.shape)
        for move in reversed(moves):
            order = move.evaluate(order)
        weight = np.empty_like(node.weight)
        weight[:, order.ravel()] = node.weight
        name = f"{node.name}_input"
        while name in emitted or name in graph.by_name:
            name += "_"
        return Reshape.of(name, source, (source.type.size,)), replace(node, inputs=(name,), weight=weight)

    return _each(graph, rewrite)


def fuse_thresholds(graph: Graph) -> Graph:
    """A Threshold after a Threshold that nothing else uses becomes one with it, where that is monotone."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        first = emitted[node.inputs[0]] if node.inputs else node
        if not (isinstance(node, Threshold) and isinstance(first, Threshold)) or len(graph.consumers(first.name)) != 1:
            return (node,)
        return (_fitted(node.name, emitted[first.inputs[0]], (first, node)) or node,)

    return _each(graph, rewrite)


def simplify_thresholds(graph: Graph) -> Graph:
    """Without thresholds that are never or always reached, with one row where all are equal; identities go."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Threshold):
            return (node,)
        source = emitted[node.inputs[0]]
        fitted = _fitted(node.name, source, (node,))
        if fitted is None:
            return (node,)
        steps = fitted.thresholds.shape == (1, source.type.hi - source.type.lo)
        if steps and fitted.base[0] == source.type.lo and fitted.step[0] == 1:
            identity = np.arange(source.type.lo + 1, source.type.hi + 1)
            return (source,) if np.array_equal(fitted.thresholds[0], identity) else (fitted,)
        return (fitted,)

    return _each(graph, rewrite)


def trim_tables(graph: Graph) -> Graph:
    """Tables hold what their input's interval reaches, and one row where all are equal."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Table):
            return (node,)
        source = emitted[node.inputs[0]]
        values = node.values[:, source.type.lo - node.lo : source.type.hi - node.lo + 1]
        return (Table.of(node.name, source, values[:1] if (values == values[0]).all() else values),)

    return _each(graph, rewrite)


def narrow(graph: Graph) -> Graph:
    """Every type as tight as its inputs' types allow."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        return (replace(node, type=node.infer(*(emitted[name].type for name in node.inputs))),)

    return _each(graph, rewrite)


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes that the output does not need; the Input stays."""
    needed = {graph.output, graph.input.name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.name in needed))


PASSES: tuple[Pass, ...] = (
    drop_dead,
    narrow,
    merge_identical,
    sink_transposes,
    join_moves,
    absorb_transposes,
    simplify_thresholds,
    fuse_thresholds,
    trim_tables,
    narrow,
    join_moves,
    drop_dead,
)


def run_passes(graph: Graph) -> Graph:
    """All passes in order, each verified."""
    for apply in PASSES:
        graph = verify(apply(graph))
    return graph


def _rows(node: Threshold | Table) -> int:
    return len(node.base) if isinstance(node, Threshold) else len(node.values)


def _fitted(name: str, source: Node, stairs: tuple[Threshold, ...]) -> Threshold | None:
    """The Threshold on `source` that equals the `stairs` one after the other, or None if none does."""
    lo, rows = source.type.lo, max(map(_rows, stairs))
    jumps = np.broadcast_to(stairs[0].thresholds, (rows, stairs[0].thresholds.shape[1]))
    points = np.concatenate([np.full((rows, 1), lo), np.maximum(jumps, lo)], axis=1)
    levels = points.T
    for stair in stairs:
        levels = stair.evaluate(levels)
    fitted = Threshold.fit(name, source, points, levels.T)
    if fitted is None or not all((part == part[0]).all() for part in (fitted.thresholds, fitted.base, fitted.step)):
        return fitted
    return replace(fitted, thresholds=fitted.thresholds[:1], base=fitted.base[:1], step=fitted.step[:1])
