"""Chains of Reshapes and Transposes in their shortest form: a Reshape that splits axes, a Transpose, a Reshape.

An element of the result lies at sum of index * stride of the source, in raster order. An Atom is one such term. A
Transpose permutes the atoms of its axes, a Reshape regroups them and splits one where it cuts through it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.frontend.ir import Node
from lutwright.frontend.nodes import Reshape, Take, Transpose
from lutwright.frontend.passes.rewrite import Emitted, Names

Shape = tuple[int, ...]
Move = Reshape | Transpose


@dataclass(frozen=True)
class Atom:
    """A part of a source axis: `size` elements that lie `stride` apart."""

    axis: int
    stride: int
    size: int


@dataclass(frozen=True)
class Step:
    """A move without a name: to a shape (Reshape), by axes (Transpose), or by indices along the last axis (Take)."""

    kind: type[Reshape] | type[Transpose] | type[Take]
    numbers: Shape

    @classmethod
    def of(cls, move: Move) -> Step:
        return cls(type(move), move.axes if isinstance(move, Transpose) else move.type.shape)

    def move(self, x: NDArray[Any]) -> NDArray[Any]:
        """The step on a batch of a Reshape's or a Transpose's input."""
        if self.kind is Reshape:
            return x.reshape(len(x), *self.numbers)
        return x.transpose(0, *(axis + 1 for axis in self.numbers))

    def build(self, name: str, source: Node) -> Node:
        if self.kind is Take:
            return Take.of(name, source, len(source.type.shape) - 1, np.array(self.numbers, np.int64))
        return (
            Reshape.of(name, source, self.numbers) if self.kind is Reshape else Transpose.of(name, source, self.numbers)
        )


def walk(node: Node, emitted: Emitted) -> tuple[Node, list[Move]]:
    """The node before the moves that end in `node`, and these moves in order."""
    moves: list[Move] = []
    while isinstance(node, (Reshape, Transpose)):
        moves.append(node)
        node = emitted[node.inputs[0]]
    return node, moves[::-1]


def emit(names: Names, steps: Sequence[Step], source: Node, name: str) -> tuple[Node, ...]:
    """The steps as nodes on the source; the last one gets the name. Without steps: the source."""
    built = [source]
    for left, step in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
        wish = "turned" if step.kind is Transpose else "split"
        built.append(step.build(names(f"{name}_{wish}") if left else name, built[-1]))
    return tuple(built[1:] or built)


def shortest(shape: Shape, steps: Sequence[Step]) -> list[Step] | None:
    """The steps that make the same of a tensor of that shape; None if a Reshape cuts axes at no divisor.

    Reshapes after each other need no divisors: only the last one counts.
    """
    steps = _without_overwritten(steps)
    if [step.kind for step in steps] == [Reshape]:
        return [] if steps[0].numbers == shape else steps
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    groups = [[Atom(i, stride, size)] * (size > 1) for i, (stride, size) in enumerate(zip(strides, shape, strict=True))]
    target = shape
    for step in steps:
        if step.kind is Transpose:
            groups, target = [groups[axis] for axis in step.numbers], tuple(target[axis] for axis in step.numbers)
        else:
            regrouped = _regroup([atom for group in groups for atom in group], step.numbers)
            if regrouped is None:
                return None
            groups, target = regrouped, step.numbers
    groups = [_joined(group) for group in groups]
    flat = [atom for group in groups for atom in group]
    ordered = sorted(flat, key=lambda atom: -atom.stride)
    if flat == ordered:
        return [] if target == shape else [Step(Reshape, target)]
    if (
        len(shape) == len(target)
        and all(len(group) <= 1 for group in groups)
        and len(flat) == sum(s > 1 for s in shape)
    ):
        ones = (axis for axis, size in enumerate(shape) if size == 1)
        return [Step(Transpose, tuple(group[0].axis if group else next(ones) for group in groups))]
    axes = tuple(ordered.index(atom) for atom in flat)
    last = len(shape) - 1
    if (
        shape == target
        and all(atom.axis == last for atom in groups[-1])
        and _outer(flat, last) == _outer(ordered, last)
    ):
        inner = [atom for atom in ordered if atom.axis == last]
        order = [inner.index(atom) for atom in groups[-1]]
        index = np.arange(shape[-1]).reshape([atom.size for atom in inner]).transpose(order).ravel()
        return [Step(Take, tuple(map(int, index)))]
    split, joined = tuple(atom.size for atom in ordered), tuple(atom.size for atom in flat)
    before, after = [Step(Reshape, split)] * (split != shape), [Step(Reshape, target)] * (joined != target)
    return [*before, Step(Transpose, axes), *after]


def _without_overwritten(steps: Sequence[Step]) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        if kept and kept[-1].kind is step.kind is Reshape:
            kept.pop()
        kept.append(step)
    return kept


def _regroup(atoms: list[Atom], shape: Shape) -> list[list[Atom]] | None:
    rest = atoms[::-1]
    groups: list[list[Atom]] = []
    for size in shape:
        group: list[Atom] = []
        while size > 1:
            atom = rest.pop()
            if size % atom.size == 0:
                group.append(atom)
                size //= atom.size
            elif atom.size % size == 0:
                inner = atom.size // size
                group.append(Atom(atom.axis, atom.stride * inner, size))
                rest.append(Atom(atom.axis, atom.stride, inner))
                size = 1
            else:
                return None
        groups.append(group)
    return groups


def _joined(group: list[Atom]) -> list[Atom]:
    """The group with the neighbours joined that a Reshape had split."""
    joined: list[Atom] = []
    for atom in group:
        before = joined[-1] if joined else None
        if before and before.axis == atom.axis and before.stride == atom.stride * atom.size:
            joined[-1] = Atom(atom.axis, atom.stride, before.size * atom.size)
        else:
            joined.append(atom)
    return joined


def _outer(atoms: list[Atom], last: int) -> list[Atom]:
    return [atom for atom in atoms if atom.axis != last]
