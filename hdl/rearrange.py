"""Nodes that only move elements: a buffer that is read in another order, with a constant where nothing comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
from amaranth import Const, Module, Mux, Shape, Signal, Value, signed

from lutwright.errors import PlanError
from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.arith import carried_sum
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.moves import Axis, Move, beat_offsets, fill_of, full_throughput_depth, merged, move_lanes
from lutwright.hdl.resources import ram
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.timetable import NO_NEED, Timetable
from lutwright.hdl.tokens import Stages, schedule
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import WHOLE_MEMORY

# LUTs of the control: for a bit of its counters, for an axis, and for a bit of addresses that wrap at no power of two.
# Fits to Yosys 0.70.
CONTROL: dict[Family, tuple[float, float, float]] = {
    "ice40": (1.2, 12.5, 2.5),
    "ecp5": (0.45, 20, 3),
    "gowin": (0.45, 20, 3),
    "xc7": (0.15, 14.5, 2.4),
}


class Reorder(Unit):
    """Beats of a frame in another order: what a frame gives lies in what it takes at the places that `offsets` add up.

    The place of an output beat in the input frame is a sum of one offset for each axis of the output; what an axis
    leads outside is `fill`. Counters of the axes step it: by a constant where an axis goes evenly, else by what a small
    memory of the axis holds. What stands before `lower` in the input frame is needed no more; `lower` follows the
    `follows` outer axes along which places only grow. `depth`, the beats of the buffer, is the least at which a beat
    can pass in every cycle, rounded up to a power of two where that costs no memory.
    Ports: i: `i_beats`, o: `o_beats`, of equal elements and lanes. `i.ready` depends on state alone. Latency: one cycle
    after the beat that an output beat needs. Throughput: one beat a cycle, at `i` or at `o`, whichever has more of
    them.
    """

    cuts_ready = True

    def __init__(self, i_beats: Beats, o_beats: Beats, offsets: Sequence[Array], fill: int = 0) -> None:
        super().__init__(i_beats, o_beats)
        self.fill, self.used = fill, min(o_beats.lanes, o_beats.type.channels)
        self.origin, self.axes = merged(offsets)
        self.follows = self._growing()
        self.lowest = self.origin + sum(int(axis.places.min()) for axis in self.axes[self.follows :])
        self.table = self._schedule()
        depth = max(2, self._full_throughput_depth())
        self.depth = 1 << (depth - 1).bit_length() if depth <= WHOLE_MEMORY else depth

    def _growing(self) -> int:
        """How many of the outer axes can be stepped through with places that only grow."""
        least = np.inf  # of the steps so far
        for index, axis in enumerate(self.axes):
            least = min(least - axis.span, *np.diff(axis.places))
            if least < 0:
                return index
        return len(self.axes)

    def _schedule(self) -> Timetable:
        """When each beat is given, in rows of the outermost axis where it is followed and all inside.

        What lies outside needs none.
        """
        rows = int(self.follows > 0 and bool(self.axes[0].inside.all()))
        bases = self.axes[0].places if rows else np.zeros(1, np.int64)
        places, lowers, inside = np.full(1, self.origin), np.full(1, self.lowest), np.ones(1, np.bool_)
        for index, axis in enumerate(self.axes[rows:], rows):
            places = np.add.outer(places, axis.places).ravel()
            inside = np.logical_and.outer(inside, axis.inside).ravel()
            lowers = np.add.outer(lowers, axis.places if index < self.follows else 0 * axis.places).ravel()
        needs = np.where(inside, places + 1, NO_NEED)
        return Timetable(bases, 0 * bases, needs[np.newaxis], lowers[np.newaxis])

    def _full_throughput_depth(self) -> int:
        """Of a frame, or of a row where all rows are alike and follow one another."""
        table, frame = self.table, self.i_beats.per_frame
        row = frame // len(table.bases)
        even = frame == row * len(table.bases) and (table.bases == np.arange(len(table.bases)) * row).all()
        if even and table.needs.max() <= row:
            return full_throughput_depth(table.needs[0], table.lowers[0], row)
        needs, lowers = table.flat
        return full_throughput_depth(needs, lowers, frame)

    def control(self) -> Stages:
        return schedule(self.table, self.depth, self.i_beats.per_frame)

    @property
    def span(self) -> Shape:
        """What holds how far the newest beat is ahead of a place, and the room that is left before it."""
        return signed((2 * self.i_beats.per_frame + self.depth).bit_length() + 1)

    def jumps(self, index: int) -> Jumps:
        """How an axis steps."""
        axis, inner = self.axes[index], self.axes[index + 1 :]
        followed = self.axes[index + 1 : self.follows]
        back, back_lower = sum(other.span for other in inner), sum(other.span for other in followed)
        return Jumps(axis, back, back_lower, index < self.follows, self.depth, self.span.width)

    def cost(self, device: Device) -> Cost:
        """The buffer, the axes' memories, and counters of places and addresses."""
        usage = ram(self.depth, self.i_beats.bits - 1, device.family)
        counters = sum((len(axis.places) - 1).bit_length() for axis in self.axes)
        pointers = 2 * self.span.width + 2 * (self.depth - 1).bit_length()
        bit, axis, wraps = CONTROL[device.family]
        control = bit * (counters + pointers) + axis * len(self.axes)
        if self.depth & (self.depth - 1):
            control += wraps * (self.depth - 1).bit_length()
        outside = any(not axis.inside.all() for axis in self.axes)
        luts = usage.luts + outside * self.o_beats.bits + control
        total = Cost(round(luts), round(usage.ffs) + counters + pointers + 5, usage.brams, 0, 0)
        for index, one in enumerate(self.axes):
            if one.ramp is None:
                total += rom_cost(self.jumps(index).words(), device)
        return total + Cost(0, 0, 0, 0, max(self.i_beats.per_frame, self.o_beats.per_frame))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame = self.i_beats.per_frame
        # Whose sign says all: beats from the place to the newest, and how many more may come, both less one.
        ahead = Signal(self.span, init=-self.origin - 1)
        space = Signal(self.span, init=self.depth + self.lowest - 1)
        address = Signal(range(self.depth), init=self.origin % self.depth)
        step, outside, last, inside, end = (Signal(name=name) for name in ("step", "outside", "last", "inside", "end"))
        kind = self.i_beats.shape
        write, word = buffer(m, "store", self.i_beats.bits - 1, self.depth, address, step)
        parts = [word.word_select(lane, kind.width) for lane in range(self.used)]
        elements: list[Value] = [part.as_signed() if kind.signed else part for part in parts]
        steppers = self._steppers(m, step)
        m.d.comb += [
            self.i.ready.eq(space >= 0),
            inside.eq(reduce(and_, (stepper.inside for stepper in steppers), Const(1, 1))),
            step.eq((~inside | (ahead >= 0)) & (~self.o.valid | self.o.ready)),
            end.eq(reduce(and_, (stepper.last for stepper in steppers), Const(1, 1))),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.o.valid.eq(1), outside.eq(~inside), last.eq(end)]
        with m.If(write.en):
            m.d.sync += write.addr.eq(self._wrapped(write.addr + 1))
        fill = Const(self.fill, self.o_beats.shape)
        m.d.comb += self.o.payload.last.eq(last)
        m.d.comb += [self.o.payload.data[k].eq(Mux(outside, fill, element)) for k, element in enumerate(elements)]

        # By a step: that of the innermost axis that is not at its end, or on to the next frame's start.
        back, followed = (sum(axis.span for axis in axes) for axes in (self.axes, self.axes[: self.follows]))
        ahead_by, address_by, space_by = changes = [
            Signal(self.span, name=n) for n in ("ahead_by", "address_by", "space_by")
        ]
        following: list[Value] = [
            Const(value, self.span) for value in _changes(frame - back, frame - followed, self.depth)
        ]
        for stepper in reversed(steppers):
            following = [Mux(stepper.last, *pair) for pair in zip(following, stepper.changes, strict=True)]
        m.d.comb += [change.eq(value) for change, value in zip(changes, following, strict=True)]
        m.d.sync += [
            ahead.eq(carried_sum(ahead, Mux(step, ahead_by, 0), write.en)),
            space.eq(carried_sum(space, Mux(step, space_by, -1), ~write.en)),
        ]
        with m.If(step):
            m.d.sync += address.eq(self._wrapped(address + address_by[: len(address)]))
        return m

    def _steppers(self, m: Module, step: Value) -> list[Stepper]:
        """One for each axis, the innermost first."""
        fresh = Signal(init=1)  # after a reset the memories have read nothing yet
        m.d.sync += fresh.eq(0)
        steppers, advance = list[Stepper](), step
        for index in reversed(range(len(self.axes))):
            steppers.append(Stepper(m, f"axis{index}", self.jumps(index), advance, fresh))
            advance = advance & steppers[-1].last
        return steppers

    def _wrapped(self, address: Value) -> Value:
        """An address below twice the depth, modulo the depth."""
        if self.depth & (self.depth - 1) == 0:
            return address[: (self.depth - 1).bit_length()]
        return Mux(address >= self.depth, address - self.depth, address)


