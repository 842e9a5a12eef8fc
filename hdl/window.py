"""The sliding window: what lies under a kernel at every output position, out of a buffer of the last lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Module, Mux, Shape, Signal, Value, signed

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.resources import ram
from lutwright.hdl.tokens import Stages, schedule
from lutwright.hdl.unit import Unit

WHOLE_MEMORY = 256  # rows that every family's block RAM has: a buffer of fewer is rounded to a power of two


class SlidingWindow(Unit):
    """What lies under the window: y[o.., k.., c] = x[o * stride + k * dilation - pad.., c], and `fill` outside of x.

    x is [H, W, C] or [W, C]. The result is [OH, OW, kernel * C], channels fastest, and `lanes` divides C. With
    `by_block` it is [OH, OW, ceil(C / lanes), kernel * lanes]: for each block of channels what lies under the whole
    kernel; lanes past C carry 0 inside x and `fill` outside.
    The buffer holds `depth` beats: as many as lie between the oldest one that is still needed and the newest, at most
    over all positions, and those of the lines that a stride skips, so that they come in meanwhile.
    Ports: i: Beats(x, lanes), o: Beats(y, lanes). `i.ready` depends on state alone. Latency: one cycle after the beat
    that a position needs last. Throughput: one beat a cycle at `o`, while the input is there.
    Source: the sliding window unit of Umuroglu et al., "FINN", FPGA 2017, section 4.4.
    """

    cuts_ready = True

    def __init__(self, x: Type, window: Window, lanes: int, fill: int, by_block: bool = False) -> None:
        if len(x.shape) not in (2, 3):
            raise PlanError(f"a sliding window has one or two spatial axes, but its input is {x}")
        if not by_block and x.channels % lanes:
            raise PlanError(f"the lanes of a sliding window must divide its {x.channels} channels, not be {lanes}")
        self.window, self.fill, self.by_block = plane(window), fill, by_block
        self.height, self.width = (1, *x.shape)[-3:-1]
        self.blocks = -(-x.channels // lanes)
        kernel = self.window.kernel[0] * self.window.kernel[1]
        self.rows, self.columns = self.window.output((self.height, self.width))
        inner = (self.blocks, kernel * lanes) if by_block else (kernel * x.channels,)
        lo, hi = (min(x.lo, fill), max(x.hi, fill)) if self.window.padded else (x.lo, x.hi)
        super().__init__(Beats(x, lanes), Beats(Type((self.rows, self.columns, *inner), lo, hi), lanes))
        self.needs, self.lowers = self._schedule()
        self.depth = self._depth()

    def _schedule(self) -> tuple[Array, Array]:
        """For each beat given in a frame: how many of its frame's beats must be there, and from which on they are kept.

        What lies outside needs none: a number below all.
        """
        (sy, sx), (dy, dx) = self.window.strides, self.window.dilations
        (top, _), (left, _) = self.window.pads
        y0, x0 = np.arange(self.rows) * sy - top, np.arange(self.columns) * sx - left
        y = y0[:, np.newaxis] + np.arange(self.window.kernel[0]) * dy  # [rows, ky]
        x = x0[:, np.newaxis] + np.arange(self.window.kernel[1]) * dx
        block = np.arange(self.blocks)
        ys, xs = y[:, np.newaxis, np.newaxis, :, np.newaxis], x[np.newaxis, :, np.newaxis, np.newaxis, :]
        places = (ys * self.width + xs) * self.blocks + block[:, np.newaxis, np.newaxis]
        inside = (ys >= 0) & (ys < self.height) & (xs >= 0) & (xs < self.width)
        needs = np.where(inside, places + 1, -(2**31))
        origin = (y0[:, np.newaxis] * self.width + x0) * self.blocks
        lowers = np.where(y0[:, np.newaxis] >= 0, np.maximum(origin, 0), 0)
        spread = np.broadcast_to(lowers[:, :, np.newaxis, np.newaxis, np.newaxis], needs.shape)
        needs = needs if self.by_block else np.moveaxis(needs, 2, -1)
        return needs.ravel(), spread.ravel()

    def _depth(self) -> int:
        there = self.needs > 0
        oldest = np.minimum.accumulate(np.where(there, self.needs - 1, 2**31)[::-1])[::-1]
        if (oldest < self.lowers).any():
            raise PlanError(f"a window may not lie beyond its input's edge: {self.window}")
        (sy, sx), skipped = self.window.strides, 1
        skipped += ((sy - 1) * self.width + sx - 1) * self.blocks
        depth = int((self.needs - self.lowers)[there].max()) + skipped
        depth = max(2, min(depth, self.i_beats.per_frame * 2))
        return 1 << (depth - 1).bit_length() if depth <= WHOLE_MEMORY else depth

    def control(self) -> Stages:
        return schedule(self.needs, self.lowers, self.depth, self.i_beats.per_frame)

    def cost(self, device: Device) -> Cost:
        """The buffer, and counters of places and addresses."""
        usage = ram(self.depth, self.i_beats.bits - 1, device.family)
        pointer = (self.i_beats.per_frame * 2).bit_length() + self.depth.bit_length()
        control = 12 * pointer + 40
        luts, ffs = usage.luts + control + self.i_beats.bits, usage.ffs + 6 * pointer + 30
        return Cost(round(luts), round(ffs), usage.brams, 0, max(self.i_beats.per_frame, self.o_beats.per_frame))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame, bits = self.i_beats.per_frame, self.i_beats.bits - 1
        (ky, kx), (sy, sx), (dy, dx) = self.window.kernel, self.window.strides, self.window.dilations
        (top, bottom), (left, right) = self.window.pads
        line = self.width * self.blocks
        reach = (self.height + top + bottom + ky * dy) * (self.width + left + right + kx * dx) * self.blocks
        span = signed(max(reach, 2 * frame + self.depth).bit_length() + 1)

        written = Signal(span)  # of the frame that is given, relative to its start
        step, row_starts = Signal(), (-top * self.width - left) * self.blocks

        # Places count beats from the frame's start, addresses are the same modulo `depth`.
        frame_address = Signal(range(self.depth), init=row_starts % self.depth)
        kinds = ("kx", "ky", "b", "ox", "oy") if self.by_block else ("b", "kx", "ky", "ox", "oy")
        pointers = [Pointer(self, span, row_starts, f"at_{kind}") for kind in kinds]
        place, column = pointers[0], pointers[3]
        y0, x0, y, x = (
            Signal(signed(max(limit, 1).bit_length() + 2), init=-pad, name=name)
            for limit, pad, name in (
                (self.height + bottom + ky * dy, top, "y0"),
                (self.width + right + kx * dx, left, "x0"),
                (self.height + bottom + ky * dy, top, "y"),
                (self.width + right + kx * dx, left, "x"),
            )
        )
        sizes = {"kx": kx, "ky": ky, "b": self.blocks, "ox": self.columns, "oy": self.rows}
        steps = {"kx": dx * self.blocks, "ky": dy * line, "b": 1, "ox": sx * self.blocks, "oy": sy * line}
        counts = [Counter(m, kind, sizes[kind]) for kind in kinds]
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        at_start = (y0 < 0) | (column.place < 0)
        done = Signal()
        write, word = buffer(m, "lines", bits, self.depth, place.address, step)  # what is read has been written before
        m.d.comb += [
            # Both cases at once, as below the sums of all cases, since what chooses between them comes late.
            self.i.ready.eq(Mux(at_start, written < self.depth, written - column.place < self.depth)),
            step.eq((~inside | (place.place < written)) & (~self.o.valid | self.o.ready)),
            done.eq(step & self._last(counts)),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        outside, last = Signal(), Signal()
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.o.valid.eq(1), outside.eq(~inside), last.eq(done)]
        same, next_frame = (Mux(write.en, start + 1, start) for start in (written, written - frame))
        m.d.sync += written.eq(Mux(done, next_frame, same))
        with m.If(write.en):
            m.d.sync += write.addr.eq(self.wrapped(write.addr + 1))
        self._give(m, word, outside, last)

        following = self.wrapped(frame_address + frame % self.depth)
        with m.If(step):
            previous: Value = Value.cast(1)
            for index, (count, pointer) in enumerate(zip(counts, pointers, strict=True)):
                with m.If(previous & ~count.last):
                    moved = pointer.moved(steps[kinds[index]])
                    for lower_one in pointers[: index + 1]:
                        m.d.sync += lower_one.set(*moved)
                    m.d.sync += count.value.eq(count.value + 1)
                    m.d.sync += [other.value.eq(0) for other in counts[:index]]
                    m.d.sync += _coordinates(kinds[index], kinds[:index], (x, y, x0, y0), (dx, dy, sx, sy), left)
                previous = previous & count.last
            with m.If(previous):
                for pointer in pointers:
                    m.d.sync += pointer.set(row_starts, following)
                m.d.sync += [other.value.eq(0) for other in counts]
                m.d.sync += [frame_address.eq(following), y0.eq(-top), y.eq(-top), x0.eq(-left), x.eq(-left)]
        return m

    def _give(self, m: Module, data: Value, outside: Value, last: Value) -> None:
        width = self.o_beats.type.width
        for lane in range(self.o_beats.lanes):
            element = data.word_select(lane, self.i_beats.type.width)
            element = element.as_signed() if self.i_beats.type.signed else element
            m.d.comb += self.o.payload.data[lane].eq(Mux(outside, self.fill & ((1 << width) - 1), element))
        m.d.comb += self.o.payload.last.eq(last)

    @staticmethod
    def _last(counts: Sequence[Counter]) -> Value:
        result: Value = counts[0].last
        for count in counts[1:]:
            result = result & count.last
        return result

    def wrapped(self, address: Value) -> Value:
        """An address below twice the depth, modulo the depth."""
        if self.depth & (self.depth - 1) == 0:
            return address[: (self.depth - 1).bit_length()]
        return Mux(address >= self.depth, address - self.depth, address)


class Counter:
    """A counter from 0 that is at its end at `count` - 1."""

    def __init__(self, m: Module, name: str, count: int) -> None:
        self.value = Signal(range(count), name=name)
        self.last = Signal(name=f"{name}_last")
        m.d.comb += self.last.eq(self.value == count - 1)


class Pointer:
    """A place in the frame and the address of it."""

    def __init__(self, unit: SlidingWindow, span: Shape, start: int, name: str) -> None:
        self.unit = unit
        self.place = Signal(span, init=start, name=name)
        self.address = Signal(range(unit.depth), init=start % unit.depth, name=f"{name}_address")

    def moved(self, amount: int) -> tuple[Value, Value]:
        return self.place + amount, self.unit.wrapped(self.address + amount % self.unit.depth)

    def set(self, place: object, address: Value) -> list[object]:
        return [self.place.eq(place), self.address.eq(address)]


def _coordinates(
    kind: str,
    inner: Sequence[str],
    signals: tuple[Signal, Signal, Signal, Signal],
    steps: tuple[int, int, int, int],
    left: int,
) -> list[object]:
    """Where the next beat lies, when the counter of that kind advances and the inner ones begin again."""
    x, y, x0, y0 = signals
    dx, dy, sx, sy = steps
    moves: list[object] = []
    next_x0, next_y0 = (x0 + sx if kind == "ox" else -left if kind == "oy" else x0), (y0 + sy if kind == "oy" else y0)
    if kind in ("ox", "oy"):
        moves += [x0.eq(next_x0), y0.eq(next_y0)]
    if kind == "kx" or "kx" in inner:
        moves.append(x.eq(x + dx if kind == "kx" else next_x0))
    if kind == "ky" or "ky" in inner:
        moves.append(y.eq(y + dy if kind == "ky" else next_y0))
    return moves


def plane(window: Window) -> Window:
    """A window over one spatial axis as one over two, of which the first has one place."""
    if len(window.kernel) == 2:
        return window
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), ((0, 0), *window.pads))
