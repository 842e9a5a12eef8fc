"""Predicted resources of what stands between the engines, for the planner, which asks for the same ones often."""

from __future__ import annotations

from functools import lru_cache

from lutwright.errors import GraphError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Conv,
    Multiply,
    Pad,
    Pool,
    Stuff,
    Table,
    Take,
    Threshold,
    Transpose,
    Unfold,
)
from lutwright.hdl.adapt import adapters
from lutwright.hdl.argmax import ArgMaxUnit
from lutwright.hdl.beats import Beats
from lutwright.hdl.branch import Concatenate, Elementwise
from lutwright.hdl.clamp import ClampUnit
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.fixed_point import fixed_point
from lutwright.hdl.line_window import PARALLEL, LineWindow, is_parallel
from lutwright.hdl.pool import SEPARATE, PoolReduce, is_separate
from lutwright.hdl.rearrange import Rearrange
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.requantize import REQUANTIZE, RequantizeUnit
from lutwright.hdl.table import TableUnit
from lutwright.hdl.threshold import ThresholdUnit
from lutwright.hdl.window import SlidingWindow


def units(node: Node, x: Type) -> tuple[str, ...]:
    """The names of the components that can compute a node which is no engine's."""
    name = type(node).__name__.lower()
    match node:
        case Threshold() if fixed_point(node, x) is not None:
            return name, REQUANTIZE
        case Unfold() if is_parallel(x, node.window):
            return name, PARALLEL
        case Pool() if is_separate(node, x):
            return name, SEPARATE
    return (name,)


@lru_cache(4096)
def unit_cost(node: Node, inputs: tuple[Type, ...], lanes: int, device: Device, name: str = "") -> Cost:
    """What is no engine's, with `lanes` lanes in; `name` is one of `units`."""
    x = inputs[0]
    match node:
        case Threshold() if name == REQUANTIZE:
            return RequantizeUnit(node, x, lanes).cost(device)
        case Threshold():
            return ThresholdUnit(node, x, lanes).cost(device)
        case Table():
            return TableUnit(node, x, lanes).cost(device)
        case Clamp():
            return ClampUnit(node, x, lanes).cost(device)
        case ArgMax():
            return ArgMaxUnit(node, x, lanes).cost(device)
        case Unfold() if name == PARALLEL:
            return LineWindow(x, node.window, lanes, node.pad_value).cost(device)
        case Unfold():
            return SlidingWindow(x, node.window, lanes, node.pad_value).cost(device)
        case Pool() if name == SEPARATE:
            return PoolReduce(node, x, lanes).cost(device)
        case Pool() | Conv():
            return WindowReduce(node, x, lanes).cost(device)
        case Add() | Multiply():
            return Elementwise(node, inputs, lanes).cost(device)
        case Concat():
            return Concatenate(node, inputs, lanes).cost(device)
        case Transpose() | Take() | Pad() | Stuff():
            return Rearrange(node, x, lanes).cost(device)
    raise GraphError(f"'{node.name}' is a {type(node).__name__}, for which there is no hardware")


@lru_cache(16384)
def adapter_cost(source: Beats, target: Beats, device: Device) -> Cost:
    """What stands between two neighbours."""
    return sum((adapter.cost(device) for adapter in adapters(source, target)), Cost(0, 0, 0, 0, target.per_frame))
