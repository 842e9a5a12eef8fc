"""Threshold nodes in hardware as a multiplication, an addition and a shift, where these give the same integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, Value

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.multiply import in_dsp
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit

REQUANTIZE = "requantize"  # its name in plans, where "threshold" is the search
SHIFTS = range(4, 41)
LARGEST = 2**61  # of a product with its term
LEAST_LEVELS = 8  # fewer thresholds are cheaper searched
DSP_WIDTH = 17  # bits of a factor, without its sign, that one block takes


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """y = clip((x * factor[c] + term[c]) >> shift, lo, hi), for each channel or all alike: int64 [C] or [1]."""

    factor: Array
    term: Array
    shift: int
    lo: int
    hi: int

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.clip((x * self.factor + self.term) >> self.shift, self.lo, self.hi))


@lru_cache(4096)
def fixed_point(node: Threshold, x: Type) -> FixedPoint | None:
    """The form with the least shift that equals the node on every integer of x; None if there is none.

    Exact: a row rises past a level at its threshold and not one before, which are two inequalities in factor and term
    for each threshold; those of all thresholds hold at once, or the shift is not taken.
    """
    reached = (node.thresholds > x.lo) & (node.thresholds <= x.hi)
    if reached.sum(axis=1).max(initial=0) < LEAST_LEVELS:
        return None
    rows = [_Row(node, x, row) for row in range(len(node.base))]
    lo, hi = min(row.ends[0] for row in rows), max(row.ends[1] for row in rows)
    for shift in SHIFTS:
        found = [row.solve(shift, lo, hi) for row in rows]
        if all(pair is not None for pair in found):
            factor, term = (np.array(part, np.int64) for part in zip(*(pair for pair in found if pair), strict=True))
            return FixedPoint(factor, term, shift, lo, hi)
    return None


class _Row:
    """One channel's staircase: at `points` it passes the bounds `levels`, rising or falling."""

    def __init__(self, node: Threshold, x: Type, row: int) -> None:
        thresholds, self.x = node.thresholds[row], x
        below = int((thresholds <= x.lo).sum())
        self.points = thresholds[(thresholds > x.lo) & (thresholds <= x.hi)]
        self.rising = node.step[row] > 0
        first = int(node.base[row] + node.step[row] * below)
        count = len(self.points)
        last = first + int(node.step[row]) * count
        self.first, self.last, self.ends = first, last, (min(first, last), max(first, last))
        steps = np.arange(count)
        self.levels = first + 1 + steps if self.rising else first - steps

    def solve(self, shift: int, lo: int, hi: int) -> tuple[int, int] | None:
        """Factor and term, if there are any with that shift."""
        low, high = 0, 0
        if len(self.points):
            steep = 2.0**shift * (len(self.points) + 2) / max(1, int(self.points[-1] - self.points[0]))
            low, high = (0, int(steep) + 2) if self.rising else (-int(steep) - 2, 0)
        if max(abs(low), abs(high)) * max(abs(self.x.lo), abs(self.x.hi), 1) > LARGEST:
            return None
        while low < high:  # the room between the bounds is concave in the factor
            middle = (low + high) // 2
            if self._room(middle, shift, lo, hi)[0] < self._room(middle + 1, shift, lo, hi)[0]:
                low = middle + 1
            else:
                high = middle
        room, term = self._room(low, shift, lo, hi)
        return (low, term) if room >= 0 else None

    def _room(self, factor: int, shift: int, lo: int, hi: int) -> tuple[int, int]:
        """The greatest term less the least one that the inequalities allow, and the least."""
        bounds = self.levels << shift
        after, before = factor * self.points, factor * (self.points - 1)
        least, most = (bounds - after, bounds - before - 1) if self.rising else (bounds - before, bounds - after - 1)
        ends = ((self.first, self.x.lo), (self.last, self.x.hi))
        lower = [int(least.max())] if len(least) else []
        upper = [int(most.min())] if len(most) else []
        for level, x in ends:
            if level > lo:
                lower.append((level << shift) - factor * x)
            if level < hi:
                upper.append(((level + 1) << shift) - factor * x - 1)
        low = max(lower, default=min(upper, default=0))
        return min(upper, default=low) - low, low


