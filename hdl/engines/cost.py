"""What the engines' components cost, by family: counts of their parts, times fits to Yosys' results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth import unsigned

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array
from lutwright.hdl.arith import LEVELS_PER_REGISTER, register_levels, tree_levels
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.spatial_dense import SpatialDense
from lutwright.hdl.resources import Usage, ram, rom


@dataclass(frozen=True)
class Logic:
    """LUT sites for a bit of a term, a full adder of terms, a bit of an adder, of an accumulator, of a counter.

    Fits to Yosys 0.70.
    """

    term: float
    full_adder: float
    adder: float
    accumulator: float
    counter: float


# By what the terms are: products out of blocks, elements masked by a weight's bits, single bits, elements with a sign.
# Masks and signs share LUTs with the adders behind them, what comes out of a block has adders of its own.
LOGIC: dict[Family, dict[str, Logic]] = {
    "ice40": {
        "products": Logic(0, 0, 1.28, 0.8, 2.1),
        "planes": Logic(2.1, 0.6, 0.48, 0.85, 2.1),
        "bits": Logic(0.55, 1.05, 1.05, 1.05, 1.85),
        "signs": Logic(1.6, 0, 0.73, 0.8, 1.75),
    },
    "ecp5": {
        "products": Logic(0, 0, 1.44, 1.05, 2.2),
        "planes": Logic(2.07, 0.6, 0.62, 0.62, 2.25),
        "bits": Logic(0.3, 0.83, 1.63, 1.17, 1.95),
        "signs": Logic(0.8, 0, 1.5, 1, 1.95),
    },
    "gowin": {
        "products": Logic(0, 0, 1.48, 0.72, 2.8),
        "planes": Logic(2.04, 0.6, 0.55, 0.6, 2.25),
        "bits": Logic(0.48, 0.96, 1.44, 1.1, 2.35),
        "signs": Logic(0.97, 0, 1.3, 1.05, 2.2),
    },
    "xc7": dict.fromkeys(("planes", "bits", "signs"), Logic(1.95, 0, 0.3, 0, 1.0))
    | {"products": Logic(0, 0, 0.3, 0, 1.0)},
}
# The same where weights are wired in: no terms, and full adders and adders that synthesis simplifies.
SPATIAL: dict[Family, Logic] = {
    "ice40": Logic(0, 0.6, 1, 0, 0),
    "ecp5": Logic(0, 1.25, 1.1, 0, 0),
    "gowin": Logic(0, 1.4, 1.1, 0, 0),
    "xc7": Logic(0, 0.65, 0.63, 0, 0),
}


@dataclass(frozen=True)
class Tree:
    """An adder tree's full adders of one-bit terms, bits of other adders, register bits, and the sum's width."""

    full_adders: int
    adder_bits: int
    register_bits: int
    width: int


def tree(widths: Sequence[int], one_bit: bool, first: int) -> Tree:
    """The counts of `lutwright.hdl.arith.adder_tree` for terms of these widths."""
    full_adders = adder_bits = register_bits = 0
    level = list(widths)
    levels = list(tree_levels(len(level), one_bit))
    registers = register_levels(len(levels), first)
    for done, (count, group) in enumerate(levels, 1):
        sums = []
        for start in range(0, count, group):
            terms = level[start : start + group]
            sums.append(max(terms) + (len(terms) > 1))
            full_adders += len(terms) == 3
            adder_bits += sums[-1] * (len(terms) == 2)
        level = sums
        register_bits += sum(level) * (done in registers)
    return Tree(full_adders, adder_bits, register_bits, level[0])


@dataclass(frozen=True)
class Parts:
    """The counts that LUTs of logic follow."""

    term_bits: int
    full_adders: int
    adder_bits: int
    accumulator_bits: int
    counter_bits: int

    def luts(self, fit: Logic) -> float:
        return (
            fit.term * self.term_bits
            + fit.full_adder * self.full_adders
            + fit.adder * self.adder_bits
            + fit.accumulator * self.accumulator_bits
            + fit.counter * self.counter_bits
        )


EXACT = 1 << 18  # weights up to which single bits of their memory are looked at: in larger ones all vary or none


def varying(folds: Array) -> int:
    """How many bits of a memory are not the same in all its words, which alone take room.

    folds: [folds, lanes] or [folds, PE, SF, lanes of a row]; a word is a fold of both.
    """
    ones, all_ones = np.bitwise_or.reduce(folds), np.bitwise_and.reduce(folds)
    if folds.ndim == 4:
        ones, all_ones = np.bitwise_or.reduce(ones, axis=1), np.bitwise_and.reduce(all_ones, axis=1)
    return int(np.bitwise_count(ones ^ all_ones).sum())


def folded_cost(dense: FoldedDense, device: Device) -> Cost:
    """Predicted resources of a folded layer."""
    x = dense.i_beats.type
    return Cost(0,0,0,0, x.vectors * dense.folds * dense.sf)


def spatial_parts(dense: SpatialDense) -> tuple[Parts, int]:
    """The counts of a spatial layer's logic, and its registers."""
    bits = dense.i_beats.shape.width
    one_bit = dense.i_beats.shape == unsigned(1)
    planes = {plane for row in dense.rows for plane, _, _ in row.terms}
    sums = {plane: tree([bits] * len(plane), one_bit, first=LEVELS_PER_REGISTER) for plane in planes}
    rows = []
    for row in dense.rows:
        terms = [sums[plane].width + exponent + negated for plane, exponent, negated in row.terms]
        rows.append(tree([*terms, abs(row.constant).bit_length() + 1], one_bit=False, first=LEVELS_PER_REGISTER))
    # Rows of one-bit terms begin with full adders of few kinds, which synthesis builds once.
    threes = {plane[start : start + 3] for plane in planes for start in range(0, len(plane) - 2, 3)} if one_bit else ()
    parts = Parts(0, len(threes), sum(there.adder_bits for there in (*sums.values(), *rows)), 0, 0)
    return parts, sum(there.register_bits for there in (*sums.values(), *rows)) + 2 * dense.depth


def spatial_cost(dense: SpatialDense, device: Device) -> Cost:
    """Predicted resources of a spatial layer."""
    parts, ffs = spatial_parts(dense)
    return Cost(round(parts.luts(SPATIAL[device.family])), ffs, 0, 0, dense.i_beats.type.vectors)
