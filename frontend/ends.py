"""Moves at a graph's two ends are the host's work: there the hardware has its own order of elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.frontend.ir import Array, Graph, Input
from lutwright.frontend.nodes import Transpose
from lutwright.frontend.passes import drop_dead, run_passes
from lutwright.frontend.passes.chains import Step, walk
from lutwright.frontend.passes.rewrite import Names, each


@dataclass(frozen=True)
class Ends:
    """`input`: the axes by which the host permutes a sample's integers before the hardware; () for none.

    `output`: the moves by which it brings the hardware's integers, of `shape` a sample, to their order in the model.
    """

    input: tuple[int, ...]
    output: tuple[Step, ...]
    shape: tuple[int, ...]

    def unmoved_input(self, q: Array) -> Array:
        """The integers [n, ...] of the hardware's input in the model's order."""
        return q.transpose(0, *(1 + np.argsort(self.input))) if self.input else q

    def moved_output(self, q: NDArray[Any]) -> NDArray[Any]:
        """Values [n, ...] in the model's order as the hardware's output has them."""
        order = np.arange(int(np.prod(self.shape))).reshape(1, *self.shape)
        for step in self.output:
            order = step.move(order)
        moved = np.empty((len(q), order.size), q.dtype)
        moved[:, order.ravel()] = q.reshape(len(q), -1)
        return moved.reshape(len(q), *self.shape)


def give_moves_to_host(graph: Graph) -> tuple[Graph, Ends]:
    """The graph after the passes without the Transposes at its ends that the host can do, and these."""
    graph, output = _output(graph)
    best, found = graph, Ends((), output, graph[graph.output].type.shape)
    rank = len(graph.input.type.shape)
    for axes in dict.fromkeys(node.axes for node in graph if isinstance(node, Transpose) and len(node.axes) == rank):
        moved, more = _output(run_passes(_input(graph, axes)))
        if _transposes(moved) < _transposes(best):
            best, found = moved, Ends(axes, (*more, *output), moved[moved.output].type.shape)
    return best, found


def _transposes(graph: Graph) -> int:
    return sum(isinstance(node, Transpose) for node in graph)


def _input(graph: Graph, axes: Sequence[int]) -> Graph:
    """The graph with its Input's axes permuted, and moved back after it."""
    old = graph.input
    new = Input(
        Names(graph)(f"{old.name}_moved"), (), replace(old.type, shape=tuple(old.type.shape[axis] for axis in axes))
    )
    back = Transpose.of(old.name, new, tuple(map(int, np.argsort(axes))))
    return each(graph, lambda node, emitted: (new, back) if isinstance(node, Input) else (node,))


def _output(graph: Graph) -> tuple[Graph, tuple[Step, ...]]:
    """The graph without the moves before its output, if a Transpose is among them, and these."""
    source, moves = walk(graph[graph.output], graph.by_name)
    if isinstance(source, Input) or not any(isinstance(move, Transpose) for move in moves):
        return graph, ()
    return drop_dead(replace(graph, output=source.name)), tuple(map(Step.of, moves))
