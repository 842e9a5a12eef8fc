"""Packed products are exact: every code of narrow factors, the sums at their ends, a proof, and the layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.back import rtlil

from lutwright.frontend.device import Family, device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl import emit, yosys
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.multiply import MultiplyDsp
from lutwright.hdl.engines.packing import Packing, packing
from lutwright.hdl.engines.products import packings
from lutwright.hdl.synth import resources

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
                weights[:, row, lane] << made.shift * (row * lanes + lanes - 1 - lane) for row in range(rows) for lane in range(lanes)
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
