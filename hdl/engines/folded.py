"""The folded dense layer that the engines share: they differ in how a lane multiplies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from amaranth import Array as Choice
from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import carried_sum
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.foldings import groups_at_once
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.fifo import Slice
from lutwright.hdl.registers import Registers, wide
from lutwright.hdl.replay import ReplayBuffer
from lutwright.hdl.resources import Usage
from lutwright.hdl.rom import concatenated, rom
from lutwright.hdl.tokens import Stages, free_running, pipeline

# Folds whose starts are made of the fold's number in the LUT that adds them.
IN_LUTS: dict[Family, int] = {"ice40": 4, "ecp5": 4, "gowin": 4, "xc7": 8}


@dataclass(frozen=True)
class Way:
    """What goes along with a beat through the lanes."""

    fold: Value
    plane: Value
    flags: Value


@lru_cache(maxsize=32)
def _codes(node: Dense, lanes: Lanes) -> Array:
    return lanes.codes(node).astype(np.min_scalar_type((1 << lanes.weight_bits(node)) - 1))


class FoldedDense(StreamComponent):
    """y[n] = bias[n] + sum over k of weight[n, k] * x[k], PE rows and SIMD columns at a time.

    NF = ceil(N / PE), SF = ceil(K / SIMD). Where NF > 1 a ReplayBuffer gives each vector NF times; a counter reads the
    weights beside it; PE trees add SIMD products each, PE accumulators SF sums modulo 2 ** (width of y).
    `serial`: lanes weigh a bit of each element, the highest first, in `planes` passes over the vector, which the
    ReplayBuffer gives so often; a vector of one beat stays at `i` instead, where NF = 1. Accumulators double what they
    hold as a pass begins.
    The groups of a layer (`Dense.groups`) are computed one after the other, each as a layer of N / groups by
    K / groups, which PE and SIMD divide; or `parallel` at a time, each as a whole: PE is so many times N / groups, SIMD
    so many times K / groups.
    Ports: i: Beats(x, SIMD), o: Beats(node.type, PE). Throughput: `folds` * SF * `planes` cycles a vector,
    without bubbles. Latency: `depth` cycles after the last of SF beats in the last pass, one more where there is a
    ReplayBuffer: `i.ready` then depends on state alone.
    Where `o.ready` would have to reach many registers for a few bits given (`wide`), they never wait: the beat that
    makes a vector's is taken only if a Slice behind them has `room` for it. That is one more cycle of latency.
    Source: the matrix-vector unit of Umuroglu et al., "FINN", FPGA 2017.
    """

    def __init__(
        self, node: Dense, x: Type, folding: Folding, lanes: Lanes, family: Family, serial: bool = False
    ) -> None:
        super().__init__(Beats(x, folding.simd), Beats(node.type, folding.pe))
        self.node, self.x, self.lanes, self.family = node, x, lanes, family
        self.pe, self.simd = folding.pe, folding.simd
        self.parallel = groups_at_once(node, folding)
        rounds, self.per_row = node.groups // self.parallel, self.simd // self.parallel
        self.folds = self.o_beats.per_vector
        self.nf, self.sf = self.folds // rounds, self.i_beats.per_vector // rounds
        self.planes = x.width if serial else 1
        self.weighed = Type(x.shape, 0, 1) if serial else x
        self.weight_bits = lanes.weight_bits(node)
        self.width = node.type.width + lanes.shift  # of an accumulator
        vectors = Type((*x.shape[:-1], rounds, x.channels // rounds), x.lo, x.hi)
        self.held = self.planes > 1 and self.nf == self.sf == 1
        times = self.nf * self.planes
        self.replay = ReplayBuffer(vectors, self.simd, times) if times > 1 and not self.held else None
        self.late = self.replay is not None and self.planes > 1  # a register takes what comes from the memory
        self.before = 1 + self.late + lanes.depth(node, self.weighed, self.pe // self.parallel, self.per_row, family)
        self.depth = self.before + 1
        self.room = self._room()
        self.free = self.room > 0
        self.cuts_ready = self.free or self.replay is not None

    @cached_property
    def lanes_usage(self) -> Usage:
        """Predicted resources of the lanes."""
        wired = self.folds * self.sf == 1
        return self.lanes.usage(self.node, self.weighed, self.pe, self.per_row, self.parallel, self.family, wired)

    def _room(self) -> int:
        """Beats that the Slice behind registers that never wait has room for; 0 if they wait.

        One more than those on the way at full throughput, where a beat is out depth + 2 cycles after its vector's last:
        so a neighbour that takes beats unevenly does not slow it.
        """
        room = 1 - -(self.depth + 2) // (self.sf * self.planes)
        registers = self.lanes_usage.ffs + self.pe * self.width
        return room if not self.held and wide(registers, self.o_beats.bits * room) else 0

    def control(self) -> Stages:
        if self.room:
            replayed = self.replay.control() if self.replay else ()
            return (*replayed, *free_running(self.depth, self.sf * self.planes, self.room))
        if self.replay:
            return (*self.replay.control(), *pipeline(self.depth, every=self.sf * self.planes))
        return pipeline(self.depth, every=self.sf, held=self.planes)

    def weight_words(self) -> list[int]:
        """The weights in the order in which the folds read them: PE rows of codes a word, lane 0 lowest."""
        folds = self.weight_folds().transpose(0, 2, 1, 3)
        spread = (folds[..., np.newaxis] >> np.arange(self.weight_bits)) & 1
        words = spread.astype(np.uint8).reshape(self.folds * self.sf, -1)
        return [int.from_bytes(word.tobytes(), "little") for word in np.packbits(words, axis=1, bitorder="little")]

    def weight_folds(self) -> Array:
        """[folds, PE, SF, lanes of a row]: the codes as stored; those of a fold of both are a word."""
        return self.lanes.stored(self.node, self.weighed, self.code_folds(), self.parallel, self.family)

    def code_folds(self) -> Array:
        """The same as the lanes know them."""
        own = self.own_codes
        codes = np.zeros((self.folds * self.pe, self.sf * self.per_row), own.dtype)
        codes[: own.shape[0], : own.shape[1]] = own
        return codes.reshape(self.folds, self.pe, self.sf, self.per_row)

    def start_words(self) -> list[int]:
        """What the accumulators begin with, a word a fold of PE rows."""
        return [concatenated(row.tolist(), self.width) for row in self.start_folds]

    @cached_property
    def start_folds(self) -> Array:
        """[folds, PE]: the same, modulo 2 ** (width of an accumulator)."""
        beat, absent = self.lanes.excess_of_beat(self.node, self.x, self.per_row)
        starts = np.zeros(self.folds * self.pe, dtype=np.int64)
        lanes = self.sf * self.per_row - self.own_codes.shape[1]
        own = (self.node.bias << self.lanes.shift) - self.lanes.excess(self.node, self.x, self.per_row)
        starts[: len(self.node.weight)] = own - self.sf * beat - lanes * absent
        return (starts & ((1 << self.width) - 1)).reshape(self.folds, self.pe)

    @property
    def own_codes(self) -> Array:
        """[N, K / groups]: of the layer's own weights."""
        return _codes(self.node, self.lanes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = self.i
        if self.replay:
            m.submodules.replay = self.replay
            wiring.connect(m, wiring.flipped(self.i), self.replay.i)
            source = self.replay.o
        advance, given, step = Signal(), self.o, Signal()
        registered = Registers(m, advance)
        beat, fold, address = Signal(range(self.sf)), Signal(range(self.folds)), Signal(range(self.folds * self.sf))
        plane, first, tail, final = Signal(range(self.planes)), beat == 0, beat == self.sf - 1, fold == self.folds - 1
        whole, start, following = tail, first, address + 1
        if self.planes > 1:
            lowest = plane == self.planes - 1
            whole, start = tail & lowest, first & (plane == 0)
            following = Mux(tail & ~lowest, address - (self.sf - 1), following)
            with m.If(step & tail):
                m.d.sync += plane.eq(Mux(lowest, 0, plane + 1))
        if self.room:
            m.submodules.behind = behind = Slice(self.o_beats, self.room)
            wiring.connect(m, behind.o, wiring.flipped(self.o))
            given, owed = behind.i, Signal(range(self.room + 1))
            m.d.sync += owed.eq(owed + (step & whole) - (self.o.valid & self.o.ready))
            m.d.comb += [advance.eq(1), source.ready.eq((owed != self.room) | ~whole)]
            m.d.comb += step.eq(source.valid & source.ready)
        else:
            m.d.comb += [advance.eq(~self.o.valid | self.o.ready), step.eq(source.valid & advance)]
            m.d.comb += source.ready.eq(advance & whole if self.held else advance)
        with m.If(step):
            m.d.sync += [beat.eq(Mux(tail, 0, beat + 1)), address.eq(Mux(whole & final, 0, following))]
            with m.If(whole):
                m.d.sync += fold.eq(Mux(final, 0, fold + 1))
        there = step if self.room else source.valid
        flags: Value = Cat(there, there & whole, start, final, source.payload.last, first)
        ways = [Way(fold, plane, flags)]
        for stage in range(self.before):
            fold, plane = registered(fold, f"fold{stage}"), registered(plane, f"plane{stage}")
            flags = registered(flags, f"flags{stage}", data=False)
            ways.append(Way(fold, plane, flags))
        there, done, start, final, last, first = flags

        bits, lanes = self.weight_bits, self.per_row
        for _ in range(self.late + self.lanes.fetch):
            address = registered(address, "address")
        words = self.weight_words()
        words = words[:1] if len(set(words)) == 1 else words
        stored = rom(m, "weights", words, self.pe * lanes * bits, address, advance)
        word = source.payload.data.as_value()
        if self.late:
            word = registered(word, "word")
        data = registered(self._plane(word, ways[self.late].plane), "elements")
        elements = [data.word_select(lane, self.weighed.width) for lane in range(self.simd)]
        codes = [stored.word_select(lane, bits) for lane in range(self.pe * lanes)]
        groups, rows = _split(elements, lanes), _split(codes, lanes)
        sums = self.lanes.sums(self.node, self.weighed, self.family, groups, rows, registered)
        starts, low_bits = self._starts(m, ways, advance, registered)
        spare = self.folds * self.pe - len(self.node.weight)
        for row, (total, carry) in enumerate(sums):
            high = starts.word_select(row, self.width)[self.planes - 1 :]
            y = Signal(self.width, name=f"y{row}", reset_less=True)
            m.d.comb += given.payload.data[row].eq(y[self.lanes.shift :])
            added: Value = high

            def doubled(value: Value, low: Value = low_bits[row]) -> Value:
                twice = Cat(low, value[:-1])
                return value if self.planes == 1 else Mux(first, twice, value) if self.sf > 1 else twice

            def plus(value: Value, total: Value = total, carry: Value | None = carry) -> Value:
                if carry is None:
                    return total + value
                return carried_sum(total, value, carry)

            if self.restarts:
                init = int(self.start_folds[0, row]) >> (self.planes > 1) * self.planes if self.constant else 0
                kept = Signal(self.width, name=f"kept{row}", init=init)
                added = doubled(kept) if self.constant else doubled(kept) | high
                with m.If(advance & there):
                    m.d.sync += kept.eq(plus(added))
                with m.If(advance & done):  # by itself and last, so that synthesis makes it the registers' reset
                    m.d.sync += kept.eq(init)
            elif self.sf * self.planes > 1:
                added = Mux(start, high, doubled(y))
            with m.If(advance & there):
                m.d.sync += y.eq(plus(added))
                if row >= self.pe - spare:  # there is no such row in the last fold
                    with m.If(final):
                        m.d.sync += y.eq(0)
        m.d.comb += [
            given.valid.eq(registered(done, "valid", data=False)),
            given.payload.last.eq(registered(last, "last")),
        ]
        return m

    @cached_property
    def constant(self) -> bool:
        """Whether all folds start alike."""
        starts = self.start_folds
        return bool((starts == starts[0]).all())

    @property
    def restarts(self) -> bool:
        """Whether accumulators go back to their start by a reset, beside registers that hold the result.

        In the place of a multiplexer before the adder, which xc7 has room for in the adder's LUTs, and ECP5 for one of
        two inputs. iCE40's cells have a register each, and as many LUTs either way.
        """
        return self.sf * self.planes > 1 and (self.family == "ecp5" or (self.constant and self.family == "gowin"))

    def _plane(self, data: Value, plane: Value) -> Value:
        """The bits of the elements that are weighed: signed ones' highest complemented."""
        if self.planes == 1:
            return data
        width = self.x.width
        bits = [Cat(data[lane * width + bit] for lane in range(self.simd)) for bit in reversed(range(width))]
        if self.x.signed:
            bits[0] = ~bits[0]
        return Choice(bits)[plane]

    def _starts(self, m: Module, ways: list[Way], advance: Value, registered: Registers) -> tuple[Value, list[Value]]:
        """The starts beside the sums, 0 where they are not for a first beat if accumulators restart.

        And of each row's the bit that comes in below as the accumulator doubles.
        """
        words, width, late = self.start_words(), self.pe * self.width, self.restarts and not self.constant
        way = ways[-1 - late]
        if self.constant:
            word: Value = Const(words[0], width)
        elif self.folds <= IN_LUTS[self.family]:
            word = Choice(Const(word, width) for word in words)[way.fold]
        else:
            word = rom(m, "starts", words, width, ways[-2 - late].fold, advance)
        rows = [list(word.word_select(row, self.width)) + [Const(0, 1)] * self.planes for row in range(self.pe)]
        low_bits: list[Value] = [Choice(row[: self.planes][::-1])[way.plane] for row in rows]
        if late:
            low_bits = [registered(bit, "low") for bit in low_bits]
            word = registered(Mux(ways[-2].flags[2], word, 0), "start")
        return word, low_bits


def _split(values: list[Value], lanes: int) -> list[list[Value]]:
    return [values[start : start + lanes] for start in range(0, len(values), lanes)]