class Rearrange(Reorder):
    """A Transpose, Take, Pad or Stuff, `lanes` elements at a time; `move_lanes` says which lanes can be."""

    def __init__(self, node: Move, x: Type, lanes: int) -> None:
        offsets = beat_offsets(node, x, lanes)
        if offsets is None:
            raise PlanError(
                f"the lanes of '{node.name}' must be one of {move_lanes(node, x)}, which keep beats whole, not {lanes}"
            )
        super().__init__(Beats(x, lanes), Beats(node.type, lanes), offsets, fill_of(node))


@dataclass(frozen=True, eq=False)
class Jumps:
    """What changes when an axis advances and the inner ones go back to their start.

    `back`, `back_lower`: how far those go back. `follows`: whether `lower` follows the axis. width: of a place.
    """

    axis: Axis
    back: int
    back_lower: int
    follows: bool
    depth: int
    width: int

    def fields(self, jump: int) -> tuple[int, int, int]:
        """Of what `_changes` says, where the axis itself goes on by `jump`."""
        return _changes(jump - self.back, jump - self.back_lower if self.follows else 0, self.depth)

    def words(self) -> list[int]:
        """For each index of the axis: whether it is inside, then the changes at its end."""
        jumps = np.diff(self.axis.places, append=self.axis.places[-1:])  # nothing follows the last
        words = []
        for inside, jump in zip(self.axis.inside, jumps, strict=True):
            words.append(int(inside) | concatenated(self.fields(int(jump)), self.width) << 1)
        return words


