"""Threshold nodes in hardware, by binary search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Threshold
from lutwright.hdl.beats import Beats
from lutwright.hdl.compare import exceeds
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.rom import concatenated, may_be_in_blocks, rom, rom_cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit


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
    def flipped(self) -> int:
        """How many bits of a count are flipped where the offset is odd: that of one bit only."""
        return int(self.width == 1)

    @property
    def adds(self) -> bool:
        """Whether the count needs an adder."""
        return not self.flipped and bool(self.offset.any() or self.invert.any())

    def stage(self, index: int) -> Array:
        """[rows, 2**index]: what a search that has found the upper `index` bits of the count compares with."""
        span = 2 ** (self.stages - index)
        return self.levels[:, span // 2 - 1 :: span]


class ThresholdUnit(Unit):
    """y[c] = base[c] + step[c] * count over t of (x[c] >= thresholds[c, t]), as many lanes out as in.

    A binary search: T thresholds take S = ceil(log2(T + 1)) compares a lane, one in each of S stages. Stage s reads a
    memory of (folds of the channels) * 2**s levels; one row for all channels is one fold.
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Latency: `depth` cycles: S, one more for each of stages 1 to
    S - 1 that has more than 16 levels, one more for each stage whose memory may be block RAM, and one more where base
    or step need an adder. Throughput: one beat a cycle; the first cycle after reset takes none if the rows differ
    between folds.
    Source: thresholding by binary search, the successive approximation of analogue-to-digital converters.
    """

    def __init__(self, node: Threshold, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.stairs = Staircase(node, x)
        self.used = min(lanes, x.channels)
        self.folds = self.i_beats.per_vector
        self.pads = self.folds * self.used - x.channels
        self.rows = self.folds if len(self.stairs.levels) > 1 else 1
        stages, width = range(self.stairs.stages), self.i_beats.shape.width
        first = (width + self.stairs.flipped) * self.used
        self.late = [may_be_in_blocks(self.rows << stage, width if stage else first) for stage in stages]
        self.depth = len(stages) + self.stairs.adds + sum(map(self.deep, stages[1:])) + sum(self.late)

    def deep(self, stage: int) -> bool:
        """Whether a stage's memory needs a registered address: one LUT a bit does not hold it."""
        return self.rows << stage > 16

    def control(self) -> Stages:
        return pipeline(self.depth, warmup=int(self.rows > 1))

    def by_fold(self, rows: Array) -> Array:
        """[rows, lanes, ...] from [channels or 1, ...]; lanes past the last channel get 0."""
        padded = np.zeros((self.rows * self.used, *rows.shape[1:]), dtype=np.int64)
        padded[: len(rows) if len(rows) > 1 else None] = rows
        return padded.reshape(self.rows, self.used, *rows.shape[1:])

    def _words(self, low: Array, low_width: int, high: Array, high_width: int) -> list[int]:
        """A word for each fold: the lanes' `low` [rows], above them their `high` [rows]."""
        return [
            concatenated(lows, low_width) | concatenated(highs, high_width) << (low_width * self.used)
            for lows, highs in zip(self.by_fold(low), self.by_fold(high), strict=True)
        ]

    def first_words(self) -> list[int]:
        """What is fetched ahead of a beat: the complements of its first levels, above them its one-bit flips."""
        levels, width = ~self.stairs.stage(0)[:, 0], self.i_beats.shape.width
        return self._words(levels, width, self.stairs.offset, self.stairs.flipped)

    def offset_words(self) -> list[int]:
        """The lanes' offsets, above them whether the count is inverted."""
        return self._words(self.stairs.offset, self.stairs.width, self.stairs.invert, 1)

    def table(self, stage: int, lane: int) -> list[int]:
        """The complements of a later stage's levels, at addresses fold * 2**stage + upper bits of the count."""
        levels = self.by_fold(~self.stairs.stage(stage))[:, lane]
        return [int(level) for level in (levels & ((1 << self.i_beats.shape.width) - 1)).flat]

    def cost(self, device: Device) -> Cost:
        """A LUT a bit of each compare, and the memories."""
        width, bits, used, stages = self.i_beats.shape.width, self.stairs.width, self.used, self.stairs.stages
        folds = (self.folds - 1).bit_length() if self.rows > 1 or self.pads else 0
        compare = 1 if (self.stairs.levels == -1).all() else stages * (width + 1)  # of a sign there is none
        control = 3 * folds + (6 if folds else 1)
        total = Cost(compare * used + control, bits * used + control - 2 * folds, 0, 0, self.i_beats.per_frame)
        total += rom_cost(self.first_words(), device)
        for stage in range(stages):
            levels = (width if stage else width + self.stairs.flipped) * used
            registers = self.late[stage] + (1 + self.deep(stage) if stage else 0)
            total += Cost(0, registers * ((width + stage) * used + folds + 3) + self.late[stage] * levels, 0, 0, 0)
            for lane in range(used if stage else 0):
                total += rom_cost(self.table(stage, lane), device)
        if self.stairs.adds:
            total += rom_cost(self.offset_words(), device) + Cost(bits * used, stages * used, 0, 0, 0)
        return total

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stairs, lanes, width = self.stairs, range(self.used), self.i_beats.shape.width
        advance, step, primed = Signal(), Signal(), Signal(init=int(self.rows == 1))
        fold = Signal(range(self.folds), init=self.folds - 1 if self.rows > 1 else 0)
        following = Signal.like(fold)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance & primed),
            step.eq((self.i.valid & self.i.ready) | ~primed),
            following.eq(Mux(fold == self.folds - 1, 0, fold + 1)),
        ]
        m.d.sync += primed.eq(1)
        with m.If(step):
            m.d.sync += fold.eq(following)

        def registered(flow: dict[str, Value]) -> dict[str, Value]:
            stage = {n: Signal.like(value, name=n, init=0, reset_less=n != "valid") for n, value in flow.items()}
            with m.If(advance):
                m.d.sync += [stage[name].eq(value) for name, value in flow.items()]
            return stage

        flow: dict[str, Value] = {"valid": self.i.valid & primed, "last": self.i.payload.last, "fold": fold}
        flow["tail"] = fold == self.folds - 1
        counts: list[Value] = [Const(0, 0) for _ in lanes]
        xs: list[Value] = [self.i.payload.data[lane] for lane in lanes]

        def hold(values: Sequence[Value] = ()) -> list[Value]:
            """Put a register behind everything that flows, and behind `values`."""
            flow.update({f"x{lane}": x for lane, x in enumerate(xs)} | {f"count{k}": v for k, v in enumerate(counts)})
            flow.update({f"held{index}": value for index, value in enumerate(values)})
            flow.update(registered(flow))
            xs[:] = [flow.pop(f"x{lane}") for lane in range(len(xs))]
            counts[:] = [flow.pop(f"count{lane}") for lane in lanes]
            return [flow.pop(f"held{index}") for index in range(len(values))]

        # The first levels, and beside them the flips of one-bit outputs, are fetched ahead of their beat.
        word = rom(m, "levels0", self.first_words(), (width + stairs.flipped) * self.used, following, step)
        if self.late[0]:
            (word,) = hold([word])
        complements = [word.word_select(lane, width) for lane in lanes]
        flips = word[width * self.used :]
        for stage in range(stairs.stages):
            if stage > 0:
                if self.deep(stage):
                    hold()
                complements = [
                    rom(
                        m,
                        f"levels{stage}_{lane}",
                        self.table(stage, lane),
                        width,
                        Cat(counts[lane], flow["fold"]),
                        advance,
                    )
                    for lane in lanes
                ]
                hold()
                if self.late[stage]:  # a block's words come late, and the compare is long
                    complements = hold(complements)
            above = [exceeds(x, complement) for x, complement in zip(xs, complements, strict=True)]
            counts[:] = [Cat(bit, count) for bit, count in zip(above, counts, strict=True)]

        results = counts
        if stairs.flipped:
            results = [count ^ flip for count, flip in zip(counts, flips, strict=True)]
        elif stairs.adds:
            xs.clear()
            word = rom(m, "offsets", self.offset_words(), (stairs.width + 1) * self.used, flow["fold"], advance)
            hold()
            inverts = [bit.replicate(stairs.width) for bit in word[stairs.width * self.used :]]
            results = [word.word_select(lane, stairs.width) + (counts[lane] ^ inverts[lane]) for lane in lanes]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(flow["valid"]), self.o.payload.last.eq(flow["last"])]
        for lane, result in enumerate(results):
            padded = flow["tail"] if lane >= self.used - self.pads else Const(0, 1)
            y = Signal(stairs.width, name=f"y{lane}", reset_less=True)
            m.d.comb += self.o.payload.data[lane].eq(y)
            with m.If(advance):
                m.d.sync += y.eq(Mux(padded, 0, result[: stairs.width]))
        return m
