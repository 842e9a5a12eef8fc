"""Depthwise convolutions by the engines: a window before the engine's component for the grouped Dense it unfolds to."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from amaranth import Module
from amaranth.lib import wiring

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.lowering import unfolded_dense
from lutwright.frontend.nodes import Conv, Dense
from lutwright.hdl.adapt import adapters
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost, Engine, Folding, StreamComponent
from lutwright.hdl.fifo import Fifo
from lutwright.hdl.line_window import LineWindow, is_parallel
from lutwright.hdl.tokens import Stages
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow, WindowUnit


@lru_cache(maxsize=64)
def grouped(node: Conv, x: Type) -> tuple[Dense, Type]:
    """The Dense that a depthwise Conv unfolds to, a group a channel, and the Type of what it multiplies."""
    dense, under = unfolded_dense(node, x)
    return replace(dense, type=node.type), under


def window_of(node: Conv, x: Type, simd: int) -> WindowUnit:
    """The window for an engine that takes `simd` of the products at once.

    It has the whole kernel of one or more channels in a beat, or, for one product or where that can't be, a place.
    """
    if simd == 1 or not is_parallel(x, node.window):
        return SlidingWindow(x, node.window, 1, node.pad_value, groups=node.groups)
    lanes = math.gcd(x.channels, max(1, simd // math.prod(node.window.kernel)))
    return LineWindow(x, node.window, lanes, node.pad_value, groups=node.groups)


@lru_cache(maxsize=1024)
def before(node: Conv, x: Type, simd: int) -> tuple[Unit, ...]:
    """What stands before an engine that takes `simd` of the products at once: the window and what it needs.

    A parallel window takes nothing while its raster goes on without input: a queue takes what comes in meanwhile, for
    which a window by place has its buffer.
    """
    window = window_of(node, x, simd)
    _, under = grouped(node, x)
    paused = sum(extra for _, extra in window.pauses) if isinstance(window, LineWindow) else 0
    queue = (Fifo(window.i_beats, max(2, paused)),) if paused else ()
    return (*queue, window, *adapters(window.o_beats, Beats(under, simd)))


@lru_cache(maxsize=4096)
def _cost_before(node: Conv, x: Type, simd: int, device: Device) -> Cost:
    first, *others = (part.cost(device) for part in before(node, x, simd))
    return sum(others, first)


def in_bursts(node: Conv, folding: Folding) -> bool:
    """Whether a folding takes a part of a kernel at a time.

    The window's raster is faster than such an engine, whose neighbours wait while it gives nothing at a frame's start.
    """
    return 1 < folding.simd < math.prod(node.window.kernel)


def depthwise_cost(node: Conv, x: Type, engine: Engine, folding: Folding, device: Device) -> tuple[int, Cost]:
    """The lanes that a Depthwise takes, and what it costs; PlanError if the engine has no such folding."""
    dense, under = grouped(node, x)
    cost = engine.cost(dense, under, folding, device)
    first, *_ = before(node, x, folding.simd)
    return first.i_beats.lanes, _cost_before(node, x, folding.simd, device) + cost


class Depthwise(StreamComponent):
    """y[o.., c] = bias[c] + sum over k.. of weight[c, k..] * x[o * stride + k * dilation - pad.., c], by an engine.

    `folding` is that of the Dense: PE channels, and SIMD places of their kernels, or of one channel's, at a time.
    Ports: i: Beats(x, lanes) as `window_of` has them, o: Beats(node.type, PE). `i.ready` depends on state alone.
    Throughput: that of the slowest of window, adapters and engine.
    """

    cuts_ready = True

    def __init__(self, node: Conv, x: Type, engine: Engine, folding: Folding, device: Device) -> None:
        dense, under = grouped(node, x)
        self.row = (*before(node, x, folding.simd), engine.build(dense, under, folding, device))
        super().__init__(self.row[0].i_beats, self.row[-1].o_beats)
        self.free = self.row[-1].free

    def control(self) -> Stages:
        return tuple(stage for part in self.row for stage in part.control())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for part in self.row:
            m.submodules[type(part).__name__.lower()] = part
        wiring.connect(m, wiring.flipped(self.i), self.row[0].i)
        for before, after in pairwise(self.row):
            wiring.connect(m, before.o, after.i)
        wiring.connect(m, self.row[-1].o, wiring.flipped(self.o))
        return m
