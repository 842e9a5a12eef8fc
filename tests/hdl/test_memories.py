"""The harness's memories show what depends on their first content, or on a word that is read while it is written."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth import Const, Module, Mux, Signal

from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.buffer import buffer
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.tokens import Stages, pipeline

from .harness import run

BEATS, DEPTH = Beats(Type((5,), 0, 15), 1), 8


class Delay(StreamComponent):
    """y[t] = x[t - DEPTH + ahead], 0 at first: out of the memory's own content, unless `begins`."""

    def __init__(self, ahead: int, begins: bool) -> None:
        super().__init__(BEATS, BEATS)
        self.ahead, self.begins = ahead, begins

    def control(self) -> Stages:
        return pipeline(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enter, address, beat = Signal(), Signal(range(DEPTH)), Signal(range(DEPTH + 1))
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), enter.eq(self.i.valid & self.i.ready)]
        following = (address + self.ahead)[: len(address)]
        write, word = buffer(m, "store", BEATS.shape.width, DEPTH, following, enter)
        m.d.comb += [write.addr.eq(address), write.data.eq(self.i.payload.data[0]), write.en.eq(enter)]
        begun = (beat == DEPTH - self.ahead) if self.begins else Const(1)
        there = Signal()
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.last.eq(self.i.payload.last)]
        with m.If(enter):
            m.d.sync += [address.eq(address + 1), beat.eq(Mux(begun, beat, beat + 1)), there.eq(begun)]
        m.d.comb += self.o.payload.data[0].eq(Mux(there, word, 0))
        return m


@pytest.mark.parametrize(
    ("ahead", "begins", "right"),
    [(1, True, True), (1, False, False), (0, True, False)],
    ids=["sound", "of its first content", "read while written"],
)
def test_what_depends_on_memories_is_shown(ahead: int, begins: bool, right: bool) -> None:
    samples = np.random.default_rng(0).integers(0, 16, (6, 5))
    golden = np.pad(samples.ravel(), (DEPTH - ahead, 0))[: samples.size].reshape(samples.shape)
    assert np.array_equal(run(Delay(ahead, begins), samples).outputs, golden) == right
