"""Predicted resources of the components that are not engines."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.nodes import Table, Threshold
from lutwright.hdl.adapt import adapters
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.threshold import Staircase


def unit_cost(node: Node, x: Type, lanes: int, device: Device) -> Cost:
    """Threshold, Table or ArgMax with `lanes` lanes in."""
    beats = Beats(x, lanes)
    cycles, used = beats.per_frame, min(lanes, x.channels)
    luts, ffs, bits = 12, 8, 0
    if isinstance(node, Threshold):
        stairs = Staircase(node, x)
        luts += used * stairs.stages * (x.width + 2)
        ffs += used * stairs.stages * (x.width + node.type.width)
        bits = stairs.levels.size * x.width if len(stairs.levels) > 1 else 0
    elif isinstance(node, Table):
        luts += used * node.type.width
        ffs += used * node.type.width
        bits = node.values.size * node.type.width * (used if len(node.values) == 1 else 1)
    else:
        luts += used * (2 * x.width + node.type.width)
        ffs += used * x.width + 2 * node.type.width
    blocks = -(-bits // device.bram_bits) if bits > 2048 else 0
    return Cost(luts + (0 if blocks else bits // 12), ffs, blocks, 0, cycles)


def adapter_cost(source: Beats, target: Beats, device: Device) -> Cost:
    """What stands between two neighbours."""
    total = Cost(0, 0, 0, 0, target.per_frame)
    for part in adapters(source, target):
        bits = part.i_beats.bits + part.o_beats.bits
        cycles = max(part.i_beats.per_frame, part.o_beats.per_frame)
        total = total + Cost(12 + max(part.i_beats.bits, part.o_beats.bits), 8 + bits // 2, 0, 0, cycles)
    return total
