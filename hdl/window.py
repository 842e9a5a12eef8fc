"""The sliding window: what lies under a kernel at every output position, out of a buffer of the last lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed

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


class WindowUnit(Unit):
    """What lies under the window: y[o.., k.., c] = x[o * stride + k * dilation - pad.., c], and `fill` outside of x.

    x is [H, W, C] or [W, C]. The result is [OH, OW, kernel * C], channels fastest; with `by_block` it is
    [OH, OW, ceil(C / lanes), kernel * lanes]: for each block of channels what lies under the whole kernel; lanes past
    C carry 0 inside x and `fill` outside. Ports: i: Beats(x, lanes), o: Beats(y, `places` * lanes).
    """

    cuts_ready = True

    def __init__(self, x: Type, window: Window, lanes: int, fill: int, by_block: bool, places: int) -> None:
        if len(x.shape) not in (2, 3):
            raise PlanError(f"a sliding window has one or two spatial axes, but its input is {x}")
        self.window, self.fill, self.by_block = plane(window), fill, by_block
        self.height, self.width = (1, *x.shape)[-3:-1]
        self.rows, self.columns = self.window.output((self.height, self.width))
        self.blocks = -(-x.channels // lanes)
        kernel = math.prod(self.window.kernel)
        inner = (self.blocks, kernel * lanes) if by_block else (kernel * x.channels,)
        lo, hi = (min(x.lo, fill), max(x.hi, fill)) if self.window.padded else (x.lo, x.hi)
        super().__init__(Beats(x, lanes), Beats(Type((self.rows, self.columns, *inner), lo, hi), places * lanes))


class SlidingWindow(WindowUnit):
    """What lies under the window, one place of the kernel a beat; without `by_block`, `lanes` divides C.

    The buffer holds `depth` beats: as many as lie between the oldest one that is still needed and the newest, at most
    over all positions, and those of the lines that a stride skips, so that they come in meanwhile.
    `i.ready` depends on state alone. Latency: one cycle after the beat that a position needs last. Throughput: one beat
    a cycle at `o`, while the input is there.
    Source: the sliding window unit of Umuroglu et al., "FINN", FPGA 2017, section 4.4.
    """

    def __init__(self, x: Type, window: Window, lanes: int, fill: int, by_block: bool = False) -> None:
        if not by_block and x.channels % lanes:
            raise PlanError(f"the lanes of a sliding window must divide its {x.channels} channels, not be {lanes}")
        super().__init__(x, window, lanes, fill, by_block, places=1)
        self.needs, self.origins, self.places = self._schedule()
        self.depth = self._depth()

    def _schedule(self) -> tuple[Array, Array, Array]:
        """For each beat given in a frame: how many of its frame's beats must be there, which is the oldest that the
        buffer keeps, and which lies at its place.

        Beats count from the frame's start, as if lines had no ends. What lies outside needs none: a number below all.
        """
        (sy, sx), (dy, dx) = self.window.strides, self.window.dilations
        (top, _), (left, _) = self.window.pads
        y0, x0 = np.arange(self.rows) * sy - top, np.arange(self.columns) * sx - left
        y = y0[:, np.newaxis] + np.arange(self.window.kernel[0]) * dy  # [rows, ky]
        x = x0[:, np.newaxis] + np.arange(self.window.kernel[1]) * dx
        block = np.arange(self.blocks)[:, np.newaxis, np.newaxis]
        ys, xs = y[:, np.newaxis, np.newaxis, :, np.newaxis], x[np.newaxis, :, np.newaxis, np.newaxis, :]
        places = (ys * self.width + xs) * self.blocks + block
        inside = (ys >= 0) & (ys < self.height) & (xs >= 0) & (xs < self.width)
        needs = np.where(inside, places + 1, -(2**31))
        origins = (y0[:, np.newaxis] * self.width + x0) * self.blocks
        spread = np.broadcast_to(origins[:, :, np.newaxis, np.newaxis, np.newaxis], needs.shape)
        order = (0, 1, 2, 3, 4) if self.by_block else (0, 1, 3, 4, 2)
        needs, spread, places = (array.transpose(order).ravel() for array in (needs, spread, places))
        if not inside.any():
            raise PlanError(
                f"a window must hold some of its input at some position, but {self.window} never does. "
                "Pad less, or dilate less"
            )
        # Where a window has left its line, what is still needed can lie before its origin.
        needed = np.where(needs > 0, needs - 1, self.i_beats.per_frame)
        oldest = np.minimum.accumulate(needed[::-1])[::-1]
        return needs, spread - max(0, int((spread - oldest).max())), places

    def _depth(self) -> int:
        there = self.needs > 0
        (sy, sx), skipped = self.window.strides, 1
        skipped += ((sy - 1) * self.width + sx - 1) * self.blocks
        depth = max(2, int((self.needs - self.origins)[there].max()) + skipped)
        return 1 << (depth - 1).bit_length() if depth <= WHOLE_MEMORY else depth

    def control(self) -> Stages:
        return schedule(self.needs, self.origins, self.depth, self.i_beats.per_frame)

    def cost(self, device: Device) -> Cost:
        """The buffer, its addresses, the registers of what is ahead, counters of loops; LUTs as synthesized."""
        usage = ram(self.depth, self.i_beats.bits - 1, device.family)
        loops = [(size - 1).bit_length() for size in self._loops() if size > 1]
        address, whole = (self.depth - 1).bit_length(), self.depth & (self.depth - 1) == 0
        spans = self._span(self.places).width + self._span(self.origins).width
        axes = zip((self.height, self.width), self.window.pads, strict=True)
        coordinates = sum(size.bit_length() + 1 for size, pads in axes if any(pads))
        filled = self.window.padded * (self.o_beats.bits - 1)
        control = 1.6 * (sum(loops) + spans + coordinates) + 5 * len(loops) + (1.5 if whole else 4.5) * address + filled
        ffs = sum(loops) + len(loops) + spans + 2 * address + coordinates + 3
        cycles = max(self.i_beats.per_frame, self.o_beats.per_frame)
        return Cost(round(usage.luts + control), round(usage.ffs) + ffs, usage.brams, 0, cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame, bits = self.i_beats.per_frame, self.i_beats.bits - 1
        step, outside, last = Signal(), Signal(), Signal()
        loops = Loops(m, self._loops(), step)

        # Whose sign says all: beats from the place to the newest, and how many more may come, both less one.
        start = int(self.places[0])
        ahead = Signal(self._span(self.places), init=-start - 1)
        space = Signal(self._span(self.origins), init=self.depth + int(self.origins[0]) - 1)
        address = Signal(range(self.depth), init=start % self.depth)
        inside = self._inside(m, loops, step)
        write, word = buffer(m, "lines", bits, self.depth, address, step)
        m.d.comb += [
            self.i.ready.eq(space >= 0),
            step.eq((~inside | (ahead >= 0)) & (~self.o.valid | self.o.ready)),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        places, origins = (loops.moves(beats, frame) for beats in (self.places, self.origins))
        m.d.sync += [
            ahead.eq(_added(ahead, loops.chosen([-move for move in places], step), write.en)),
            space.eq(_added(space, loops.chosen([move - 1 for move in origins], step, -1), ~write.en)),
        ]
        with m.If(step):
            m.d.sync += address.eq(self._moved(address, [move % self.depth for move in places], loops))
        with m.If(write.en):
            m.d.sync += write.addr.eq(self._moved(write.addr, [1], loops))

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.o.valid.eq(1), outside.eq(~inside), last.eq(loops.done)]
        self._give(m, word, outside, last)
        return m

    def _loops(self) -> tuple[int, ...]:
        """Iterations of the loops around a beat, innermost first."""
        ky, kx = self.window.kernel
        inner = (kx, ky, self.blocks) if self.by_block else (self.blocks, kx, ky)
        return (*inner, self.columns, self.rows)

    def _span(self, beats: Array) -> Shape:
        """What holds how far the newest beat is ahead of any of these, and the room that this leaves."""
        frame = self.i_beats.per_frame
        needed = np.maximum.accumulate(np.maximum(self.needs, self.needs.max() - frame))
        newest = np.concatenate([[self.needs.max() - frame], needed[:-1]])  # at least, when a beat is given
        back = np.append(self.origins, frame + self.origins[0])
        most = self.depth + int((back[:-1] - back[1:]).max(initial=0))
        reach = max(most, self.depth - int((newest - beats).min()), int(np.abs(beats[0])) + self.depth)
        return signed(reach.bit_length() + 1)

    def _inside(self, m: Module, loops: Loops, step: Value) -> Value:
        """Whether the place lies in the input: a coordinate for each axis that is padded."""
        inside: Value = Const(1)
        shape = (self.rows, self.columns, *self.window.kernel, self.blocks)
        window = self.window
        axes = zip("yx", (self.height, self.width), window.pads, window.strides, window.dilations, strict=True)
        for axis, (name, size, pads, stride, dilation) in enumerate(axes):
            if not any(pads):
                continue
            output, kernel = np.indices(shape, sparse=True)[axis], np.indices(shape, sparse=True)[axis + 2]
            places = np.broadcast_to(output * stride + kernel * dilation - pads[0], shape)
            places = places.transpose((0, 1, 4, 2, 3) if self.by_block else (0, 1, 2, 3, 4)).ravel()
            reach = max(-int(places.min()), int(places.max()))
            place = Signal(signed(reach.bit_length() + 1), init=-pads[0], name=name)
            with m.If(step):
                m.d.sync += place.eq(place + loops.chosen(loops.moves(places, 0)))
            inside = inside & (place >= 0) & (place < size)
        return inside

    def _moved(self, address: Value, moves: Sequence[int], loops: Loops) -> Value:
        """An address moved on, modulo the depth."""
        moved = address + loops.chosen(moves)
        if self.depth & (self.depth - 1) == 0:
            return moved[: (self.depth - 1).bit_length()]
        wrapped = address + loops.chosen([move - self.depth for move in moves])
        return Mux(wrapped < 0, moved, wrapped)

    def _give(self, m: Module, data: Value, outside: Value, last: Value) -> None:
        width = self.o_beats.type.width
        for lane in range(self.o_beats.lanes):
            element = data.word_select(lane, self.i_beats.type.width)
            element = element.as_signed() if self.i_beats.type.signed else element
            m.d.comb += self.o.payload.data[lane].eq(Mux(outside, self.fill & ((1 << width) - 1), element))
        m.d.comb += self.o.payload.last.eq(last)


class Loops:
    """Nested loops: a counter each, the innermost first, that move on a `step`."""

    def __init__(self, m: Module, sizes: Sequence[int], step: Value) -> None:
        self.sizes = sizes
        self.last: list[Value] = []
        for index, size in enumerate(sizes):
            count, last = Signal(range(size), name=f"count{index}"), Signal(init=size == 1, name=f"last{index}")
            with m.If(step & self._all(self.last)):
                m.d.sync += [count.eq(Mux(last, 0, count + 1)), last.eq(Mux(last, size == 1, count == size - 2))]
            self.last.append(last)
        self.done = self._all(self.last)

    @staticmethod
    def _all(bits: Sequence[Value]) -> Value:
        return Cat(*bits).all()

    def moves(self, values: Array, frame: int) -> list[int]:
        """How `values`, one for each pass of the innermost loop, move when each loop goes on, and when all begin again.

        `frame`: what the next frame's values lie beyond this one's.
        """
        strides = np.cumprod([1, *self.sizes[:-1]])
        ends = [int(stride) - 1 if size > 1 else 0 for stride, size in zip(strides, self.sizes, strict=True)]
        moves = [int(values[(end + 1) % len(values)] - values[end]) for end in ends]
        return [*moves, int(frame + values[0] - values[-1])]

    def chosen(self, moves: Sequence[int], step: Value | None = None, otherwise: int = 0) -> Value:
        """The move of this step, of one for all or one for each loop; `otherwise` without a step."""
        if len(moves) == 1:
            return _constant(moves[0])
        chosen: Value = _constant(moves[-1])
        for last, move in zip(reversed(self.last), reversed(moves[:-1]), strict=True):
            chosen = Mux(last, chosen, _constant(move))
        return chosen if step is None else Mux(step, chosen, _constant(otherwise))


def _constant(value: int) -> Const:
    return Const(value, signed(value.bit_length() + 1))


def _added(value: Signal, move: Value, one: Value) -> Value:
    """The sum of all three, by one adder."""
    return (Cat(Const(1, 1), value).as_signed() + Cat(one, move).as_signed()) >> 1


def plane(window: Window) -> Window:
    """A window over one spatial axis as one over two, of which the first has one place."""
    if len(window.kernel) == 2:
        return window
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), ((0, 0), *window.pads))
