"""Nodes that only move elements: a buffer that is read in another order, with a constant where nothing comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
from amaranth import Const, Module, Mux, Shape, Signal, Value, signed

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.moves import NO_NEED, Axis, Move, beat_offsets, fill_of, full_throughput_depth, merged, move_lanes
from lutwright.hdl.resources import ram
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stages, schedule
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import WHOLE_MEMORY


class Rearrange(Unit):
    """A Transpose, Take, Pad or Stuff, `lanes` elements at a time.

    The place of an output beat in the input frame is a sum of one offset for each axis of the output; what an axis
    leads outside is the node's constant. Counters of the axes step it: by a constant where an axis goes evenly, else
    by what a small memory of the axis holds. What stands before `lower` in the input frame is needed no more; `lower`
    follows the `follows` outer axes along which places only grow. `depth`, the beats of the buffer, is the least at
    which a beat can pass in every cycle, rounded up to a power of two where that costs no memory.
    Ports: i: Beats(x, lanes), o: Beats(node.type, lanes); `move_lanes` says which lanes can be. `i.ready` depends on
    state alone. Latency: one cycle after the beat that an output beat needs. Throughput: one beat a cycle, at `i` or
    at `o`, whichever has more of them.
    """

    cuts_ready = True

    def __init__(self, node: Move, x: Type, lanes: int) -> None:
        offsets = beat_offsets(node, x, lanes)
        if offsets is None:
            raise PlanError(
                f"the lanes of '{node.name}' must be one of {move_lanes(node, x)}, which keep beats whole, not {lanes}"
            )
        super().__init__(Beats(x, lanes), Beats(node.type, lanes))
        self.fill, self.used = fill_of(node), min(lanes, node.type.channels)
        self.origin, self.axes = merged(offsets)
        self.follows = self._growing()
        self.lowest = self.origin + sum(int(axis.places.min()) for axis in self.axes[self.follows :])
        self.needs, self.lowers = self._schedule()
        depth = max(2, full_throughput_depth(self.needs, self.lowers, self.i_beats.per_frame))
        self.depth = 1 << (depth - 1).bit_length() if depth <= WHOLE_MEMORY else depth

    def _growing(self) -> int:
        """How many of the outer axes can be stepped through with places that only grow."""
        places: Array = np.zeros(1, np.int64)
        for index, axis in enumerate(self.axes):
            places = np.add.outer(places, axis.places).ravel()
            if (np.diff(places) < 0).any():
                return index
        return len(self.axes)

    def _schedule(self) -> tuple[Array, Array]:
        """For each beat given in a frame: how many of its frame's beats must be there, and from which on they are kept.

        What lies outside needs none.
        """
        places, lowers, inside = np.full(1, self.origin), np.full(1, self.lowest), np.ones(1, np.bool_)
        for index, axis in enumerate(self.axes):
            places = np.add.outer(places, axis.places).ravel()
            inside = np.logical_and.outer(inside, axis.inside).ravel()
            lowers = np.add.outer(lowers, axis.places if index < self.follows else 0 * axis.places).ravel()
        return np.where(inside, places + 1, NO_NEED), lowers

    def control(self) -> Stages:
        return schedule(self.needs, self.lowers, self.depth, self.i_beats.per_frame)

    @property
    def span(self) -> Shape:
        """What holds places, and how many beats were taken, relative to a frame's start."""
        return signed((2 * self.i_beats.per_frame + self.depth).bit_length() + 1)

    def jumps(self, index: int) -> Jumps:
        """How an axis steps."""
        axis, inner = self.axes[index], self.axes[index + 1 :]
        followed = self.axes[index + 1 : self.follows]
        back, back_lower = sum(other.span for other in inner), sum(other.span for other in followed)
        return Jumps(axis, back, back_lower if index < self.follows else None, self.depth, self.span.width)

    def cost(self, device: Device) -> Cost:
        """The buffer, the axes' memories, and counters of places and addresses."""
        usage = ram(self.depth, self.i_beats.bits - 1, device.family)
        place, address = self.span.width - 1, (self.depth - 1).bit_length()
        counters = sum(len(axis.places).bit_length() for axis in self.axes)
        pointers = 2 * place + 3 * address + (place if self.follows < len(self.axes) else 0)
        luts = usage.luts + self.o_beats.bits + 3 * counters + 3 * pointers + 10
        total = Cost(round(luts), round(usage.ffs) + counters + pointers + 5, usage.brams, 0, 0)
        for index, axis in enumerate(self.axes):
            if axis.ramp is None:
                total += rom_cost(self.jumps(index).words(), device)
        return total + Cost(0, 0, 0, 0, max(self.i_beats.per_frame, self.o_beats.per_frame))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame, address_shape = self.i_beats.per_frame, range(self.depth)
        written = Signal(self.span)  # beats of the frame that is given
        place, lower = Signal(self.span, init=self.origin), Signal(self.span, init=self.lowest)
        # Addresses are places modulo `depth`, from where their frame began.
        start, address = (Signal(address_shape, init=self.origin % self.depth, name=n) for n in ("start", "address"))
        step, done, outside, last, inside = Signal(), Signal(), Signal(), Signal(), Signal()
        write, word = buffer(m, "store", self.i_beats.bits - 1, self.depth, address, step)
        steppers = self._steppers(m, step)
        m.d.comb += [
            self.i.ready.eq(written - lower < self.depth),
            inside.eq(reduce(and_, (stepper.inside for stepper in steppers), Const(1, 1))),
            step.eq((~inside | (place < written)) & (~self.o.valid | self.o.ready)),
            done.eq(step & reduce(and_, (stepper.last for stepper in steppers), Const(1, 1))),
            write.data.eq(self.i.payload.data.as_value()),
            write.en.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.o.valid.eq(1), outside.eq(~inside), last.eq(done)]
        same, following = (Mux(write.en, count + 1, count) for count in (written, written - frame))
        m.d.sync += written.eq(Mux(done, following, same))
        with m.If(write.en):
            m.d.sync += write.addr.eq(self._wrapped(write.addr + 1))
        self._give(m, word, outside, last)

        for stepper in steppers:
            with m.If(stepper.advance & ~stepper.last):
                m.d.sync += place.eq(place + stepper.place)
                m.d.sync += address.eq(self._wrapped(address + stepper.address))
                if stepper.lower is not None:
                    m.d.sync += lower.eq(lower + stepper.lower)
        with m.If(done):
            after = self._wrapped(start + frame % self.depth)
            m.d.sync += [place.eq(self.origin), lower.eq(self.lowest), start.eq(after), address.eq(after)]
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

    def _give(self, m: Module, word: Value, outside: Value, last: Value) -> None:
        kind, fill = self.i_beats.shape, Const(self.fill, self.o_beats.shape)
        for lane in range(self.used):
            element = word.word_select(lane, kind.width)
            element = element.as_signed() if kind.signed else element
            m.d.comb += self.o.payload.data[lane].eq(Mux(outside, fill, element))
        m.d.comb += self.o.payload.last.eq(last)

    def _wrapped(self, address: Value) -> Value:
        """An address below twice the depth, modulo the depth."""
        if self.depth & (self.depth - 1) == 0:
            return address[: (self.depth - 1).bit_length()]
        return Mux(address >= self.depth, address - self.depth, address)


