"""What the engines' components cost, by family: counts of their parts, times fits to Yosys' results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth import unsigned

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array
from lutwright.hdl.arith import LEVELS_PER_REGISTER, tree
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.folded import IN_LUTS, FoldedDense
from lutwright.hdl.engines.spatial_dense import SpatialDense
from lutwright.hdl.fifo import slice_usage
from lutwright.hdl.resources import Usage, distinct, ram, selected, table


@dataclass(frozen=True)
class Logic:
    """LUT sites for a bit of an element's complement, a full adder of one-bit terms, a bit of another adder.

    Fits to Yosys 0.70.
    """

    complement: float
    full_adder: float
    adder: float


# Weights that are wired in, so that synthesis simplifies. Complements take LUTs before carries, but on xc7.
SPATIAL: dict[Family, Logic] = {
    "ice40": Logic(1, 0.6, 1),
    "ecp5": Logic(1, 1.25, 1.1),
    "gowin": Logic(1, 1.4, 1.1),
    "xc7": Logic(0, 0.65, 0.63),
}


COUNTER: dict[Family, float] = {"ice40": 2, "ecp5": 2.2, "gowin": 2.4, "xc7": 1}  # LUT sites of a counter's bit


def accumulators(dense: FoldedDense, family: Family) -> Usage:
    """Adders, what chooses between the start and the sum so far, and the starts' table."""
    bits = dense.pe * dense.width
    adders = dense.pe * (dense.width + dense.width % 2) if family == "ecp5" else bits
    ways = dense.sf * dense.planes > 1 and not dense.restarts  # between the start and the sum so far
    doubles = dense.sf > 1 and dense.planes > 1
    chosen = 0 if family == "xc7" else bits * (ways + doubles)
    usage = Usage(adders + chosen, bits * (1 + dense.restarts))
    if dense.constant:
        return usage
    late = varying(dense.start_folds) * dense.restarts  # registers that are 0 after a first beat
    if dense.folds <= IN_LUTS[family]:
        return usage + Usage(ffs=min(late, 1 << dense.folds))
    return usage + memory(dense.start_folds, dense.width, family) + Usage(ffs=late)


def control(dense: FoldedDense, family: Family) -> Usage:
    """Counters, and the flags beside the sums."""
    beat, fold, address = ((count - 1).bit_length() for count in (dense.sf, dense.folds, dense.sf * dense.folds))
    plane, times = ((count - 1).bit_length() for count in (dense.planes, dense.nf * dense.planes))
    counters = beat + plane + fold + address + (2 * beat + times + 6) * (dense.replay is not None)
    registers = counters + (5 + fold + plane) * dense.before + address * (dense.late + dense.lanes.fetch)
    return Usage(COUNTER[family] * counters, registers)


EXACT = 1 << 18  # weights up to which the bits of their memory are looked at: in larger ones all vary


def varying(numbers: Array) -> int:
    """How many bits of a memory are not the same in all its words, which alone take room. numbers: [words, lanes]."""
    return int(np.bitwise_count(np.bitwise_or.reduce(numbers) ^ np.bitwise_and.reduce(numbers)).sum())


def memory(numbers: Array, width: int, family: Family) -> Usage:
    """A memory of [words, lanes] numbers of so many bits, read into a register."""

    def columns() -> int:
        bits = (numbers[..., np.newaxis] >> np.arange(width, dtype=numbers.dtype)).astype(np.uint8) & 1
        return distinct(bits.reshape(len(numbers), -1))

    return table(len(numbers), varying(numbers), columns, family)


def weights(dense: FoldedDense, family: Family) -> Usage:
    """The memory of the weights."""
    words = dense.folds * dense.sf
    if words == 1:
        return Usage()
    if dense.own_codes.size <= EXACT:
        return memory(dense.code_folds().swapaxes(1, 2).reshape(words, -1), dense.weight_bits, family)
    width = dense.pe * dense.per_row * dense.weight_bits
    return table(words, width, lambda: width, family)


def folded_cost(dense: FoldedDense, family: Family) -> Cost:
    """Predicted resources of a folded layer."""
    x, weighed = dense.i_beats.type, dense.weighed
    words, usage = dense.folds * dense.sf, control(dense, family) + dense.lanes_usage
    usage += accumulators(dense, family)
    if dense.room:
        usage += slice_usage(dense.o_beats.bits, dense.room, family)
    usage += Usage(selected(dense.planes, dense.simd, family).luts)
    usage += weights(dense, family)
    if dense.replay:
        usage += ram(2 << (dense.sf - 1).bit_length(), dense.simd * x.width, family)
    if dense.late or not dense.replay:  # else what reads the memory is the elements' register
        usage += Usage(ffs=dense.simd * weighed.width)
    cycles = x.vectors * words * dense.planes
    return Cost(round(usage.luts), round(usage.ffs), usage.brams, usage.dsps, cycles)


def spatial_usage(dense: SpatialDense, family: Family) -> Usage:
    """Predicted LUTs and registers of a spatial layer."""
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
    fit, trees = SPATIAL[family], (*sums.values(), *rows)
    complements = set[int]() if one_bit else {column for plane in planes for column, flip in plane if flip}
    luts = fit.complement * len(complements) * bits + fit.full_adder * len(threes)
    luts += fit.adder * sum(there.adder_bits for there in trees)
    return Usage(luts, sum(there.register_bits for there in trees) + 2 * dense.depth)


def spatial_cost(dense: SpatialDense, device: Device) -> Cost:
    """Predicted resources of a spatial layer."""
    usage = spatial_usage(dense, device.family)
    return Cost(round(usage.luts), round(usage.ffs), 0, 0, dense.i_beats.type.vectors)
