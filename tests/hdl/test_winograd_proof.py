"""Winograd's transforms and Strassen's products as hardware adds them up, proved for all elements of small widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from amaranth import Const, Module, Signal, Value
from amaranth.hdl import Elaboratable

from lutwright.frontend.ir import Array, Type
from lutwright.hdl import yosys
from lutwright.hdl.emit import convert
from lutwright.hdl.engines.products import wide
from lutwright.hdl.winograd.combination import Combination
from lutwright.hdl.winograd.cook_toom import minimal_filter
from lutwright.hdl.winograd.method import bits_type, v_type
from lutwright.hdl.winograd.quotient import stepped, steps
from lutwright.hdl.winograd.strassen import LEFT, RESULT, RIGHT

from .checks import Wires

PROOF = "read_rtlil in.il\nprep -top core -flatten\nsat -prove differs 0 -verify -timeout 300 core\n"


def combined(m: Module, elements: list[Value], x: Type, matrix: Array, y: Type, shift: int = 0) -> list[Value]:
    """All results of a Combination of one lane."""
    part = Combination(Type((1, len(elements), 1), x.lo, x.hi), matrix, Type((), y.lo, y.hi), shift)
    held = [Signal(part.i_beats.shape, name="held") for _ in elements]
    m.d.comb += [signal.eq(element) for signal, element in zip(held, elements, strict=True)]
    rows = range(len(matrix))
    return [part.result(m, held, [Const(row, 8)] * 3, Wires(m))[shift:].as_signed() for row in rows]


class Filtered(Elaboratable):
    """F(m, r) beside the correlation, with the weights `w`; `broken`: the first product is one too large."""

    def __init__(self, m: int, r: int, x: Type, w: tuple[int, ...], broken: bool = False) -> None:
        self.filter, self.x, self.w, self.broken = minimal_filter(m, r), x, np.array(w), broken
        self.elements, self.differs = Signal(self.filter.t * x.width), Signal()
        self.ports = {name: (getattr(self, name), None) for name in ("elements", "differs")}

    def elaborate(self, platform: object) -> Module:
        m, one, x = Module(), self.filter, self.x
        parts = [self.elements.word_select(k, x.width) for k in range(one.t)]
        elements = [part.as_signed() if x.signed else part for part in parts]
        reach = int(abs(self.w).sum()) * max(-x.lo, x.hi)
        width = (2 * reach).bit_length() + 1  # of y
        kept = bits_type(width + one.shift)
        v = combined(m, elements, x, one.b, v_type((one,), x))
        products = [wide(int(u) * value, kept.width).as_signed() for u, value in zip(one.g @ self.w, v, strict=True)]
        products[0] = (products[0] + self.broken)[: kept.width].as_signed()
        sums = combined(m, products, kept, one.a, bits_type(width), one.shift)
        differs: Value = Const(0)
        for place, value in enumerate(sums):
            y: Value = value[:width]
            for shift, sign in steps(one.odd, width):
                y = stepped(y, shift, sign)
            exact = sum(int(w) * elements[place + k] for k, w in enumerate(self.w))
            differs = differs | (y != wide(exact, width))
        m.d.comb += self.differs.eq(differs)
        return m


class Multiplied(Elaboratable):
    """Seven products of sums beside the product of two 2 x 2 matrices, whose left one is `left`."""

    def __init__(self, left: Array, x: Type) -> None:
        self.left, self.x = left, x
        self.elements, self.differs = Signal(4 * x.width), Signal()
        self.ports = {name: (getattr(self, name), None) for name in ("elements", "differs")}

    def elaborate(self, platform: object) -> Module:
        m, x = Module(), self.x
        elements = [self.elements.word_select(k, x.width).as_signed() for k in range(4)]
        right, width = Type((), 4 * x.lo, 4 * x.hi), 16
        v = combined(m, elements, x, np.array(RIGHT), right)
        u = np.array(LEFT) @ self.left.ravel()
        products = [wide(int(factor) * value, width).as_signed() for factor, value in zip(u, v, strict=True)]
        sums = combined(m, products, bits_type(width), np.array(RESULT), bits_type(width))
        differs: Value = Const(0)
        for index, value in enumerate(sums):
            row, column = divmod(index, 2)
            exact = sum(int(self.left[row, k]) * elements[2 * k + column] for k in range(2))
            differs = differs | (value[:width] != wide(exact, width))
        m.d.comb += self.differs.eq(differs)
        return m


# All is linear in the weights too, modulo powers of two: those with a single 1 stand for all others.
@pytest.mark.parametrize("w", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-3, 1, 2)])
@pytest.mark.parametrize("x", [Type((), -2, 1), Type((), 0, 3)], ids=str)
@pytest.mark.parametrize("m", [2, 4])
def test_a_filter_is_the_correlation(m: int, x: Type, w: tuple[int, ...], tmp_path: Path) -> None:
    core = Filtered(m, 3, x, w)
    (tmp_path / "in.il").write_text(convert(core, "core", core.ports))
    yosys.run(PROOF, tmp_path)


def test_a_proof_of_a_wrong_filter_fails(tmp_path: Path) -> None:
    core = Filtered(2, 3, Type((), -2, 1), (1, 0, 0), broken=True)
    (tmp_path / "in.il").write_text(convert(core, "core", core.ports))
    with pytest.raises(Exception, match="proof did fail"):
        yosys.run(PROOF, tmp_path)


@pytest.mark.parametrize("place", range(4))
def test_block_products_are_the_product(place: int, tmp_path: Path) -> None:
    core = Multiplied(np.eye(4, dtype=np.int64)[place].reshape(2, 2), Type((), -4, 3))
    (tmp_path / "in.il").write_text(convert(core, "core", core.ports))
    yosys.run(PROOF, tmp_path)