def _changes(place: int, lower: int, depth: int) -> tuple[int, int, int]:
    """Of what is ahead of the place, of its address, and of the room, less one, by a step without a new beat."""
    return -place, place % depth, lower - 1


class Stepper:
    """A counter along an axis, which advances where `advance` unless it is `last`, and then begins again.

    inside: whether its index is; changes: those by an advance, as `_changes` says.
    """

    def __init__(self, m: Module, name: str, jumps: Jumps, advance: Value, fresh: Value) -> None:
        count = len(jumps.axis.places)
        self.last, self.inside = Signal(name=f"{name}_last"), Signal(name=f"{name}_inside")
        index, following = Signal(range(count), name=name), Signal(range(count), name=f"{name}_following")
        m.d.comb += following.eq(Mux(advance, Mux(self.last, 0, index + 1), index))
        m.d.comb += self.last.eq(index == count - 1)
        m.d.sync += index.eq(following)
        even = jumps.axis.ramp is not None
        self.changes = self._ramp(m, jumps, index) if even else self._memory(m, name, jumps, following, fresh)

    def _ramp(self, m: Module, jumps: Jumps, index: Signal) -> list[Value]:
        ramp = jumps.axis.ramp
        assert ramp is not None
        first, end, step = ramp
        begun, endless = (index >= first) if first else Const(1, 1), end == len(jumps.axis.places)
        m.d.comb += self.inside.eq(begun & (Const(1, 1) if endless else index < end))
        goes_on = begun & (Const(1, 1) if endless else index < end - 1)
        return [Mux(goes_on, *pair) for pair in zip(jumps.fields(step), jumps.fields(0), strict=True)]

    def _memory(self, m: Module, name: str, jumps: Jumps, following: Value, fresh: Value) -> list[Value]:
        words, width = jumps.words(), jumps.width
        word = Signal(1 + 3 * width, name=f"{name}_word")
        read = rom(m, f"{name}_jumps", words, len(word), following, Const(1))
        m.d.comb += [word.eq(Mux(fresh, words[0], read)), self.inside.eq(word[0])]
        return [word[1 + k * width : 1 + (k + 1) * width].as_signed() for k in range(3)]
