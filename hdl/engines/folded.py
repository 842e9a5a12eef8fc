"""The folded dense layer that the engines share: they differ in how a lane multiplies."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib.memory import Memory

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import adder_tree, tree_depth
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost, Folding, StreamComponent
from lutwright.hdl.timing import Control

LEVELS_PER_REGISTER = 2


class Lane(Protocol):
    """How one SIMD lane multiplies: sum over a row of `term` is weight · x plus the row's `excess`."""

    def weight_bits(self, node: Dense, x: Type) -> int:
        """Bits of a stored weight."""

    def codes(self, node: Dense, x: Type) -> Array:
        """The stored weights [N, K], non-negative; code 0 times an element 0 must give the term 0."""

    def term(self, node: Dense, x: Value, code: Value) -> Value:
        """The product, all lanes of one shape."""

    def term_shape(self, node: Dense, x: Type) -> Shape:
        """The shape of `term`."""

    def excess(self, node: Dense, x: Type) -> Array:
        """[N]: what the terms of a row add up to beyond weight · x."""


class FoldedDense(StreamComponent):
    """y[n] = bias[n] + sum over k of weight[n, k] * x[k], PE rows and SIMD columns at a time.

    NF = ceil(N / PE) and SF = ceil(K / SIMD). A vector is kept in one of two banks of a memory and read NF times, so
    that the next one comes in meanwhile. Ports: i: Beats(x, SIMD), o: Beats(node.type, PE).
    Throughput: NF * SF cycles a vector, without bubbles. Latency: the first output beat is valid 3 cycles plus the
    tree's registers after the last of the vector's SF beats came in. `i.ready` depends on state alone.
    Source: the matrix-vector unit of Umuroglu et al., "FINN", FPGA 2017, section 4.2.
    """

    def __init__(self, node: Dense, x: Type, folding: Folding, lane: Lane) -> None:
        super().__init__(Beats(x, folding.simd), Beats(node.type, folding.pe))
        self.node, self.x, self.folding, self.lane = node, x, folding, lane
        self.nf, self.sf = self.o_beats.per_vector, self.i_beats.per_vector
        self.tree = tree_depth(folding.simd, lane.term_shape(node, x).width, LEVELS_PER_REGISTER)

    def control(self) -> Control:
        return FoldedControl(self.sf, self.nf, self.tree + 2)

    def _weights(self) -> list[int]:
        """The weight words in the order in which the folds read them: PE rows of SIMD codes, lane 0 lowest."""
        pe, simd, bits = self.folding.pe, self.folding.simd, self.lane.weight_bits(self.node, self.x)
        codes = np.zeros((self.nf * pe, self.sf * simd), dtype=np.int64)
        rows, columns = self.node.weight.shape
        codes[:rows, :columns] = self.lane.codes(self.node, self.x)
        words = codes.reshape(self.nf, pe, self.sf, simd).transpose(0, 2, 1, 3).reshape(self.nf * self.sf, pe * simd)
        spread = (words[:, :, np.newaxis] >> np.arange(bits)) & 1
        packed = np.packbits(spread.astype(np.uint8).reshape(len(words), -1), axis=1, bitorder="little")
        return [int.from_bytes(word.tobytes(), "little") for word in packed]

    def _starts(self) -> list[int]:
        """The accumulators' start values, a word of PE a fold of rows; modulo 2 ** width."""
        width, pe = self.node.type.width, self.folding.pe
        starts = np.zeros(self.nf * pe, dtype=np.int64)
        starts[: len(self.node.weight)] = self.node.bias - self.lane.excess(self.node, self.x)
        starts &= (1 << width) - 1
        return [sum(int(v) << (k * width) for k, v in enumerate(row)) for row in starts.reshape(self.nf, pe)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, issue = Signal(), Signal()
        pe, simd, sf, nf = self.folding.pe, self.folding.simd, self.sf, self.nf
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Two banks: written at the stream's pace, read NF times.
        width = self.x.width * simd
        m.submodules.buffer = buffer = Memory(shape=unsigned(width), depth=2 * sf, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        full = Signal(2)
        w_bank, w_beat, r_bank, r_beat, r_fold = (
            Signal(),
            Signal(range(sf)),
            Signal(),
            Signal(range(sf)),
            Signal(range(nf)),
        )
        w_address, r_address = Signal(range(2 * sf)), Signal(range(2 * sf))
        address = Signal(range(nf * sf))
        last_beat, last_fold = r_beat == sf - 1, r_fold == nf - 1
        m.d.comb += [
            self.i.ready.eq(~full.bit_select(w_bank, 1)),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(w_address),
            write.data.eq(self.i.payload.data.as_value()),
            read.addr.eq(r_address),
            read.en.eq(advance),
            issue.eq(full.bit_select(r_bank, 1) | ((w_bank == r_bank) & (r_beat < w_beat))),
        ]
        with m.If(advance & issue):
            m.d.sync += [r_beat.eq(r_beat + 1), r_address.eq(r_address + 1), address.eq(address + 1)]
            with m.If(last_beat):
                m.d.sync += [r_beat.eq(0), r_fold.eq(r_fold + 1), r_address.eq(Mux(r_bank, sf, 0))]
                with m.If(last_fold):
                    m.d.sync += [
                        r_fold.eq(0),
                        address.eq(0),
                        r_bank.eq(~r_bank),
                        r_address.eq(Mux(r_bank, 0, sf)),
                        full.bit_select(r_bank, 1).eq(0),
                    ]
        with m.If(write.en):
            m.d.sync += [w_beat.eq(w_beat + 1), w_address.eq(Mux(w_address == 2 * sf - 1, 0, w_address + 1))]
            with m.If(w_beat == sf - 1):
                m.d.sync += [w_beat.eq(0), w_bank.eq(~w_bank), full.bit_select(w_bank, 1).eq(1)]

        def registered(value: Value, name: str, init: int = 0) -> Signal:
            register = Signal.like(value, name=name, init=init)
            with m.If(advance):
                m.d.sync += register.eq(value)
            return register

        # The vector counter marks the last beat of a frame.
        vector = Signal(range(self.x.vectors))
        end = last_beat & last_fold
        with m.If(advance & issue & end):
            m.d.sync += vector.eq(Mux(vector == self.x.vectors - 1, 0, vector + 1))
        flags = Cat(issue, issue & last_beat, r_beat == 0, last_fold, vector == self.x.vectors - 1)
        fold: Value = r_fold
        for stage in range(1 + self.tree):
            flags = registered(flags, "flags")
            if stage < self.tree:
                fold = registered(fold, "fold")
        there, done, first, fold_end, vector_end = flags

        bits = self.lane.weight_bits(self.node, self.x)
        weights = self._rom(m, "weights", pe * simd * bits, self._weights(), address, advance)
        starts = self._rom(m, "starts", pe * self.node.type.width, self._starts(), fold, advance)
        elements = [read.data.word_select(lane, self.x.width) for lane in range(simd)]
        if self.x.signed:
            elements = [element.as_signed() for element in elements]
        for row in range(pe):
            terms = []
            for lane, element in enumerate(elements):
                term = Signal(self.lane.term_shape(self.node, self.x), name="term")
                m.d.comb += term.eq(self.lane.term(self.node, element, weights.word_select(row * simd + lane, bits)))
                terms.append(term)
            total = adder_tree(m, terms, lambda value: registered(value, "tree"), LEVELS_PER_REGISTER)
            start = starts.word_select(row, self.node.type.width)
            accumulator = Signal(self.o_beats.shape, name="accumulator")
            with m.If(advance & there):
                m.d.sync += accumulator.eq(Mux(first, start, accumulator) + total if sf > 1 else start + total)
            padding = (nf - 1) * pe + row >= self.o_beats.type.channels
            ended = registered(fold_end, "ended") if padding else Const(0)
            m.d.comb += self.o.payload.data[row].eq(Mux(ended, 0, accumulator))
        m.d.comb += [
            self.o.valid.eq(registered(done, "valid")),
            self.o.payload.last.eq(registered(vector_end & fold_end, "last")),
        ]
        return m

    def _rom(self, m: Module, name: str, width: int, words: list[int], address: Value, enable: Value) -> Value:
        """The word at `address`, one enabled cycle later; a constant where all words are equal."""
        if len(set(words)) == 1:
            return Const(words[0], width)
        m.submodules[name] = memory = Memory(shape=unsigned(width), depth=len(words), init=words)
        port = memory.read_port()
        m.d.comb += [port.addr.eq(address), port.en.eq(enable)]
        return port.data


class FoldedControl:
    """The control twin of FoldedDense; `depth` registers between a beat's issue and the output."""

    def __init__(self, sf: int, nf: int, depth: int) -> None:
        self.sf, self.nf = sf, nf
        self.full = [False, False]
        self.w_bank = self.r_bank = self.w_beat = self.r_beat = self.r_fold = 0
        self.pipe = [False] * depth

    def valid(self, i_valid: bool) -> bool:
        return self.pipe[-1]

    def ready(self, o_ready: bool) -> bool:
        return not self.full[self.w_bank]

    def tick(self, i_fire: bool, o_fire: bool) -> None:
        issue = self.full[self.r_bank] or (self.w_bank == self.r_bank and self.r_beat < self.w_beat)
        if o_fire or not self.pipe[-1]:
            self.pipe.pop()
            self.pipe.insert(0, issue and self.r_beat == self.sf - 1)
            if issue:
                self._issue()
        if i_fire:
            self.w_beat += 1
            if self.w_beat == self.sf:
                self.full[self.w_bank] = True
                self.w_beat, self.w_bank = 0, 1 - self.w_bank

    def _issue(self) -> None:
        self.r_beat += 1
        if self.r_beat == self.sf:
            self.r_beat, self.r_fold = 0, self.r_fold + 1
            if self.r_fold == self.nf:
                self.full[self.r_bank] = False
                self.r_fold, self.r_bank = 0, 1 - self.r_bank


def folded_cost(node: Dense, x: Type, folding: Folding, lane: Lane, device: Device) -> Cost:
    """Predicted resources of FoldedDense; `benchmarks/resources.py` prints how far off they are."""
    nf, sf = -(-len(node.weight) // folding.pe), -(-x.channels // folding.simd)
    return Cost(0, 0, 0, 0, x.vectors * nf * sf)
