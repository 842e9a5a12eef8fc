"""Reshapes and Transposes go towards the output, through every node that does not mind, and meet there or vanish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lutwright.frontend.ir import Graph, Node
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
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
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.passes.chains import Move, Step, emit, shortest, walk
from lutwright.frontend.passes.rewrite import Emitted, Names, each

Axes = tuple[int, ...]
T = TypeVar("T")


def sink_moves(graph: Graph) -> Graph:
    """Moves after each other become one, moves before a node go behind it."""
    names = Names(graph)

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if isinstance(node, (Reshape, Transpose)):
            return _shortened(node, emitted, names)
        return _sunk(node, emitted, names)

    return each(graph, rewrite)


def absorb_moves(graph: Graph) -> Graph:
    """A Dense takes its columns in the order that the Transposes, or a Take of channels, before it would give them."""
    names = Names(graph)

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Dense):
            return _without_take(node, emitted)
        source, moves = walk(emitted[node.inputs[0]], emitted)
        if not any(isinstance(move, Transpose) for move in moves):
            return _without_take(node, emitted)
        columns = node.weight.shape[1]
        order = np.arange(source.type.size).reshape(1, *source.type.shape)
        for move in moves:
            order = move.evaluate(order)
        order = order.reshape(-1, columns)
        if (order != order[:1] + columns * np.arange(len(order))[:, np.newaxis]).any() or order[0].max() >= columns:
            return (node,)
        weight = np.empty_like(node.weight)
        weight[:, order[0]] = node.weight
        flat = Reshape.of(names(f"{node.name}_input"), source, moves[-1].type.shape)
        return flat, replace(node, inputs=(flat.name,), weight=weight)

    return each(graph, rewrite)


def _without_take(node: Node, emitted: Emitted) -> tuple[Node, ...]:
    """A Dense or Conv on a Take that leaves no channel out, on the source of that."""
    take = emitted[node.inputs[0]] if node.inputs else node
    plain = isinstance(node, Dense) or (isinstance(node, Conv) and node.groups == 1)
    if not plain or not isinstance(take, Take) or take.axis != len(take.type.shape) - 1:
        return (node,)
    assert isinstance(node, (Dense, Conv))
    source = emitted[take.inputs[0]]
    if len(set(take.indices.tolist())) < source.type.channels:
        return (node,)
    weight = np.zeros((*node.weight.shape[:-1], source.type.channels), np.int64)
    for column, index in enumerate(take.indices):
        weight[..., index] += node.weight[..., column]
    return (replace(node, inputs=take.inputs, weight=weight),)


def _shortened(node: Move, emitted: Emitted, names: Names) -> tuple[Node, ...]:
    source, moves = walk(emitted[node.inputs[0]], emitted)
    given = [Step.of(move) for move in (*moves, node)]
    steps = shortest(source.type.shape, given)
    return (node,) if steps is None or steps == given else emit(names, steps, source, node.name)


def _sunk(node: Node, emitted: Emitted, names: Names) -> tuple[Node, ...]:
    """The node on what stands before the moves, then the moves."""
    extra: list[Node] = []
    behind: list[Step] = []
    known = dict(emitted)
    inner = node
    while inner.inputs:
        pushed = _alike(inner, known) or _aligned(inner, known, names)
        if pushed is None:
            break
        move, sources, new = pushed
        moved = _through(inner, move, sources)
        if moved is None:
            break
        if behind and _undoes(moved[1], behind[0]):
            break  # the operands would be turned back and forth
        inner, after = moved
        types = {source.name: source.type for source in sources}
        inner = replace(inner, type=inner.infer(*(types[name] for name in inner.inputs)))  # perhaps in another order
        extra += new
        known |= {item.name: item for item in new}
        behind.insert(0, after)
    if not behind:
        return (node,)
    inner = replace(inner, name=names(f"{node.name}_unmoved"))
    return *extra, inner, *emit(names, behind, inner, node.name)


def _undoes(first: Step, second: Step) -> bool:
    """Whether the second Transpose puts back what the first one moved."""
    transposes = first.kind is Transpose and second.kind is Transpose
    return transposes and tuple(map(int, np.argsort(first.numbers))) == tuple(second.numbers)


def _alike(node: Node, emitted: Emitted) -> tuple[Step, list[Node], list[Node]] | None:
    """The move that all inputs carry, and what stands before it."""
    inputs = [emitted[name] for name in node.inputs]
    moves = [item for item in inputs if isinstance(item, (Reshape, Transpose))]
    if len(moves) < len(inputs) or any(Step.of(move) != Step.of(moves[0]) for move in moves):
        return None
    sources = [emitted[move.inputs[0]] for move in moves]
    if isinstance(moves[0], Reshape) and any(source.type.shape != sources[0].type.shape for source in sources):
        return None
    return Step.of(moves[0]), sources, []


def _aligned(node: Node, emitted: Emitted, names: Names) -> tuple[Step, list[Node], list[Node]] | None:
    """A Transpose that some inputs carry and that the others can give, with fewer Transposes than now."""
    inputs = [emitted[name] for name in node.inputs]
    moves = [item for item in inputs if isinstance(item, Transpose)]
    for axes in dict.fromkeys(move.axes for move in moves):
        inverse = tuple(map(int, np.argsort(axes)))
        sources: list[Node] = []
        new: list[Node] = []
        cost = 0
        for item in inputs:
            if len(item.type.shape) != len(axes):
                return None
            if isinstance(item, Transpose) and item.axes == axes:
                sources.append(emitted[item.inputs[0]])
                continue
            turned = _turned(item, inverse, emitted, names)
            if turned is None:
                cost += 1
                turned = (Transpose.of(names(f"{item.name}_turned"), item, inverse),)
            new += [part for part in turned if part.name not in emitted]
            sources.append(turned[-1])
        if cost < len(moves):
            return Step(Transpose, axes), sources, new
    return None


def _turned(node: Node, axes: Axes, emitted: Emitted, names: Names) -> tuple[Node, ...] | None:
    """The node's value with its axes permuted, if that needs no Transpose."""
    source, moves = walk(node, emitted)
    if moves:
        steps = shortest(source.type.shape, [*map(Step.of, moves), Step(Transpose, axes)])
        if steps is None or any(step.kind is not Reshape for step in steps):
            return None
        return emit(names, steps, source, names(f"{node.name}_turned") if steps else source.name)
    if isinstance(node, Take):
        inner = _turned(emitted[node.inputs[0]], axes, emitted, names)
        if inner is None:
            return None
        return *inner, Take.of(names(f"{node.name}_turned"), inner[-1], axes.index(node.axis), node.indices)
    return None


