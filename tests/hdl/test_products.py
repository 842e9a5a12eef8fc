"""Packed products are exact: every code of narrow factors, the sums at their ends, a proof, and the layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from amaranth import Cat, Const, Elaboratable, Module, Shape, Signal, Value
from amaranth.back import rtlil

from lutwright.frontend.device import Family, device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl import emit, yosys
from lutwright.hdl.arith import typed
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.multiply import MultiplyDsp
from lutwright.hdl.engines.packing import Packing, packing
from lutwright.hdl.engines.products import element_fields, packed_elements, packed_weights, unpacked
from lutwright.hdl.registers import Registers
from lutwright.hdl.synth import resources, synthesize
from lutwright.testbenches.netlist import plain
from lutwright.testbenches.runner import simulate

from .harness import run

FAMILIES: tuple[Family, ...] = ("ecp5", "ice40", "gowin", "xc7")
DEVICES = {"ecp5": "ecp5-85k", "ice40": "ice40-up5k", "gowin": "gw2a-18", "xc7": "xc7"}


def interval(bits: int, signed: bool) -> Type:
    return Type((), -(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)


def kinds(widths: range) -> Iterator[tuple[Type, Type]]:
    for weight, x in itertools.product(widths, widths):
        for signs in itertools.product((False, True), repeat=2):
            yield interval(weight, signs[0]), interval(x, signs[1])


def low(value: Array, bits: int, signed: bool) -> Array:
    """The lowest bits as a number."""
    kept: Array = value & ((1 << bits) - 1)
    return np.where(kept >> (bits - 1), kept - (1 << bits), kept) if signed else kept


def factor(made: Packing, weights: Array) -> Array:
    """The packed weights [...] as the engine makes them of stored codes, from weights [..., rows, lanes]."""
    width, total = made.weight.width, np.zeros(weights.shape[:-2], np.int64)
    stored = made.stored(weights & ((1 << width) - 1))
    assert stored.min() >= 0 and stored.max() < 1 << width
    below, place = np.zeros(weights.shape[:-2], np.int64), made.lanes - weights.shape[-1]
    for row in range(weights.shape[-2]):
        for lane in reversed(range(weights.shape[-1])):
            code = stored[..., row, lane]
            if made.weight.signed:
                sign = code >> (width - 1)
                if place and made.extended:
                    sign |= below & (code & ((1 << width - 1) - 1) == (1 << width - 1) - 1)
                code, below = code - (sign << width), sign
            top = place == made.rows * made.lanes - 1
            total += (code if top else code & ((1 << made.shift) - 1)) << (made.shift * place)
            place += 1
    return total


def sums(made: Packing, total: Array, added: int) -> list[Array]:
    """The rows' sums out of those of products."""
    total = low(total, made.width(added), made.signed)
    result = []
    for row in range(made.rows):
        start = made.shift * (row * made.lanes + made.lanes - 1)
        bits = made.width(added) - start if row == made.rows - 1 else made.shift
        carry = total >> (start - 1) & 1 if start and made.signed else 0
        result.append(low(total >> start, bits, made.signed) + carry)
    return result


def blocks(made: Packing) -> tuple[Array, Array]:
    """Weights and elements of a block: all there are, or where those are many the ends and some drawn."""
    fields = made.rows * made.lanes
    ranges = [made.weight] * fields + [made.x] * made.lanes
    size = 1
    for one in ranges:
        size *= one.hi - one.lo + 1
    if size <= 1 << 17:
        every = np.array(list(itertools.product(*(range(one.lo, one.hi + 1) for one in ranges))), np.int64)
    else:
        ends = np.array(list(itertools.product(*((one.lo, one.hi) for one in ranges))), np.int64)
        rng = np.random.default_rng(size % 1000)
        drawn = np.stack([rng.integers(one.lo, one.hi + 1, 20_000) for one in ranges], axis=1)
        every = np.concatenate([ends, drawn])
    return every[:, :fields].reshape(-1, made.rows, made.lanes), every[:, fields:]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_packed_products_are_the_products(family: Family, rows: int, lanes: int) -> None:
    """As integers, every code of narrow factors; and the sums of as many as are added up, at all their ends."""
    for weight, x in kinds(range(1, 5)):
        made = packing(weight, x, rows, lanes, 1, family)
        if made is None:
            continue
        weights, elements = blocks(made)
        packed = factor(made, weights)
        np.testing.assert_array_equal(
            packed,
            sum(
                weights[:, row, lane] << made.shift * (row * lanes + lanes - 1 - lane)
                for row in range(rows)
                for lane in range(lanes)
            ),
        )
        spread = sum(elements[:, lane] << made.shift * lane for lane in range(lanes))
        expected = np.einsum("nrl,nl->rn", weights, elements)
        np.testing.assert_array_equal(sums(made, packed * spread, 1), expected)
        count = 2
        while (more := packing(weight, x, rows, lanes, count, family)) is not None and count <= 64:
            wider = sum(elements[:, lane] << more.shift * lane for lane in range(lanes)) * factor(more, weights)
            np.testing.assert_array_equal(sums(more, count * wider, count), count * expected)
            bits = [max(int(abs(2 * value + 1).max()).bit_length() for value in (factor(more, weights),))]
            assert bits[0] <= more.factors[0] + (not more.signed)
            count *= 2


