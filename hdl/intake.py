"""How a component takes beats of which only some make a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth import Module, Mux, Signal, Value

from lutwright.frontend.ir import Array
from lutwright.hdl.timetable import Timetable
from lutwright.hdl.tokens import Stages, schedule


class Intake:
    """Two registers for the beats of a stream, so that `i.ready` depends on state alone.

    valid, data: the beat at hand; its data stay until the next one. The owner drives `done`: it is done with in this
    cycle. `enter`: at the end of this cycle the next one comes to hand.
    """

    def __init__(self, m: Module, i: Value) -> None:
        self.valid, self.done, self.enter = (Signal(name=name) for name in ("at_hand", "done", "enter"))
        data = i.payload.data.as_value()
        self.data, spare = (Signal.like(data, name=name, reset_less=True) for name in ("data", "spare"))
        full = Signal()
        free = ~self.valid | self.done
        m.d.comb += [i.ready.eq(~full), self.enter.eq(free & (i.valid | full))]
        with m.If(free):
            m.d.sync += [self.valid.eq(i.valid | full), full.eq(0)]
        with m.Elif(i.valid & ~full):
            m.d.sync += [spare.eq(data), full.eq(1)]
        with m.If(self.enter):
            m.d.sync += self.data.eq(Mux(full, spare, data))

    def give(self, m: Module, o: Value, gives: Value, last: Value, elements: Sequence[Signal]) -> None:
        """Drives `done` and `o`: where `gives`, the beat at hand makes a result of these elements, in registers."""
        step, free = Signal(name="step"), ~o.valid | o.ready
        m.d.comb += [step.eq(self.valid & gives & free), self.done.eq(self.valid & (~gives | free))]
        results = [Signal.like(element, name=f"y{lane}", reset_less=True) for lane, element in enumerate(elements)]
        m.d.comb += [o.payload.data[lane].eq(result) for lane, result in enumerate(results)]
        with m.If(free):
            m.d.sync += [result.eq(element) for result, element in zip(results, elements, strict=True)]
            m.d.sync += [o.valid.eq(step), o.payload.last.eq(last)]


def completed(rows: Array, columns: Array, frame: int) -> Stages:
    """What an Intake does to beats: those of the indices rows[r] + columns[c], of `frame`, give one each."""
    kinds, ends = np.zeros(len(rows), np.int64), columns.reshape(1, -1)
    return schedule(Timetable(rows, kinds, ends + 1, ends), 2, frame)
