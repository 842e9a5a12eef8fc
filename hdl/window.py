"""The sliding window: what lies under a kernel at every output position, out of a buffer of the last lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from amaranth import Const, Module, Mux, Shape, Signal, Value, signed

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.arith import carried_sum
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.loops import Loops, moves
from lutwright.hdl.resources import ram
from lutwright.hdl.timetable import NO_NEED, Timetable
from lutwright.hdl.tokens import Stages, schedule
from lutwright.hdl.unit import Unit

FAR = 2**31  # a beat after all
WHOLE_MEMORY = 256  # rows that every family's block RAM has: a buffer of fewer is rounded to a power of two


class WindowUnit(Unit):
    """What lies under the window: y[o.., k.., c] = x[o * stride + k * dilation - pad.., c], and `fill` outside of x.

    x is [H, W, C] or [W, C]. The result is [OH, OW, kernel * C]: for each of `groups` groups of channels what lies
    under the whole kernel, channels fastest. With `by_block` it is [OH, OW, ceil(C / lanes), kernel * lanes], where
    each block of `lanes` channels is a group; lanes past C carry 0 inside x and `fill` outside.
    Ports: i: Beats(x, lanes), o: Beats(y, `places` * lanes).
    """

    cuts_ready = True

    def __init__(
        self, x: Type, window: Window, lanes: int, fill: int, by_block: bool, groups: int, places: int
    ) -> None:
        if len(x.shape) not in (2, 3):
            raise PlanError(f"a sliding window has one or two spatial axes, but its input is {x}")
        self.window, self.fill, self.by_block = plane(window), fill, by_block
        self.height, self.width = (1, *x.shape)[-3:-1]
        self.rows, self.columns = self.window.output((self.height, self.width))
        self.blocks = -(-x.channels // lanes)
        self.groups = self.blocks if by_block else groups
        kernel = math.prod(self.window.kernel)
        inner = (self.blocks, kernel * lanes) if by_block else (kernel * x.channels,)
        lo, hi = (min(x.lo, fill), max(x.hi, fill)) if self.window.padded else (x.lo, x.hi)
        super().__init__(Beats(x, lanes), Beats(Type((self.rows, self.columns, *inner), lo, hi), places * lanes))


class SlidingWindow(WindowUnit):
    """What lies under the window, one place of the kernel a beat; without `by_block`, `lanes` divides C / groups.

    The buffer holds `depth` beats: as many as lie between the oldest one that is still needed and the newest, at most
    over all positions, and those of the lines that a stride skips, so that they come in meanwhile.
    `i.ready` depends on state alone. Latency: one cycle after the beat that a position needs last. Throughput: one beat
    a cycle at `o`, while the input is there.
    Source: the sliding window unit of Umuroglu et al., "FINN", FPGA 2017.
    """

    def __init__(self, x: Type, window: Window, lanes: int, fill: int, by_block: bool = False, groups: int = 1) -> None:
        if not by_block and x.channels // groups % lanes:
            raise PlanError(
                f"the lanes of a sliding window must divide the {x.channels // groups} channels of a group, "
                f"not be {lanes}"
            )
        super().__init__(x, window, lanes, fill, by_block, groups, places=1)
        self.table, self.places = self._schedule()
        self.depth = self._depth()

    def _schedule(self) -> tuple[Timetable, Array]:
        """When each beat is given; and which of its frame's beats lies at its place, beyond its row's base.

        Beats count from the frame's start, as if lines had no ends. What lies outside needs none. Rows of positions are
        of one kind whose windows have the same lines inside.
        """
        (sy, sx), (dy, dx) = self.window.strides, self.window.dilations
        (top, _), (left, _) = self.window.pads
        y0, x0 = np.arange(self.rows) * sy - top, np.arange(self.columns) * sx - left
        y = y0[:, np.newaxis] + np.arange(self.window.kernel[0]) * dy  # [rows, ky]
        x = x0[:, np.newaxis] + np.arange(self.window.kernel[1]) * dx  # [columns, kx]
        bases = y0 * self.width * self.blocks
        lines, kinds = np.unique((y >= 0) & (y < self.height), axis=0, return_inverse=True)
        # Of a row, beyond its base: [columns, blocks, ky, kx].
        block = np.arange(self.blocks)[:, np.newaxis, np.newaxis]
        ys, xs = np.arange(self.window.kernel[0])[:, np.newaxis] * dy, x[:, np.newaxis, np.newaxis, :]
        places = (ys * self.width + xs) * self.blocks + block
        inside = lines[:, np.newaxis, np.newaxis, :, np.newaxis] & (xs >= 0) & (xs < self.width)
        needs = np.where(inside, places + 1, NO_NEED)
        if not inside.any():
            raise PlanError(
                f"a window must hold some of its input at some position, but {self.window} never does. "
                "Pad less, or dilate less"
            )
        origins = np.broadcast_to(x0[:, np.newaxis, np.newaxis, np.newaxis] * self.blocks, places.shape)
        needs, origins, places = (self._in_order(part) for part in (needs, origins, places))
        kinds = kinds.ravel()
        lag = self._lag(bases, kinds, needs, origins)
        lowers = np.broadcast_to(origins - lag, needs.shape)
        return Timetable(bases, kinds, needs, lowers), places

    def _in_order(self, beats: Array) -> Array:
        """[..., columns, blocks, ky, kx] as [..., beats of a row], in the order in which they are given."""
        *outer, columns, _, ky, kx = beats.shape
        grouped = beats.reshape(*outer, columns, self.groups, -1, ky, kx)
        return np.moveaxis(grouped, -3, -1).reshape(*outer, -1)

    def _lag(self, bases: Array, kinds: Array, needs: Array, origins: Array) -> int:
        """How far before a beat's origin what is still needed can lie: where a window has left its line."""
        needed = np.where(needs > 0, needs - 1, FAR)
        oldest = np.minimum.accumulate(needed[:, ::-1], axis=1)[:, ::-1]  # in the same row
        first = np.append(bases + oldest[kinds, 0], self.i_beats.per_frame)[1:]
        later = np.minimum.accumulate(first[::-1])[::-1]
        return max(0, int((origins - oldest).max()), int((bases + origins.max() - later).max()))

    def _depth(self) -> int:
        needs, lowers = self.table.needs, self.table.lowers
        (sy, sx), skipped = self.window.strides, 1
        skipped += ((sy - 1) * self.width + sx - 1) * self.blocks
        depth = max(2, int((needs - lowers)[needs > 0].max()) + skipped)
        return 1 << (depth - 1).bit_length() if depth <= WHOLE_MEMORY else depth

    def control(self) -> Stages:
        return schedule(self.table, self.depth, self.i_beats.per_frame)

    def cost(self, device: Device) -> Cost:
        """The buffer, its addresses, the registers of what is ahead, counters of loops; LUTs as synthesized."""
        usage = ram(self.depth, self.i_beats.bits - 1, device.family)
        loops = [(size - 1).bit_length() for size in self._loops() if size > 1]
        address, whole = (self.depth - 1).bit_length(), self.depth & (self.depth - 1) == 0
        spans = self._span(self.places).width + self._span(self.table.lowers[0]).width
        axes = zip((self.height, self.width), self.window.pads, strict=True)
        coordinates = sum(size.bit_length() + 1 for size, pads in axes if any(pads))
        filled = self.window.padded * (self.o_beats.bits - 1)
        control = 1.6 * (sum(loops) + spans + coordinates) + 5 * len(loops) + (1.5 if whole else 4.5) * address + filled
        ffs = sum(loops) + len(loops) + spans + 2 * address + coordinates + 3
        cycles = max(self.i_beats.per_frame, self.o_beats.per_frame)
        return Cost(round(usage.luts + control), round(usage.ffs) + ffs, usage.brams, 0, cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.i_beats.bits - 1
        step, outside, last = Signal(), Signal(), Signal()
        loops = Loops(m, self._loops(), step)

        # Whose sign says all: beats from the place to the newest, and how many more may come, both less one.
        base = int(self.table.bases[0])
        start, origin = base + int(self.places[0]), base + int(self.table.lowers[0, 0])
        ahead = Signal(self._span(self.places), init=-start - 1)
        space = Signal(self._span(self.table.lowers[0]), init=self.depth + origin - 1)
        address = Signal(range(self.depth), init=start % self.depth)
        inside = self._inside(m, loops, step)
        write, word = buffer(m, "lines", bits, self.depth, address, step)
        m.d.comb += [
            self.i.ready.eq(space >= 0),
            step.eq((~inside | (ahead >= 0)) & (~self.o.valid | self.o.ready)),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        places, origins = self._place_moves(), self._origin_moves()
        m.d.sync += [
            ahead.eq(carried_sum(ahead, loops.chosen([-move for move in places], step), write.en)),
            space.eq(carried_sum(space, loops.chosen([move - 1 for move in origins], step, -1), ~write.en)),
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

    def _along(
        self, *, y: int = 0, x: int = 0, group: int = 0, ky: int = 0, kx: int = 0, block: int = 0
    ) -> tuple[int, ...]:
        """What belongs to the loops around a beat, innermost first; `block`: that in a group."""
        return block, kx, ky, group, x, y

    def _loops(self) -> tuple[int, ...]:
        """Iterations of the loops."""
        ky, kx = self.window.kernel
        return self._along(
            y=self.rows, x=self.columns, group=self.groups, ky=ky, kx=kx, block=self.blocks // self.groups
        )

    def _place_moves(self) -> list[int]:
        (sy, sx), (dy, dx), line = self.window.strides, self.window.dilations, self.width * self.blocks
        group = self.blocks // self.groups
        steps = self._along(y=sy * line, x=sx * self.blocks, group=group, ky=dy * line, kx=dx * self.blocks, block=1)
        return moves(self._loops(), steps, self.i_beats.per_frame)

    def _origin_moves(self) -> list[int]:
        sy, sx = self.window.strides
        steps = self._along(y=sy * self.width * self.blocks, x=sx * self.blocks)
        return moves(self._loops(), steps, self.i_beats.per_frame)

    def _span(self, beats: Array) -> Shape:
        """What holds how far the newest beat is ahead of any of these of a row, and the room that this leaves."""
        frame, table = self.i_beats.per_frame, self.table
        most = table.bases + table.needs.max(axis=1)[table.kinds]  # needed in each row
        before = np.maximum.accumulate(np.append(most.max() - frame, most[:-1]))  # at least, when a row begins
        needed = np.pad(np.maximum.accumulate(table.needs, axis=1), ((0, 0), (1, 0)), constant_values=NO_NEED)[:, :-1]
        starts = {(int(kind), int(start)) for kind, start in zip(table.kinds, before - table.bases, strict=True)}
        ahead = min(int((np.maximum(needed[kind], start) - beats).min()) for kind, start in starts)
        deepest = self.depth - min(0, *self._origin_moves())
        reach = max(deepest, self.depth - ahead, abs(int(table.bases[0] + beats[0])) + self.depth)
        return signed(reach.bit_length() + 1)

    def _inside(self, m: Module, loops: Loops, step: Value) -> Value:
        """Whether the place lies in the input: a coordinate for each axis that is padded."""
        inside: Value = Const(1)
        window, sizes, counts = self.window, (self.height, self.width), (self.rows, self.columns)
        for axis, (kernel, stride, dilation) in enumerate(
            zip(window.kernel, window.strides, window.dilations, strict=True)
        ):
            before, after = window.pads[axis]
            if not before + after:
                continue
            reach = max(before, (counts[axis] - 1) * stride + (kernel - 1) * dilation - before)
            place = Signal(signed(reach.bit_length() + 1), init=-before, name="yx"[axis])
            steps = self._along(**{"yx"[axis]: stride, ("ky", "kx")[axis]: dilation})
            with m.If(step):
                m.d.sync += place.eq(place + loops.chosen(moves(loops.sizes, steps, 0)))
            inside = inside & (place >= 0) & (place < sizes[axis])
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


def plane(window: Window) -> Window:
    """A window over one spatial axis as one over two, of which the first has one place."""
    if len(window.kernel) == 2:
        return window
    return Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), ((0, 0), *window.pads))