KINDS = [
    # weights, elements, groups, N, K, foldings
    ((-8, 7), (0, 15), 1, 5, 11, ["5x4", "3x7", "1x3", "5x1"]),
    ((-7, 7), (-8, 7), 1, 6, 9, ["3x4", "2x9"]),
    ((-4, 3), (0, 7), 1, 7, 10, ["7x3", "4x10", "3x1"]),
    ((-2, 1), (-2, 1), 1, 9, 8, ["9x8", "5x2", "3x5"]),
    ((0, 3), (0, 3), 1, 4, 6, ["4x6", "3x1"]),
    ((-2, 1), (0, 3), 2, 6, 8, ["3x4", "6x8", "3x2"]),
    ((-8, 7), (2, 9), 3, 3, 9, ["1x3", "3x9", "1x1"]),
    ((-128, 127), (-128, 127), 1, 3, 4, ["3x2"]),
]
LAYERS = [(*kind[:5], fold, family) for kind in KINDS for fold in kind[5] for family in FAMILIES]


def layer(
    weights: tuple[int, int], x: tuple[int, int], groups: int, rows: int, columns: int, seed: int
) -> tuple[Dense, Type]:
    rng = np.random.default_rng(seed)
    source = Input("x", (), Type((columns,), *x))
    dense = rng.integers(weights[0], weights[1] + 1, (rows, columns))
    dense[0, 0], dense[-1, -1] = weights
    mask = np.kron(np.eye(groups, dtype=np.int64), np.ones((rows // groups, columns // groups), np.int64))
    return Dense.of("dense", source, dense * mask, rng.integers(-9, 9, rows)), source.type


@pytest.mark.parametrize(("weights", "x", "groups", "rows", "columns", "fold", "family"), LAYERS)
def test_a_layer_is_evaluate(
    weights: tuple[int, int], x: tuple[int, int], groups: int, rows: int, columns: int, fold: str, family: Family
) -> None:
    node, source = layer(weights, x, groups, rows, columns, seed=rows)
    component = MultiplyDsp().build(node, source, Folding(*map(int, fold.split("x"))), device(DEVICES[family]))
    samples = np.random.default_rng(3).integers(source.lo, source.hi + 1, (6, columns))
    samples[0], samples[1] = source.lo, source.hi
    samples[2] = np.where(node.weight[-1] > 0, source.lo, source.hi)
    stalls = (0.3, 0.3) if len(fold) + rows & 1 else (0.0, 0.0)
    ran = run(component, samples, stalls, seed=5, before=7)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))


class Proof(Elaboratable):
    """Whether the sums of `added` blocks, unpacked, are the sums of their products; `stored` as in `Packing.stored`."""

    def __init__(self, made: Packing, added: int) -> None:
        self.made, self.added = made, added
        self.codes = [
            [Signal(made.weight.width, name=f"w{block}_{field}") for field in range(made.rows * made.lanes)]
            for block in range(added)
        ]
        self.elements = [
            [Signal(made.x.width, name=f"x{block}_{lane}") for lane in range(made.lanes)] for block in range(added)
        ]
        self.equal = Signal()

    def elaborate(self, platform: object) -> Module:
        m, made = Module(), self.made
        registered = cast(Registers, lambda value, name: value)
        weight_shape, x_shape = (Shape(kind.width, kind.signed) for kind in (made.weight, made.x))
        products: list[Value] = []
        rows: list[list[Value]] = [[] for _ in range(made.rows)]
        for codes, elements in zip(self.codes, self.elements, strict=True):
            below: Value = Const(0, 1)
            block: list[list[Value]] = [[] for _ in range(made.rows)]
            for field, code in enumerate(codes):
                row, lane = divmod(field, made.lanes)
                block[row].insert(0, (code - below)[: len(code)])
                if made.weight.signed:
                    below = code[-1] | (~code.any() & below)
                element = typed(elements[made.lanes - 1 - lane], x_shape)
                rows[row].append(typed(code, weight_shape) * element)
            fields = element_fields(elements, made.x, registered, 1)
            product = Signal(Shape(made.width(1), made.signed))
            m.d.comb += product.eq(packed_elements(made, fields) * packed_weights(made, block, registered, 1))
            products.append(product)
        total = Signal(Shape(made.width(self.added), made.signed))
        m.d.comb += total.eq(sum(products[1:], products[0]))
        sums = unpacked(made, total)
        m.d.comb += self.equal.eq(
            Cat(
                (value if carry is None else value + carry) == sum(terms[1:], terms[0])
                for (value, carry), terms in zip(sums, rows, strict=True)
            ).all()
        )
        return m


PROOFS = [  # two lanes of 4 x 4 bits take Yosys minutes; above every code of them is computed
    # bits of weights and elements, whether elements have a sign, rows, lanes, blocks added up, family
    (4, 4, False, 2, 1, 1, "ice40"),
    (3, 3, True, 2, 1, 2, "ecp5"),
    (3, 3, False, 1, 2, 1, "ecp5"),
    (3, 3, True, 1, 2, 1, "ice40"),
    (4, 4, False, 3, 1, 1, "xc7"),
    (2, 2, False, 2, 2, 1, "ecp5"),
    (3, 3, True, 3, 1, 1, "ecp5"),
]


@pytest.mark.parametrize(("weight", "x", "signed", "rows", "lanes", "added", "family"), PROOFS)
def test_a_packed_product_is_proved(
    weight: int, x: int, signed: bool, rows: int, lanes: int, added: int, family: Family, tmp_path: Path
) -> None:
    made = packing(interval(weight, True), interval(x, signed), rows, lanes, added, family)
    assert made is not None
    proof = Proof(made, added)
    ports = [signal for block in (*proof.codes, *proof.elements) for signal in block]
    (tmp_path / "in.il").write_text(rtlil.convert(proof, name="top", ports=[*ports, proof.equal]))
    script = "read_rtlil in.il\nprep -flatten -top top\nwreduce\nalumacc\ntechmap\nopt -fast\nabc -g AND,XOR\n"
    log = yosys.run(f"{script}sat -prove equal 1 -verify -timeout 60 top\n", tmp_path)
    assert "SAT proof finished - no model found: SUCCESS!" in log


@pytest.mark.parametrize("name", DEVICES.values())
def test_two_products_a_block(name: str) -> None:
    """Blocks as predicted: of 4 x 4 bits two products each at the least, whatever the signs and the rows."""
    target = device(name)
    for weights, x, rows, columns, fold in [
        ((-8, 7), (0, 15), 6, 8, Folding(3, 4)),
        ((-7, 7), (-8, 7), 4, 8, Folding(1, 2)),
    ]:
        node, source = layer(weights, x, 1, rows, columns, seed=1)
        component = MultiplyDsp().build(node, source, fold, target)
        found = resources(emit.rtlil(component, "dut"), "dut", target)
        assert found.dsp == MultiplyDsp().cost(node, source, fold, target).dsps
        assert fold.pe * fold.simd >= 2 * found.dsp


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ecp5-85k", "ice40-up5k", "gw2a-18"])
@pytest.mark.parametrize(("x", "fold"), [((0, 15), Folding(2, 8)), ((-4, 3), Folding(3, 3))])
def test_the_netlist_is_the_layer(name: str, x: tuple[int, int], fold: Folding) -> None:
    """Yosys moves registers and adders into blocks."""
    node, source = layer((-8, 7), x, 1, 6, 24, seed=2)
    component, target = MultiplyDsp().build(node, source, fold, device(name)), device(name)
    whole = synthesize(emit.rtlil(component, "dut"), "dut", target)
    assert whole.total.dsp == MultiplyDsp().cost(node, source, fold, target).dsps > 0
    samples = np.random.default_rng(3).integers(source.lo, source.hi + 1, (20, 24))
    beats = (component.i_beats, component.o_beats)
    ran = simulate(plain(whole.netlist, "dut", target.family), "dut", *beats, samples, stalls=(0.4, 0.4), seed=13)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples).reshape(ran.outputs.shape))
