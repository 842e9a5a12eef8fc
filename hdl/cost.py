"""Predicted resources of what stands between the engines, for the planner, which asks for the same ones often."""

from __future__ import annotations

from functools import lru_cache

from lutwright.errors import GraphError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.nodes import ArgMax, Table, Threshold
from lutwright.hdl.adapt import adapters
from lutwright.hdl.argmax import ArgMaxUnit
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.table import TableUnit
from lutwright.hdl.threshold import ThresholdUnit


@lru_cache(4096)
def unit_cost(node: Node, x: Type, lanes: int, device: Device) -> Cost:
    """Threshold, Table or ArgMax with `lanes` lanes in."""
    match node:
        case Threshold():
            return ThresholdUnit(node, x, lanes).cost(device)
        case Table():
            return TableUnit(node, x, lanes).cost(device)
        case ArgMax():
            return ArgMaxUnit(node, x, lanes).cost(device)
    raise GraphError(f"'{node.name}' is a {type(node).__name__}, for which there is no hardware yet")


@lru_cache(16384)
def adapter_cost(source: Beats, target: Beats, device: Device) -> Cost:
    """What stands between two neighbours."""
    return sum((adapter.cost(device) for adapter in adapters(source, target)), Cost(0, 0, 0, 0, target.per_frame))
