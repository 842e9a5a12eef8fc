"""Threshold nodes in hardware, by binary search."""

from __future__ import annotations

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.rom import concatenated, rom
from lutwright.hdl.timing import Control, Pipeline


class Staircase:
    """A Threshold node prepared for a search: y = offset + (number of levels below x, inverted where `invert`).

    levels: [rows, 2**stages - 1], ascending, all in the input's interval (nothing exceeds its upper end, which fills
    short rows up); offset, invert: [rows]. y is taken modulo 2**width, which is exact, since y is in its interval.
    There is one row for each channel, or a single one where all are alike.
    """

    def __init__(self, node: Threshold, x: Type) -> None:
        below = (node.thresholds <= x.lo).sum(axis=1)
        reachable = (node.thresholds > x.lo) & (node.thresholds <= x.hi)
        self.stages = max(1, int(reachable.sum(axis=1).max(initial=0)).bit_length())
        levels = np.full((len(node.thresholds), 2**self.stages - 1), x.hi, dtype=np.int64)
        for row, (values, mask) in enumerate(zip(node.thresholds, reachable, strict=True)):
            levels[row, : mask.sum()] = values[mask] - 1
        self.width = node.type.width
        invert = (node.step < 0).astype(np.int64) if self.width > 1 else np.zeros_like(node.step)
        offset = (node.base + node.step * below + invert) & ((1 << self.width) - 1)
        alike = all((values == values[:1]).all() for values in (levels, offset, invert))
        rows = slice(0, 1) if alike else slice(None)
        self.levels, self.offset, self.invert = levels[rows], offset[rows], invert[rows]

    @property
    def adds(self) -> bool:
        """Whether the count needs an adder; a one-bit count is only flipped."""
        return self.width > 1 and bool(self.offset.any() or self.invert.any())

    def stage(self, index: int) -> Array:
        """[rows, 2**index]: what a search that has found the upper `index` bits of the count compares with."""
        span = 2 ** (self.stages - index)
        return self.levels[:, span // 2 - 1 :: span]


class ThresholdUnit(StreamComponent):
    """y[c] = base[c] + step[c] * count over t of (x[c] >= thresholds[c, t]), as many lanes out as in.

    A binary search: T thresholds take S = ceil(log2(T + 1)) compares a lane, one in each of S pipeline stages. Stage
    s reads a memory of (folds of the channels) * 2**s levels; one row for all channels is one fold.
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: S cycles, one more where base or step need an
    adder. Throughput: one beat a cycle; the first cycle after reset takes none if the rows differ between folds.
    Source: thresholding by binary search, the successive approximation of analogue-to-digital converters.
    """

    def __init__(self, node: Threshold, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.stairs = Staircase(node, x)
        self.used = min(lanes, x.channels)
        self.folds = self.i_beats.per_vector
        self.rows = self.folds if len(self.stairs.levels) > 1 else 1
        self.depth = self.stairs.stages + self.stairs.adds

    def control(self) -> Control:
        return Pipeline(self.depth, warmup=int(self.rows > 1))

    def by_fold(self, rows: Array) -> Array:
        """[rows, lanes, ...] from [channels or 1, ...]; lanes past the last channel get 0."""
        padded = np.zeros((self.rows * self.used, *rows.shape[1:]), dtype=np.int64)
        padded[: len(rows) if len(rows) > 1 else None] = rows
        return padded.reshape(self.rows, self.used, *rows.shape[1:])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stairs, lanes, width = self.stairs, range(self.used), self.i_beats.shape.width
        advance, step, primed = Signal(), Signal(), Signal(init=int(self.rows == 1))
        count_folds = Signal(range(self.folds), init=self.folds - 1 if self.rows > 1 else 0)
        following = Signal.like(count_folds)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & primed),
            step.eq((self.i.valid & self.i.ready) | ~primed),
            following.eq(Mux(count_folds == self.folds - 1, 0, count_folds + 1)),
        ]
        m.d.sync += primed.eq(1)
        with m.If(step):
            m.d.sync += count_folds.eq(following)

        def registered(name: str, value: Value) -> Value:
            register = Signal.like(value, name=name, init=0)
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        # The first levels, and beside them the flips of one-bit outputs, are fetched ahead of their beat.
        offsets = self.by_fold(stairs.offset)
        words = [
            concatenated(row, width) | concatenated(flips, stairs.width) << (width * self.used)
            for row, flips in zip(self.by_fold(stairs.stage(0)[:, 0]), offsets, strict=True)
        ]
        word = rom(m, "levels0", words, (width + stairs.width) * self.used, following, step)
        levels = [word.word_select(lane, width) for lane in lanes]
        valid, last, fold = self.i.valid & primed, self.i.payload.last, count_folds
        tail = count_folds == self.folds - 1
        xs, counts = [self.i.payload.data[lane] for lane in lanes], [Const(0, 0) for _ in lanes]
        for stage in range(1, self.depth + 1):
            if stage <= stairs.stages:
                above = [x > self._element(level) for x, level in zip(xs, levels, strict=True)]
                counts = [Cat(bit, count) for bit, count in zip(above, counts, strict=True)]
            if stage == self.depth:
                break
            if stage < stairs.stages:
                rows = self.by_fold(stairs.stage(stage))
                levels = [
                    rom(
                        m,
                        f"levels{stage}_{lane}",
                        [concatenated([int(level)], width) for level in rows[:, lane].flat],
                        width,
                        Cat(counts[lane], fold),
                        advance,
                    )
                    for lane in lanes
                ]
                xs = [registered(f"x{stage}_{lane}", x) for lane, x in enumerate(xs)]
            else:
                inverts = self.by_fold(stairs.invert)
                words = [
                    concatenated(row, stairs.width) | concatenated(signs, 1) << (stairs.width * self.used)
                    for row, signs in zip(offsets, inverts, strict=True)
                ]
                word = rom(m, "offsets", words, (stairs.width + 1) * self.used, fold, advance)
            counts = [registered(f"count{stage}_{lane}", count) for lane, count in enumerate(counts)]
            valid, last = registered(f"valid{stage}", valid), registered(f"last{stage}", last)
            tail, fold = registered(f"tail{stage}", tail), registered(f"fold{stage}", fold)

        pads = self.folds * self.used - self.i_beats.type.channels
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.last.eq(last)]
            for lane, count in enumerate(counts):
                if stairs.adds:
                    inverted = count ^ word[stairs.width * self.used + lane].replicate(stairs.width)
                    y = word.word_select(lane, stairs.width) + inverted
                elif stairs.width == 1:
                    y = count ^ word[width * self.used + lane]
                else:
                    y = count
                y = y[: stairs.width]
                m.d.sync += self.o.payload.data[lane].eq(Mux(tail, 0, y) if lane >= self.used - pads else y)
        return m

    def _element(self, level: Value) -> Value:
        return level.as_signed() if self.i_beats.shape.signed else level
