"""Products with a small constant matrix, row by row, as sums of few terms: which element each adds, how far shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lutwright.frontend.ir import Array
from lutwright.hdl.engines.spatial_dense import digits


@dataclass(frozen=True)
class Operand:
    """An element of the vector, or one plus or minus another: by row, `signs` of the other one, where there is one."""

    column: int
    other: int | None = None
    signs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Choice:
    """sign * (operand << shift)."""

    operand: Operand
    shift: int
    sign: int


Slot = tuple[Choice | None, ...]
"""By row, a term or none."""


def operands(matrix: Array) -> list[tuple[Operand, Array]]:
    """What rows add up, and by how much of it, [rows]: columns alike but for signs are added to one another first."""
    found, taken = list[tuple[Operand, Array]](), set[int]()
    for column in range(matrix.shape[1]):
        if column in taken or not matrix[:, column].any():
            continue
        alike = (
            other
            for other in range(column + 1, matrix.shape[1])
            if other not in taken and (abs(matrix[:, other]) == abs(matrix[:, column])).all()
        )
        other = next(alike, None)
        if other is None:
            found.append((Operand(column), matrix[:, column]))
        else:
            taken.add(other)
            signs = np.sign(matrix[:, column] * matrix[:, other]) | 1  # any where neither is there
            found.append((Operand(column, other, tuple(int(sign) for sign in signs)), matrix[:, column]))
    return found


def slots(matrix: Array) -> list[Slot]:
    """Terms of which each row adds one a slot, as few slots as rows need, with few different terms in each.

    Slots hold single elements, or else sums of two.
    """
    found = list[Slot]()
    parts = operands(matrix)
    for paired in (False, True):
        rows: list[list[Choice]] = [[] for _ in matrix]
        for operand, factors in parts:
            if (operand.other is not None) == paired:
                for shift, plane in enumerate(digits(factors)):
                    for row in np.flatnonzero(plane):
                        rows[row].append(Choice(operand, shift, int(plane[row])))
        found += _assigned(rows)
    return found


def _assigned(rows: list[list[Choice]]) -> list[Slot]:
    """Each row's terms in slots: where one has the same already, else the same but for its sign, else any."""
    count = max(map(len, rows))
    table: list[list[Choice | None]] = [[None] * len(rows) for _ in range(count)]
    for index, row in sorted(enumerate(rows), key=lambda pair: -len(pair[1])):
        left = list(row)
        for alike in (_same, _same_but_sign, _any):
            for choice in list(left):
                for slot in table:
                    if slot[index] is None and any(there and alike(there, choice) for there in slot):
                        slot[index] = choice
                        left.remove(choice)
                        break
        for choice in left:
            next(slot for slot in table if slot[index] is None)[index] = choice
    return [tuple(slot) for slot in table]


def _same(one: Choice, other: Choice) -> bool:
    return one == other


def _same_but_sign(one: Choice, other: Choice) -> bool:
    return (one.operand, one.shift) == (other.operand, other.shift)


def _any(one: Choice, other: Choice) -> bool:
    return one.sign == other.sign
