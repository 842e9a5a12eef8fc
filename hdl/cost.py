"""Predicted resources of what stands between the engines, for the planner, which asks for the same ones often."""

from __future__ import annotations

from functools import lru_cache

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Node, Type
from lutwright.hdl.adapt import adapters
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.units import built


@lru_cache(4096)
def unit_cost(node: Node, inputs: tuple[Type, ...], lanes: int, device: Device, name: str = "") -> Cost:
    """What is no engine's, as `hdl.units.built` makes it."""
    return built(node, inputs, lanes, name).cost(device)


@lru_cache(16384)
def adapter_cost(source: Beats, target: Beats, device: Device) -> Cost:
    """What stands between two neighbours."""
    return sum((adapter.cost(device) for adapter in adapters(source, target)), Cost(0, 0, 0, 0, target.per_frame))
