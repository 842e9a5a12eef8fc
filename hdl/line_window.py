"""The parallel sliding window: all that lies under a kernel in one beat, out of line buffers and a shift register."""

from __future__ import annotations

import math

import numpy as np
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.beats import Beats
from lutwright.hdl.delay import delay_usage, delayed
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.intake import Intake, completed
from lutwright.hdl.tokens import Stages, serializer
from lutwright.hdl.window import WindowUnit, plane

PARALLEL = "parallel"  # the name of this way to build an Unfold


class LineWindow(WindowUnit):
    """What lies under the window, the whole kernel a beat; without `by_block`, `lanes` divide C, and a group them.

    A raster of beats passes under the kernel, whose last place lies on the newest; what lies under it of other lines
    comes out of delays of a line. The raster has as many columns as x or as lie between the first and the last
    position, and goes on after x until the kernel has come to the last position.
    `i.ready` depends on state alone. Throughput: `beats` cycles a frame: those of x; after every line those by which
    padding makes the raster wider (none where a line has no more positions than x columns); after the frame about
    bottom padding times width. Latency: 2 cycles after the last place of a position has come in, 1 or 2 more with
    cycles after frames or lines.
    """

    def __init__(self, x: Type, window: Window, lanes: int, fill: int, by_block: bool = False, groups: int = 1) -> None:
        if not by_block and (lanes % (x.channels // groups) or x.channels % lanes):
            raise PlanError(
                f"a parallel window must take all {x.channels} channels at once, or those of one or more groups, of "
                f"which it takes as many each time, not {lanes}"
            )
        super().__init__(x, window, lanes, fill, by_block, groups, places=math.prod(window.kernel))
        self._lay_out()

    def _lay_out(self) -> None:
        """The raster: its width `line`, its positions `total`, and where in it the first position is complete."""
        sy, sx = self.window.strides
        self.line, self.first = _first((self.height, self.width), self.window)
        if self.first < 0:
            raise PlanError(f"the first position of a parallel window must hold some of its input, not {self.window}")
        self.last = self.first + (self.rows - 1) * sy * self.line + (self.columns - 1) * sx
        self.total = max(self.height * self.line, self.last + 1)
        # Rows and columns are counted so that the first position is in row `lead` and column 0.
        self.lead = -(-self.first // self.line)
        self.start = self.lead * self.line - self.first

    def _by_group(self) -> Array:
        """The lanes of a beat out, of which each is a place's and a channel's, in the order of the groups."""
        together = -(-self.groups // self.blocks)
        order = np.arange(self.o_beats.lanes).reshape(-1, together, self.i_beats.lanes // together)
        return order.swapaxes(0, 1).ravel()

    @property
    def beats(self) -> int:
        """Of the raster of a frame."""
        return self.total * self.blocks

    @property
    def pauses(self) -> list[tuple[int, int]]:
        """(n, k): after every n beats the raster goes on k beats without input."""
        lines = self.height * self.line
        found = [
            (self.width * self.blocks, (self.line - self.width) * self.blocks),
            (lines * self.blocks, (self.total - lines) * self.blocks),
        ]
        return [(every, extra) for every, extra in found if extra]

    def control(self) -> Stages:
        sy, sx = self.window.strides
        rows = (self.first + np.arange(self.rows) * sy * self.line) * self.blocks
        columns = np.add.outer(np.arange(self.columns) * sx * self.blocks, np.arange(self.blocks))
        paused = [stage for every, extra in self.pauses for stage in serializer(every, 1, 1 + extra)]
        return (*paused, *completed(rows, columns, self.beats))

    @property
    def word(self) -> int:
        """Bits of the elements of a beat at `i`."""
        return self.i_beats.bits - 1

    @property
    def delays(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Of the lines, and of the columns of the kernel: bits of a word, words, and beats between them."""
        (ky, kx), (dy, dx) = self.window.kernel, self.window.dilations
        return (
            (self.word, ky - 1, dy * self.line * self.blocks),
            (self.word * ky, kx - 1, dx * self.blocks),
        )

    def cost(self, device: Device) -> Cost:
        """The delays, registers for the beats at both ends; those at `o` are set to what lies outside without a LUT."""
        lines, columns = (delay_usage(*delay, device.family) for delay in self.delays)
        usage = lines + columns
        (ky, kx), out = self.window.kernel, self.o_beats.bits - 1
        counters = self.beats.bit_length() + sum(self.window.strides)
        luts = self.word + 3 * counters + 2 * (ky + kx) + 10
        ffs = (2 + len(self.pauses)) * self.word + out + 2 * counters + ky + kx + 10
        return Cost(round(usage.luts) + luts, round(usage.ffs) + ffs, usage.brams, 0, self.beats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = self.i
        for index, (every, extra) in enumerate(self.pauses):
            m.submodules[f"pause{index}"] = pause = Pause(self.i_beats, every, extra)
            wiring.connect(m, wiring.flipped(source) if source is self.i else source, pause.i)
            source = pause.o
        at = Intake(m, source)
        gives, last, row_inside, column_inside = self._positions(m, at)

        (_, lines, far), (_, columns, near) = self.delays
        column = [at.data, *delayed(m, "lines", at, at.data, lines, far)][::-1]  # oldest line first
        spread = Cat(*column)
        under = [spread, *delayed(m, "columns", at, spread, columns, near)][::-1]
        kind, elements = self.i_beats.shape, list[Signal]()
        fill = Const(self.fill, self.o_beats.shape) if self.window.padded else Const(0)
        for ky, row in enumerate(row_inside):
            for kx, inside in enumerate(column_inside):
                there = Signal(name=f"inside{ky}_{kx}")
                m.d.comb += there.eq(row & inside)
                word = under[kx].word_select(ky, self.word)
                for lane in range(self.i_beats.lanes):
                    element = word.word_select(lane, kind.width)
                    value = Signal(self.o_beats.shape, name=f"element{ky}_{kx}_{lane}")
                    m.d.comb += value.eq(Mux(there, element.as_signed() if kind.signed else element, fill))
                    elements.append(value)
        at.give(m, self.o, gives, last, [elements[index] for index in self._by_group().tolist()])
        return m

    def _positions(self, m: Module, at: Intake) -> tuple[Value, Value, list[Value], list[Value]]:
        """Of the beat at hand: whether a position is complete, the last one; by row and column of the kernel, if in x.

        Counters hold what will be true of the next beat.
        """
        (sy, sx), (top, _), (left, _) = self.window.strides, *self.window.pads
        end_row, end_column = divmod(self.total - 1 + self.start, self.line)
        bottom, right = self.lead + (self.rows - 1) * sy, (self.columns - 1) * sx  # the last position
        block = Signal(range(self.blocks))
        row, column = Signal(range(end_row + 1)), Signal(range(self.line), init=self.start)
        row_phase, column_phase = Signal(range(sy), init=-self.lead % sy), Signal(range(sx), init=self.start % sx)
        final, at_end = block == self.blocks - 1, Signal()
        m.d.comb += at_end.eq((row == end_row) & (column == end_column))
        with m.If(at.enter):
            m.d.sync += block.eq(Mux(final, 0, block + 1))
            with m.If(final):
                m.d.sync += [column.eq(column + 1), column_phase.eq(Mux(column_phase == sx - 1, 0, column_phase + 1))]
                with m.If(column == self.line - 1):
                    m.d.sync += [column.eq(0), column_phase.eq(0), row.eq(row + 1)]
                    m.d.sync += row_phase.eq(Mux(row_phase == sy - 1, 0, row_phase + 1))
                with m.If(at_end):
                    m.d.sync += [signal.eq(signal.init) for signal in (row, column, row_phase, column_phase)]

        gives = _inside(row, self.lead, bottom, 0, end_row) & _inside(column, 0, right, 0, self.line - 1)
        gives &= (row_phase == 0) & (column_phase == 0)
        last = (row == bottom) & (column == right) & final
        offset, flags = self.lead + top, []
        (ky, kx), (dy, dx) = self.window.kernel, self.window.dilations
        for place in range(ky):
            low = offset - place * dy
            flags.append(_inside(row, low, low + self.height - 1, self.lead, bottom))
        for place in range(kx):
            low = left - place * dx
            flags.append(_inside(column, low, low + self.width - 1, 0, right))
        held = Signal(2 + len(flags), reset_less=True)
        with m.If(at.enter):
            m.d.sync += held.eq(Cat(gives, last, *flags))
        return held[0], held[1], list(held[2 : 2 + ky]), list(held[2 + ky :])


def is_parallel(x: Type, window: Window) -> bool:
    """Whether a LineWindow can be built: the first position holds some of x."""
    return _first((1, *x.shape)[-3:-1], plane(window))[1] >= 0


def _first(size: tuple[int, ...], window: Window) -> tuple[int, int]:
    """Columns of the raster, and where in it the first position is complete, of a window over a plane."""
    (ky, kx), (dy, dx), ((top, _), (left, _)) = window.kernel, window.dilations, window.pads
    _, columns = window.output(size)
    line: int = max(size[1], (columns - 1) * window.strides[1] + 1)
    return line, ((ky - 1) * dy - top) * line + (kx - 1) * dx - left


def _inside(value: Signal, low: int, high: int, least: int, most: int) -> Value:
    """low <= value <= high, asked of positions between `least` and `most` only."""
    above = value >= low if low > least else Const(1)
    return above & (value <= high if high < most else Const(1))


class Pause(wiring.Component):
    """After every `every` beats taken, `extra` more that repeat the last one; what they carry means nothing.

    Ports: i, o: `beats`; the `last` of a beat is lost. Latency: 1 cycle. Throughput: one beat a cycle at `o`.
    """

    def __init__(self, beats: Beats, every: int, extra: int) -> None:
        super().__init__({"i": wiring.In(beats.signature), "o": wiring.Out(beats.signature)})
        self.every, self.extra = every, extra

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, left, none_left = Signal(range(self.every)), Signal(range(self.extra + 1)), Signal()
        data = Signal.like(self.i.payload.data.as_value(), name="data", reset_less=True)
        m.d.comb += [none_left.eq(left == 0), self.i.ready.eq(~self.o.valid | (self.o.ready & none_left))]
        m.d.comb += self.o.payload.data.as_value().eq(data)
        with m.If(self.i.valid & self.i.ready):
            final = beat == self.every - 1
            m.d.sync += [data.eq(self.i.payload.data.as_value()), self.o.valid.eq(1)]
            m.d.sync += [beat.eq(Mux(final, 0, beat + 1)), left.eq(Mux(final, self.extra, 0))]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(self.o.valid & ~none_left)
            with m.If(~none_left):
                m.d.sync += left.eq(left - 1)
        return m