def _through(node: Node, move: Step, sources: Sequence[Node]) -> tuple[Node, Step] | None:
    """The node before the move on each of its inputs, and the move that then follows it; None if it minds."""
    before = replace(node, inputs=tuple(source.name for source in sources))
    shape = sources[0].type.shape
    elementwise = isinstance(node, (Threshold, Table, Clamp, Add, Multiply))
    if move.kind is Reshape:
        kept = bool(shape and move.numbers) and shape[-1] == move.numbers[-1]
        return (before, move) if elementwise and (_rows(node) == 1 or kept) else None
    axes = move.numbers
    kept = axes[-1] == len(axes) - 1
    match before:
        case Threshold() | Table() | Clamp() | Add() | Multiply():
            return (before, move) if kept or _rows(node) == 1 else None
        case Dense() | ArgMax():
            return (before, move) if kept else None
        case Embedding():
            return before, Step(Transpose, (*axes, len(axes)))
        case Take() | Concat():
            return replace(before, axis=axes[before.axis]), move
        case Pad():
            return replace(before, pads=_unpermuted(before.pads, axes)), move
        case Stuff():
            return replace(before, strides=_unpermuted(before.strides, axes)), move
        case Pool() if kept:
            return replace(before, window=_window(before.window, axes[:-1])), move
        case Conv() if kept:
            inverse = np.argsort(axes)
            weight = before.weight.transpose(0, *(inverse + 1))
            return replace(before, weight=weight, window=_window(before.window, axes[:-1])), move
        case MatMul():
            return _matmul(before, axes)
    return None


def _matmul(node: MatMul, axes: Axes) -> tuple[Node, Step] | None:
    rank = len(axes)
    if axes[-2:] == (rank - 2, rank - 1):
        return node, Step(Transpose, axes)
    if axes[-2:] == (rank - 1, rank - 2):  # the product of transposed matrices is the other product, transposed
        return replace(node, inputs=node.inputs[::-1]), Step(Transpose, axes)
    return None


def _rows(node: Node) -> int:
    match node:
        case Threshold() | Add():
            return len(node.base if isinstance(node, Threshold) else node.factors)
        case Table():
            return len(node.values)
    return 1


def _unpermuted(items: Sequence[T], axes: Axes) -> tuple[T, ...]:
    """What stands at axis i after the permutation belongs to axis axes[i] before it."""
    return tuple(items[axes.index(axis)] for axis in range(len(axes)))


def _window(window: Window, axes: Axes) -> Window:
    kernel, strides, dilations = (_unpermuted(part, axes) for part in (window.kernel, window.strides, window.dilations))
    return Window(kernel, strides, dilations, _unpermuted(window.pads, axes))
