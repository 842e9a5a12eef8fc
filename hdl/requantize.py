"""Threshold nodes in hardware as a multiplication, an addition and a shift, with corrections, where these are exact."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from amaranth import C, Cat, Const, Module, Mux, Shape, Signal, Value

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.arith import signed_digits, typed
from lutwright.hdl.beats import Beats
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.packing import dsp_blocks
from lutwright.hdl.fixed_point import fixed_point
from lutwright.hdl.product import Product
from lutwright.hdl.registers import Registers
from lutwright.hdl.rom import columns, concatenated, may_be_blocks, rom, rom_cost, varying
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit

REQUANTIZE = "requantize"  # its name in plans, where "threshold" is the search


SHARED = 0.8  # of the corrections' LUTs, which lanes and words of the same bits share
CLIP, PRODUCT = 2, 1.2  # LUT sites for a bit of a clip, and of the area of a product without a block, on every family


class RequantizeUnit(Unit):
    """y[c] = form(x[c]), as many lanes out as in: equal to the Threshold node (see FixedPoint for the formula).

    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: `depth` cycles: two for the constants, `depth` of a
    Product, one for the output; with corrections two more, three if they may be in block RAM. Throughput: one beat a
    cycle.
    Source: integer requantization, Jacob et al., CVPR 2018, section 2.2; factor and term are fitted exactly here.
    """

    def __init__(self, node: Threshold, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        form = fixed_point(node, x)
        if form is None:
            raise PlanError(f"'{node.name}' has no fixed-point form: choose --engine {node.name}=threshold")
        self.form = form
        self.factors, self.terms = _held(form.factor), _held(form.term)
        self.magnitude = int(np.abs(form.factor).max()).bit_length()
        ends = [int(v) for x_ in (x.lo, x.hi) for v in (x_ * form.factor + form.term)]
        self.sum = _shape(Type((), min(ends), max(ends)))
        self.used = min(lanes, x.channels)
        self.product = Product(self.i_beats.shape, self.factors, self.terms, self.sum.width)
        self.level_bits = form.top.bit_length()
        self.late_bits = form.slack.bit_length()
        self.tables = [self.table(lane) for lane in range(self.used)] if form.slack else []
        self.tables_held = any(map(may_be_blocks, self.tables))
        self.depth = 3 + self.product.depth + (2 + self.tables_held if form.slack else 0)

    def by_fold(self, rows: Array) -> Array:
        """[folds, lanes, ...] from [channels, ...], or [1, lanes, ...] from one row; lanes past the last get 0."""
        folds, lanes = self.i_beats.per_vector, self.used
        if len(rows) == 1:
            return np.repeat(rows, lanes, axis=0)[np.newaxis]
        padded = np.zeros((folds * lanes, *rows.shape[1:]), np.int64)
        padded[: len(rows)] = rows
        return padded.reshape(folds, lanes, *rows.shape[1:])

    def words(self) -> list[int]:
        """Factors, then terms, of the lanes, for each fold of the channels."""
        return [
            concatenated(factor.tolist(), self.factors.width)
            | concatenated(term.tolist(), self.terms.width) << (self.used * self.factors.width)
            for factor, term in zip(self.by_fold(self.form.factor), self.by_fold(self.form.term), strict=True)
        ]

    def table(self, lane: int) -> list[int]:
        """A lane's corrections, at addresses fold * 2**level_bits + level; one fold if all channels are alike."""
        rows = self.by_fold(self.form.late)[:, lane]
        padded = np.zeros((len(rows), 1 << self.level_bits), np.int64)
        padded[:, : rows.shape[1]] = rows
        return [int(late) for late in padded.flat]

    def control(self) -> Stages:
        return pipeline(self.depth)

    def cost(self, device: Device) -> Cost:
        """In each lane a multiplier, rows of adders and a clip; the constants, the corrections; a counter of folds."""
        form, used = self.form, self.used
        words, folds = self.words(), (self.i_beats.per_vector - 1).bit_length()
        lanes = [
            self._lane(device, factors[0] if len(set(factors)) == 1 else None, int(np.bitwise_or.reduce(terms)))
            for factors, terms in zip(self.by_fold(form.factor).T.tolist(), self.by_fold(form.term).T, strict=True)
        ]
        luts, ffs, dsps = (sum(parts) for parts in zip(*lanes, strict=True))
        # Bits of constants that are alike in all folds are alike in all registers behind them too.
        split = used * self.factors.width
        terms = columns([word >> split for word in words])
        shared = varying(words).bit_count()
        shared += terms * sum(part.term for parts, _ in self.product.levels() for part in parts)
        if form.slack:
            shared += columns([word & ((1 << split) - 1) for word in words]) * self.product.depth
        spare = self.i_beats.per_vector * used > self.i_beats.type.channels
        if len(words) == 1 and len(form.late) == 1 and not spare:
            folds = 0  # nothing asks for it
        shared += (2 + spare) * self.depth + folds
        if len(form.late) > 1:
            shared += folds * (self.depth - 2 - self.tables_held)
        total = Cost(round(luts) + 2 * folds + 4, ffs + shared, 0, dsps, self.i_beats.per_frame)
        return sum((_sparse_cost(table, device) for table in self.tables), total + rom_cost(words, device))

    def _lane(self, device: Device, factor: int | None = None, term: int = 0) -> tuple[float, int, int]:
        """LUTs, registers and multiplier blocks of a lane without its constants, or of one with the same factor always.

        `term`: whose last zeros all its terms have.
        """
        form, (x, bits) = self.form, self.product.operands(factor)
        if factor == 0:  # and so is all behind it
            return 0, 0, 0
        levels = list(self.product.levels(factor))
        luts: float = sum(adders for _, adders in levels) + CLIP * self.level_bits
        multiplies = self.product.core[1] > 1
        if factor is None:
            luts += self.product.row_bits / (2 if device.family == "ecp5" else 1)  # `carry_inputs`: of one row in two
        else:  # what lies below a constant's lowest one needs no adder
            luts -= (term & -term).bit_length() - 1 if term else self.terms.width
            upper = abs(factor >> self.product.factor_low)
            multiplies = upper & (upper - 1) != 0
        dsp = dsp_blocks(x, bits, device.family) if multiplies and device.dsps != 0 else 0
        if multiplies and not dsp:  # a constant factor is a sum of shifted ones
            core_x, core_factor = self.product.core
            luts += PRODUCT * core_x * core_factor if factor is None else core_x * (signed_digits(upper) - 1)
        ffs = 2 * self.i_beats.type.width + self.o_beats.type.width
        ffs += sum(part.bits for parts, _ in levels for part in parts if not part.term)
        if dsp and device.family in FAMILIES and not self.product.row_bits:  # the block holds the factor's
            ffs -= self.i_beats.type.width
        if form.slack:
            luts += form.slack * form.shift + self.level_bits
            ffs += (2 + self.tables_held) * (self.level_bits + form.slack) + self.tables_held * self.late_bits
        else:
            ffs -= form.shift
        return luts, ffs, dsp

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, folds, lanes = self.form, self.i_beats.per_vector, range(self.used)
        advance, fold = Signal(), Signal(range(folds))
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(self.i.valid & advance):
            m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
        flow: dict[str, Value] = {"last": self.i.payload.last, "final": fold == folds - 1}
        if form.slack and len(form.late) > 1:
            flow["fold"] = fold
        valid: Value = self.i.valid

        registered = Registers(m, advance)

        def held(value: Value, name: str) -> Value:
            return value if isinstance(value, Const) else registered(value, name)

        def step(*rows: list[Value], name: str) -> list[list[Value]]:
            """A register behind all that flows, and behind `rows`, which have values of each lane."""
            nonlocal valid
            valid = registered(valid, f"valid_{name}", data=False)
            flow.update({key: held(value, f"{key}_{name}") for key, value in flow.items()})
            return [[held(value, f"{name}_{lane}") for lane, value in enumerate(row)] for row in rows]

        (xs,) = step([self.i.payload.data[k] for k in lanes], name="x")
        words, width = self.words(), self.used * self.factors.width
        if len(words) == 1:
            factors: list[Value] = [C(int(v), self.factors) for v in self.by_fold(self.form.factor)[0]]
            terms: list[Value] = [C(int(v), self.terms) for v in self.by_fold(self.form.term)[0]]
            (xs,) = step(xs, name="constants")
        else:
            constants = rom(m, "constants", words, width + self.used * self.terms.width, fold, advance)
            factors = [typed(constants[:width].word_select(k, self.factors.width), self.factors) for k in lanes]
            terms = [typed(constants[width:].word_select(k, self.terms.width), self.terms) for k in lanes]
            factors, terms, xs = step(factors, terms, xs, name="constants")

        magnitudes = [_magnitude(factor)[: self.magnitude] for factor in factors]
        sums: list[list[Value]] = []
        for factor, term, x in zip(factors, terms, xs, strict=True):
            core, others = self.product.addends(x, factor, term)
            sums.append([self._cut(m, core), *others])
        for level in range(self.product.depth):
            last = level == self.product.depth - 1  # the rows and the term are one by now
            sums = [self._pairs(m, row) if last else [row[0], *self._pairs(m, row[1:])] for row in sums]
            if form.slack and len(form.factor) > 1:
                *sums, magnitudes = step(*sums, magnitudes, name=f"sum{level}")
            else:
                sums = step(*sums, name=f"sum{level}")
        totals = [typed(values[0][: self.sum.width], self.sum) for values in sums]
        levels = [self._clipped(total >> form.shift) for total in totals]
        if form.slack:
            early = [self._early(total, size) for total, size in zip(totals, magnitudes, strict=True)]
            levels, early = step(levels, early, name="level")
            above = flow.pop("fold", C(0, 0))
            address = [Cat(level, above) for level in levels]
            late = [rom(m, f"late{k}", self.tables[k], self.late_bits, address[k], advance) for k in lanes]
            levels, early = step(levels, early, name="late")
            if self.tables_held:
                levels, early, late = step(levels, early, late, name="read")
            wrong = [(Cat(C(0, 1), bits) >> count)[0] for bits, count in zip(early, late, strict=True)]
            levels = [level - bit for level, bit in zip(levels, wrong, strict=True)]

        spare = folds * self.used - self.i_beats.type.channels
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.last.eq(flow["last"])]
        for lane, value in enumerate(levels):
            y = Signal(self.o_beats.shape, name=f"y{lane}", reset_less=True)
            m.d.comb += self.o.payload.data[lane].eq(y)
            padded = flow["final"] if lane >= self.used - spare else C(0, 1)  # the last fold has no such channel
            with m.If(advance):
                m.d.sync += y.eq(Mux(padded, 0, (value + form.lo)[: self.o_beats.shape.width]))
        return m

    def _cut(self, m: Module, value: Value) -> Value:
        """Bound to a Signal no wider than the sum, unless it is constant."""
        if isinstance(value, Const):
            return value
        shape = value.shape()
        signal = Signal(Shape(min(shape.width, self.sum.width), shape.signed))
        m.d.comb += signal.eq(value)
        return signal

    def _pairs(self, m: Module, values: list[Value]) -> list[Value]:
        pairs = [values[start : start + 2] for start in range(0, len(values), 2)]
        return [self._cut(m, pair[0] + pair[1] if len(pair) == 2 else pair[0]) for pair in pairs]

    def _clipped(self, level: Value) -> Value:
        """Between 0 and the top."""
        below = level[-1] if level.shape().signed else C(0, 1)
        return Mux(below, 0, Mux(level > self.form.top, self.form.top, level))[: self.level_bits]

    def _early(self, total: Value, magnitude: Value) -> Value:
        """A bit for each number of corrections from 1: whether as many would make it one level less."""
        inside = (total >> self.form.shift) <= self.form.top
        fraction = total[: self.form.shift]
        # Sums of shifted ones, for synthesis might multiply in a block.
        multiples = [
            sum((magnitude << bit for bit in range(late.bit_length()) if late >> bit & 1), start=C(0, 1))
            for late in range(1, self.form.slack + 1)
        ]
        return Cat(inside & (fraction < multiple) for multiple in multiples)


def _sparse_cost(table: list[int], device: Device) -> Cost:
    """Resources of the corrections: in LUTs, those of random words times the entropy of a bit."""
    cost = rom_cost(table, device)
    ones = sum(word > 0 for word in table) / len(table)
    entropy = -sum(p * log2(p) for p in (ones, 1 - ones) if p > 0)
    return Cost(ceil(SHARED * cost.luts * entropy), cost.ffs, cost.brams, cost.dsps, cost.cycles)


def _magnitude(factor: Value) -> Value:
    return abs(factor) if factor.shape().signed else factor


def _held(values: Array) -> Shape:
    """What holds all of them, and 0."""
    return _shape(Type((), min(0, int(values.min())), max(0, int(values.max()))))


def _shape(kind: Type) -> Shape:
    return Shape(kind.width, kind.signed)
