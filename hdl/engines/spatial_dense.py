"""A layer built once for every weight: constants wired into logic, a vector a clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth import Const, Module, Signal, Value, unsigned

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import adder_tree, tree_depth
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.tokens import Stages, pipeline

Plane = tuple[tuple[int, bool], ...]
"""A sum of elements, some of them negated: (column, negated), the first not negated."""


@dataclass(frozen=True)
class Row:
    """sum over terms of ±2**exponent * plane, plus constant."""

    terms: tuple[tuple[Plane, int, bool], ...]
    constant: int


def digits(weights: Array) -> list[Array]:
    """Arrays of -1, 0, 1 that, times 1, 2, 4, …, add up to `weights`: canonical signed digits, the fewest non-zeros."""
    planes, rest = [], weights.copy()
    while rest.any():
        digit = np.where(rest & 1, 2 - (rest & 3), 0)
        planes.append(digit)
        rest = (rest - digit) >> 1
    return planes


def decompose(node: Dense) -> list[Row]:
    """The rows of a layer as sums of planes; equal and opposite planes of different rows are one."""
    terms: list[list[tuple[Plane, int, bool]]] = [[] for _ in node.weight]
    for exponent, plane in enumerate(digits(node.weight)):
        for row, signs in enumerate(plane):
            columns = np.flatnonzero(signs)
            if len(columns):
                sign = signs[columns[0]]
                key = tuple((int(column), bool(signs[column] != sign)) for column in columns)
                terms[row].append((key, exponent, bool(sign < 0)))
    return [Row(tuple(row), int(bias)) for row, bias in zip(terms, node.bias, strict=True)]


class SpatialDense(StreamComponent):
    """y[n] = bias[n] + sum over k of weight[n, k] * x[k], all of it in every cycle.

    A negated element is its complement, whose excess joins the row's constant. Zero weights cost nothing.
    Ports: i: Beats(x, K), o: Beats(node.type, N). Latency: `depth` cycles. Throughput: a vector a cycle.
    """

    def __init__(self, node: Dense, x: Type) -> None:
        super().__init__(Beats(x, x.channels), Beats(node.type, len(node.weight)))
        self.x, self.rows = x, decompose(node)
        planes = {plane for row in self.rows for plane, _, _ in row.terms}
        self.plane_depth = max((self._plane_depth(plane) for plane in planes), default=0)
        self.row_depth = max(1, *(self._row_depth(row) for row in self.rows))
        self.depth = self.plane_depth + self.row_depth

    def _plane_depth(self, plane: Plane) -> int:
        return tree_depth(len(plane), one_bit=self.i_beats.shape == unsigned(1))

    @staticmethod
    def _row_depth(row: Row) -> int:
        return tree_depth(len(row.terms) + 1, one_bit=False)  # the constant is one more

    def control(self) -> Stages:
        return pipeline(self.depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def delayed(value: Value, name: str, cycles: int = 1, data: bool = True) -> Value:
            for _ in range(cycles):
                register = Signal.like(value, name=name, reset_less=data)
                with m.If(advance):
                    m.d.sync += register.eq(value)
                value = register
            return value

        def tree(terms: list[Value]) -> Value:
            return adder_tree(m, terms, lambda value: delayed(value, "sum"))

        # ~x is -x - 1 for a signed x, and 2 ** width - 1 - x for an unsigned one.
        width, is_signed = self.x.width, self.x.signed
        complement = -1 if is_signed else (1 << width) - 1
        words = [self.i.payload.data.as_value().word_select(k, width) for k in range(self.x.channels)]
        columns = [(word, (~word)[:width]) for word in words]
        sums: dict[Plane, Value] = {}
        for row, y in zip(self.rows, self.o.payload.data, strict=True):
            constant, terms = row.constant, []
            for plane, exponent, negated in row.terms:
                if plane not in sums:
                    elements = [columns[k][flip].as_signed() if is_signed else columns[k][flip] for k, flip in plane]
                    sums[plane] = delayed(tree(elements), "plane", self.plane_depth - self._plane_depth(plane))
                excess = complement * sum(flip for _, flip in plane)
                constant += (excess if negated else -excess) << exponent
                terms.append((-sums[plane] if negated else sums[plane]) << exponent)
            total = tree([*terms, Const(constant)])
            m.d.comb += y.eq(delayed(total, "y", self.row_depth - self._row_depth(row)))
        m.d.comb += self.o.valid.eq(delayed(self.i.valid, "valid", self.depth, data=False))
        m.d.comb += self.o.payload.last.eq(delayed(self.i.payload.last, "last", self.depth))
        return m
