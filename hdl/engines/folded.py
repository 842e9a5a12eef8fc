"""The folded dense layer that the engines share: they differ in how a lane multiplies."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.arith import adder_tree, tree_depth
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.foldings import groups_at_once
from lutwright.hdl.registers import Registers
from lutwright.hdl.replay import ReplayBuffer
from lutwright.hdl.rom import concatenated, rom
from lutwright.hdl.tokens import Stages, pipeline


class Lane(Hashable, Protocol):
    """How one SIMD lane multiplies: sum over a row and over `planes` of plane * term is weight · x + `excess`.

    `blocks`: whether multiplier blocks make the terms. They lie far from what they multiply, and in a few rows of the
    device, so registers of their own stand on both sides: two more before them, one more behind.
    """

    blocks: bool

    def weight_bits(self, node: Dense) -> int:
        """Bits of a stored weight."""

    def codes(self, node: Dense) -> Array:
        """The stored weights, as `node.own`, non-negative; the code 0 times an element 0 must give terms 0."""

    def planes(self, node: Dense) -> tuple[int, ...]:
        """Powers of two, or such negated: what each of the terms counts for."""

    def terms(self, node: Dense, x: Value, code: Value) -> list[Value]:
        """A term for each plane, of shape `term_shape`."""

    def term_shape(self, node: Dense, x: Type) -> Shape:
        """The shape of the terms."""

    def excess(self, node: Dense, x: Type) -> Array:
        """[N]: what the terms of a row add up to beyond weight · x."""


def scaled(value: Value, plane: int) -> Value:
    """`value` times a power of two, or such negated."""
    return (value if plane > 0 else -value) << (abs(plane).bit_length() - 1)


@dataclass(frozen=True)
class Stored:
    """The codes of a layer's own weights, how many of a code's bits ever vary, and the accumulators' starts [N]."""

    codes: Array
    varying: int
    starts: Array


@lru_cache(maxsize=32)
def _stored(node: Dense, x: Type, lane: Lane) -> Stored:
    codes = lane.codes(node).astype(np.min_scalar_type((1 << lane.weight_bits(node)) - 1))
    mixed = int(np.bitwise_or.reduce(codes, axis=None) ^ np.bitwise_and.reduce(codes, axis=None))
    starts = (node.bias - lane.excess(node, x)) & ((1 << node.type.width) - 1)
    return Stored(codes, mixed.bit_count(), starts)


