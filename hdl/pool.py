"""Pools whose windows do not overlap, without a buffer of the input."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from amaranth import Cat, Module, Mux, Signal, Value, unsigned

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Pool
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.intake import Intake, completed
from lutwright.hdl.resources import ram
from lutwright.hdl.tokens import Stages
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import plane

SEPARATE = "separate"  # the name of this way to build a Pool


@dataclass
class WindowAxis:
    """A spatial axis: `count` windows of `kernel` positions, one every `stride`, the first from -`before` on.

    In hardware: `position`, its `phase` in the stride, and `index`, the window that begins last.
    """

    name: str
    size: int
    kernel: int
    stride: int
    before: int
    count: int
    position: Signal = field(init=False)
    phase: Signal = field(init=False)
    index: Signal = field(init=False)

    def __post_init__(self) -> None:
        if self.count == 1:  # nothing begins anew
            self.stride = self.before + self.size
        self.position = Signal(range(self.size), name=f"{self.name}_position")
        self.phase = Signal(range(self.stride), init=self.before, name=f"{self.name}_phase")
        self.index = Signal(range(self.count + 1), name=f"{self.name}_index")

    @property
    def last(self) -> Value:
        return self.position == self.size - 1

    @property
    def inside(self) -> Value:
        """Whether the position lies in a window."""
        return (self.phase < self.kernel) & (self.index < self.count)

    @property
    def begins(self) -> Value:
        """Whether no position before lies in its window."""
        return (self.phase == 0) | (self.position == 0)

    @property
    def ends(self) -> Value:
        return (self.phase == self.kernel - 1) | self.last

    def restart(self) -> list[object]:
        return [signal.eq(signal.init) for signal in (self.position, self.phase, self.index)]

    def advance(self) -> list[object]:
        wraps = self.phase == self.stride - 1
        return [
            self.position.eq(self.position + 1),
            self.phase.eq(Mux(wraps, 0, self.phase + 1)),
            self.index.eq(self.index + wraps),
        ]

    def final_positions(self) -> Array:
        """Of each window the last position in the input."""
        return np.minimum(np.arange(self.count) * self.stride - self.before + self.kernel, self.size) - 1


class PoolReduce(Unit):
    """y[o.., c] = the maximum or sum of x over a window, where no two windows overlap (`is_separate`).

    Every beat belongs to one window at most, and is folded into what there is of its result: a memory has that of
    every column of windows and block of channels, or a register where there is one only.
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes). Throughput: one beat a cycle. Latency: 2 cycles after the
    window's last beat. `i.ready` depends on state alone; while a result waits for `o.ready`, two beats are taken.
    """

    cuts_ready = True

    def __init__(self, node: Pool, x: Type, lanes: int) -> None:
        if not is_separate(node, x):
            raise PlanError(f"the windows of '{node.name}' must not overlap, but they are {node.window}")
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.node, self.window = node, plane(node.window)
        self.size = (1, *x.shape)[-3:-1]
        self.blocks = self.i_beats.per_vector
        self.entries = self.window.output(self.size)[1] * self.blocks

    def axes(self) -> tuple[WindowAxis, WindowAxis]:
        window = self.window
        rows, columns = (
            WindowAxis(*parts)
            for parts in zip(
                ("row", "column"),
                self.size,
                window.kernel,
                window.strides,
                (before for before, _ in window.pads),
                window.output(self.size),
                strict=True,
            )
        )
        return rows, columns

    def control(self) -> Stages:
        rows, columns = (axis.final_positions() for axis in self.axes())
        beats = np.add.outer(columns * self.blocks, np.arange(self.blocks))
        return completed(rows * self.size[1] * self.blocks, beats, self.i_beats.per_frame)

    def cost(self, device: Device) -> Cost:
        """The memory, and in each lane an adder or a comparison."""
        lanes, x, y = self.i_beats.lanes, self.i_beats.type.width, self.o_beats.type.width
        counters = self.i_beats.per_frame.bit_length() + sum(
            (axis.stride * (axis.count + 1)).bit_length() for axis in self.axes()
        )
        luts, ffs, brams = lanes * (x + 2 * y) + 3 * counters + 8, lanes * (2 * x + 2 * y) + counters + 10, 0
        if self.entries > 1:
            usage = ram(self.entries, lanes * y, device.family)
            address = (self.entries - 1).bit_length()
            passing = lanes * y * (1 + (self.node.kind == "max"))  # a sum's adder has room for one of them
            luts, brams = luts + round(usage.luts) + passing + 4 * address, usage.brams
            ffs += round(usage.ffs) + lanes * y + 2 * address
        return Cost(luts, ffs, brams, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Intake(m, self.i)
        rows, columns = self.axes()
        block, line = Signal(range(self.blocks)), Signal(range(self.entries + 1))
        # Of the beat that comes to hand next, then of the one at hand: what it does.
        final, next_line = block == self.blocks - 1, Signal.like(line)
        m.d.comb += next_line.eq(line)
        inside, ends = rows.inside & columns.inside, rows.ends & columns.ends
        last = (rows.index == rows.count - 1) & (columns.index == columns.count - 1) & final
        flags = Cat(inside, inside & ends, rows.begins & columns.begins, last)
        held = Signal.like(flags, reset_less=True)
        with m.If(at.enter):
            m.d.sync += [held.eq(flags), block.eq(Mux(final, 0, block + 1))]
            with m.If(final):
                m.d.sync += [*columns.advance(), line.eq(next_line)]
                if columns.count > 1:
                    with m.If(columns.phase == columns.stride - 1):
                        m.d.comb += next_line.eq(line + self.blocks)
                with m.If(columns.last):
                    m.d.sync += [*rows.advance(), *columns.restart()]
                    m.d.comb += next_line.eq(0)
                    with m.If(rows.last):
                        m.d.sync += rows.restart()
        belongs, gives, begins, at_end = held
        partial = Signal(unsigned(self.o_beats.type.width * self.o_beats.lanes))
        before = self._partial(m, at, Mux(final, next_line, line + block + 1), partial, belongs)
        x, y, folded = self.i_beats.shape, self.o_beats.shape, list[Signal]()
        for lane in range(self.i_beats.lanes):
            element, old = at.data.word_select(lane, x.width), before.word_select(lane, y.width)
            typed = element.as_signed() if x.signed else element, old.as_signed() if y.signed else old
            folded.append(Signal(y, name=f"folded{lane}"))
            m.d.comb += folded[-1].eq(self._folded(*typed, begins))
        m.d.comb += partial.eq(Cat(folded))
        at.give(m, self.o, gives, at_end, folded)
        return m

    def _partial(self, m: Module, at: Intake, following: Value, partial: Signal, belongs: Value) -> Value:
        """What there is of the result to which the beat at hand belongs; `partial` is what it becomes.

        following: the place in the memory of the beat after the one that comes to hand next. It is read as early as
        that, so that a register follows the memory: what the two beats before it write comes from `passed`.
        """
        if self.entries == 1:
            kept = Signal.like(partial, reset_less=True)
            with m.If(at.done & belongs):
                m.d.sync += kept.eq(partial)
            return kept
        address, read = Signal(range(self.entries)), Signal(range(self.entries))
        write, stored = buffer(m, "partials", len(partial), self.entries, read, at.enter)
        word, passed = Signal.like(partial, reset_less=True), Signal.like(partial, reset_less=True)
        passes, meets = Signal(), Signal()
        m.d.comb += [read.eq(following), write.data.eq(partial), write.en.eq(at.done & belongs)]
        with m.If(at.enter):
            m.d.sync += [
                address.eq(read),
                write.addr.eq(address),
                passed.eq(partial),
                word.eq(Mux(meets, passed, stored)),
                passes.eq(belongs & (write.addr == address)),
                meets.eq(belongs & (write.addr == read)),
            ]
        return Mux(passes, passed, word)

    def _folded(self, element: Value, old: Value, begins: Value) -> Value:
        if self.node.kind == "max":
            return Mux(begins | (element > old), element, old)
        return element + Mux(begins, 0, old)


def is_separate(node: Pool, x: Type) -> bool:
    """Whether no element of the input lies in two windows, and no window leaves elements out between its own."""
    window: Window = plane(node.window)
    size = (1, *x.shape)[-3:-1]
    axes = zip(window.kernel, window.strides, window.dilations, window.output(size), strict=True)
    return all(
        (kernel <= stride or count == 1) and (dilation == 1 or kernel == 1) for kernel, stride, dilation, count in axes
    )