@dataclass(frozen=True, eq=False)
class Jumps:
    """What place, address and `lower` change by when an axis advances and the inner ones go back to their start.

    `back`, `back_lower`: how far those go back, None where `lower` does not follow the axis. width: of a place.
    """

    axis: Axis
    back: int
    back_lower: int | None
    depth: int
    width: int

    def fields(self, jump: int) -> tuple[int, int, int | None]:
        """Of place, address and `lower`, where the axis itself goes on by `jump`."""
        place = jump - self.back
        return place, place % self.depth, None if self.back_lower is None else jump - self.back_lower

    def words(self) -> list[int]:
        """For each index of the axis: whether it is inside, then the changes at its end."""
        jumps = np.diff(self.axis.places, append=self.axis.places[-1:])  # nothing follows the last
        words = []
        for inside, jump in zip(self.axis.inside, jumps, strict=True):
            fields = [field or 0 for field in self.fields(int(jump))]
            words.append(int(inside) | concatenated(fields, self.width) << 1)
        return words


class Stepper:
    """A counter along an axis, which advances where `advance`; place, address, lower: what changes by that."""

    def __init__(self, m: Module, name: str, jumps: Jumps, advance: Value, fresh: Value) -> None:
        count = len(jumps.axis.places)
        self.advance, self.last, self.inside = advance, Signal(name=f"{name}_last"), Signal(name=f"{name}_inside")
        index, following = Signal(range(count), name=name), Signal(range(count), name=f"{name}_following")
        m.d.comb += following.eq(Mux(advance, Mux(self.last, 0, index + 1), index))
        m.d.comb += self.last.eq(index == count - 1)
        m.d.sync += index.eq(following)
        changes = self._ramp(m, jumps, index) if jumps.axis.ramp else self._memory(m, name, jumps, following, fresh)
        self.place, self.address, lower = changes
        self.lower = None if jumps.back_lower is None else lower

    def _ramp(self, m: Module, jumps: Jumps, index: Signal) -> Sequence[Value]:
        ramp = jumps.axis.ramp
        assert ramp is not None
        first, end, step = ramp
        from_first, until = (index >= first) | (first == 0), end == len(jumps.axis.places)
        m.d.comb += self.inside.eq(from_first & ((index < end) | until))
        moves = from_first & ((index < end - 1) | until)
        pairs = zip(jumps.fields(step), jumps.fields(0), strict=True)
        return [Mux(moves, Const(on or 0), Const(still or 0)) for on, still in pairs]

    def _memory(self, m: Module, name: str, jumps: Jumps, following: Value, fresh: Value) -> Sequence[Value]:
        words, width = jumps.words(), jumps.width
        bits = 1 + 3 * width
        word = Signal(bits, name=f"{name}_word")
        read = rom(m, f"{name}_jumps", words, bits, following, Const(1))
        m.d.comb += [word.eq(Mux(fresh, words[0], read)), self.inside.eq(word[0])]
        place, address, lower = (word[1 + k * width : 1 + (k + 1) * width] for k in range(3))
        return place.as_signed(), address, lower.as_signed()