class FoldedDense(StreamComponent):
    """y[n] = bias[n] + sum over k of weight[n, k] * x[k], PE rows and SIMD columns at a time.

    NF = ceil(N / PE), SF = ceil(K / SIMD). Where NF > 1 a ReplayBuffer gives each vector NF times; a counter reads the
    weights beside it; PE trees add SIMD products each, PE accumulators SF sums modulo 2 ** (width of y).
    The groups of a layer (`Dense.groups`) are computed one after the other, each as a layer of N / groups by
    K / groups, which PE and SIMD divide; or `parallel` at a time, each as a whole: PE is so many times N / groups, SIMD
    so many times K / groups.
    Ports: i: Beats(x, SIMD), o: Beats(node.type, PE). Throughput: `folds` * SF cycles a vector, without bubbles.
    Latency: `depth` cycles after the last of SF beats, one more where NF > 1; `i.ready` then depends on state alone.
    Source: the matrix-vector unit of Umuroglu et al., "FINN", FPGA 2017, section 4.2.
    """

    def __init__(self, node: Dense, x: Type, folding: Folding, lane: Lane) -> None:
        super().__init__(Beats(x, folding.simd), Beats(node.type, folding.pe))
        self.node, self.x, self.lane = node, x, lane
        self.pe, self.simd = folding.pe, folding.simd
        self.parallel = groups_at_once(node, folding)
        rounds, self.per_row = node.groups // self.parallel, self.simd // self.parallel
        self.folds = self.o_beats.per_vector
        self.nf, self.sf = self.folds // rounds, self.i_beats.per_vector // rounds
        # Memories answer late, so a register follows soon: after the first full adders, or before wider adders.
        self.term_shape, self.planes = lane.term_shape(node, x), lane.planes(node)
        self.one_bit = self.term_shape == unsigned(1)
        sums = tree_depth(self.per_row, self.one_bit, first=1 if self.one_bit else 2)
        self.before = 1 + 3 * lane.blocks + (not self.one_bit) + sums + tree_depth(len(self.planes), one_bit=False)
        self.depth = self.before + 1
        self.weight_bits = lane.weight_bits(node)
        vectors = Type((*x.shape[:-1], rounds, x.channels // rounds), x.lo, x.hi)
        self.replay = ReplayBuffer(vectors, self.simd, self.nf) if self.nf > 1 else None
        self.cuts_ready = self.replay is not None

    def control(self) -> Stages:
        core = pipeline(self.depth, every=self.sf)
        return (*self.replay.control(), *core) if self.replay else core

    def weight_words(self) -> list[int]:
        """The weights in the order in which the folds read them: PE rows of codes a word, lane 0 lowest."""
        folds = self.weight_folds().transpose(0, 2, 1, 3)
        spread = (folds[..., np.newaxis] >> np.arange(self.weight_bits)) & 1
        words = spread.astype(np.uint8).reshape(self.folds * self.sf, -1)
        return [int.from_bytes(word.tobytes(), "little") for word in np.packbits(words, axis=1, bitorder="little")]

    def weight_folds(self) -> Array:
        """[folds, PE, SF, lanes of a row]: the codes; those of a fold of both are a word."""
        stored = self.stored.codes
        codes = np.zeros((self.folds * self.pe, self.sf * self.per_row), stored.dtype)
        codes[: stored.shape[0], : stored.shape[1]] = stored
        return codes.reshape(self.folds, self.pe, self.sf, self.per_row)

    def start_words(self) -> list[int]:
        """What the accumulators begin with, a word a fold of PE rows."""
        return [concatenated(row.tolist(), self.node.type.width) for row in self.start_folds()]

    def start_folds(self) -> Array:
        """[folds, PE]: the same, modulo 2 ** (width of y)."""
        starts = np.zeros(self.folds * self.pe, dtype=np.int64)
        starts[: len(self.node.weight)] = self.stored.starts
        return starts.reshape(self.folds, self.pe)

    @property
    def stored(self) -> Stored:
        """What does not depend on the folding."""
        return _stored(self.node, self.x, self.lane)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = self.i
        if self.replay:
            m.submodules.replay = self.replay
            wiring.connect(m, wiring.flipped(self.i), self.replay.i)
            source = self.replay.o
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), source.ready.eq(advance)]
        registered = Registers(m, advance)

        beat, fold, address = Signal(range(self.sf)), Signal(range(self.folds)), Signal(range(self.folds * self.sf))
        tail, final = beat == self.sf - 1, fold == self.folds - 1
        with m.If(advance & source.valid):
            m.d.sync += [beat.eq(Mux(tail, 0, beat + 1)), address.eq(Mux(tail & final, 0, address + 1))]
            with m.If(tail):
                m.d.sync += fold.eq(Mux(final, 0, fold + 1))
        flags: Value = Cat(source.valid, source.valid & tail, beat == 0, final, source.payload.last)
        for stage in range(self.before):
            if stage == self.before - 1:
                starts = self._constants(m, "starts", self.start_words(), self.pe * self.node.type.width, fold, advance)
            fold = registered(fold, f"fold{stage}")
            flags = registered(flags, f"flags{stage}", data=False)
        there, done, first, final, last = flags

        bits = self.weight_bits
        weights = self._constants(m, "weights", self.weight_words(), self.pe * self.per_row * bits, address, advance)
        elements = registered(source.payload.data.as_value(), "elements")
        for stage in range(2 * self.lane.blocks):
            weights, elements = registered(weights, f"weights{stage}"), registered(elements, f"elements{stage}")
        spare = self.folds * self.pe - len(self.node.weight)

        def tree(terms: list[Value], first: int) -> Value:
            return adder_tree(m, terms, lambda value: registered(value, "sum"), first)

        for row in range(self.pe):
            planes: list[list[Value]] = [[] for _ in self.planes]
            group = row * self.parallel // self.pe
            for lane in range(self.per_row):
                x = elements.word_select(group * self.per_row + lane, self.x.width)
                code = weights.word_select(row * self.per_row + lane, bits)
                products = self.lane.terms(self.node, x.as_signed() if self.x.signed else x, code)
                for terms, product in zip(planes, products, strict=True):
                    term = Signal(self.term_shape, name=f"term{row}_{lane}")
                    m.d.comb += term.eq(product)
                    for _ in range(self.lane.blocks + (not self.one_bit)):
                        term = registered(term, "product")
                    terms.append(term)
            sums = [tree(terms, first=1 if self.one_bit else 2) for terms in planes]
            total = tree([scaled(total, plane) for total, plane in zip(sums, self.planes, strict=True)], first=2)
            start = starts.word_select(row, self.node.type.width)
            y = Signal(self.o_beats.shape, name=f"y{row}", reset_less=True)
            m.d.comb += self.o.payload.data[row].eq(y)
            with m.If(advance & there):
                m.d.sync += y.eq(total + (Mux(first, start, y) if self.sf > 1 else start))
                if row >= self.pe - spare:  # there is no such row in the last fold
                    with m.If(final):
                        m.d.sync += y.eq(0)
        m.d.comb += [
            self.o.valid.eq(registered(done, "valid", data=False)),
            self.o.payload.last.eq(registered(last, "last")),
        ]
        return m

    @staticmethod
    def _constants(m: Module, name: str, words: list[int], width: int, address: Value, enable: Value) -> Value:
        """`words[address]`, one enabled cycle later."""
        return rom(m, name, words[:1] if len(set(words)) == 1 else words, width, address, enable)