class RequantizeUnit(Unit):
    """y[c] = clip((x[c] * factor[c] + term[c]) >> shift, lo, hi), as many lanes out as in: equal to the Threshold node.

    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: 4 cycles. Throughput: one beat a cycle.
    Source: integer requantization, Jacob et al., CVPR 2018, section 2.2; factor and term are fitted exactly here.
    """

    def __init__(self, node: Threshold, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        form = fixed_point(node, x)
        if form is None:
            raise PlanError(f"'{node.name}' has no fixed-point form: choose --engine {node.name}=threshold")
        self.form = form
        self.factors, self.terms = _held(form.factor), _held(form.term)
        ends = [int(v) for x_ in (x.lo, x.hi) for v in (x_ * form.factor + form.term)]
        products = [int(v) for x_ in (x.lo, x.hi) for v in (x_ * form.factor)]
        self.sum = _shape(Type((), min(ends), max(ends)))
        self.product = _shape(Type((), min(products), max(products)))
        self.used = min(lanes, x.channels)

    def words(self) -> list[int]:
        """Factors, then terms, of the lanes, for each fold of the channels."""
        folds, lanes = self.i_beats.per_vector, self.i_beats.lanes
        if len(self.form.factor) == 1:
            rows = [np.repeat(part, lanes)[np.newaxis] for part in (self.form.factor, self.form.term)]
        else:
            rows = [np.zeros((folds, lanes), np.int64) for _ in range(2)]
            for row, part in zip(rows, (self.form.factor, self.form.term), strict=True):
                row.reshape(-1)[: len(part)] = part
        return [
            concatenated(factor.tolist(), self.factors.width)
            | concatenated(term.tolist(), self.terms.width) << (lanes * self.factors.width)
            for factor, term in zip(*rows, strict=True)
        ]

    def control(self) -> Stages:
        return pipeline(4)

    def cost(self, device: Device) -> Cost:
        """In each lane a multiplier, an adder and two comparisons; the constants; a counter of folds."""
        x, factor, y = self.i_beats.type.width, self.factors.width, self.o_beats.type.width
        total, lanes = rom_cost(self.words(), device), self.used
        control = 3 * self.i_beats.per_vector.bit_length() + 8
        luts, ffs, dsps = self.sum.width * 2 + 2 * y, x + self.product.width + self.sum.width + y, 0
        if in_dsp(x, factor, device.family) and device.dsps != 0:
            dsps = -(-x // DSP_WIDTH) * -(-factor // DSP_WIDTH)
        else:
            luts += x * factor
        return total + Cost(lanes * luts + control, lanes * ffs + control, 0, lanes * dsps, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds, lanes = self.i_beats.per_vector, self.i_beats.lanes
        advance, fold = Signal(), Signal(range(folds))
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        def registered(value: Value, name: str, data: bool = True) -> Signal:
            register = Signal.like(value, name=name, reset_less=data)
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        with m.If(self.i.valid & advance):
            m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
        constants = rom(m, "constants", self.words(), lanes * (self.factors.width + self.terms.width), fold, advance)
        flags: Value = Cat(self.i.valid, self.i.payload.last, fold == folds - 1)
        elements = registered(self.i.payload.data.as_value(), "elements")
        flags = registered(flags, "flags0", data=False)
        x, split = self.i_beats.shape, lanes * self.factors.width
        terms = registered(constants[split:], "terms")
        sums: list[Value] = []
        for lane in range(lanes):
            factor = _typed(constants[:split].word_select(lane, self.factors.width), self.factors)
            product = Signal(self.product, name=f"product{lane}")
            m.d.comb += product.eq(_typed(elements.word_select(lane, x.width), x) * factor)
            sums.append(registered(product, f"product_register{lane}"))
        flags = registered(flags, "flags1", data=False)
        spare = folds * lanes - self.i_beats.type.channels
        form, results = self.form, list[Value]()
        for lane, value in enumerate(sums):
            total = Signal(self.sum, name=f"sum{lane}")
            m.d.comb += total.eq(value + _typed(terms.word_select(lane, self.terms.width), self.terms))
            results.append(registered(total, f"sum_register{lane}"))
        flags = registered(flags, "flags2", data=False)
        valid, last, final = flags
        for lane, total_ in enumerate(results):
            y = Signal(self.o_beats.shape, name=f"y{lane}", reset_less=True)
            shifted = total_ >> form.shift
            m.d.comb += self.o.payload.data[lane].eq(y)
            with m.If(advance):
                m.d.sync += y.eq(Mux(shifted < form.lo, form.lo, Mux(shifted > form.hi, form.hi, shifted)))
                if lane >= lanes - spare:  # the last fold has no such channel
                    with m.If(final):
                        m.d.sync += y.eq(0)
        m.d.comb += [
            self.o.valid.eq(registered(valid, "valid", data=False)),
            self.o.payload.last.eq(registered(last, "last")),
        ]
        return m


def _held(values: Array) -> Shape:
    """What holds all of them, and 0."""
    return _shape(Type((), min(0, int(values.min())), max(0, int(values.max()))))


def _shape(kind: Type) -> Shape:
    return Shape(kind.width, kind.signed)


def _typed(value: Value, shape: Shape) -> Value:
    return value.as_signed() if shape.signed else value
