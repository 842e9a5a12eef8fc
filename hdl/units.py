"""The components that can compute nodes which are no engine's."""

from __future__ import annotations

from collections.abc import Sequence

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.lowering import WINOGRAD, slides
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Conv,
    Embedding,
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
from lutwright.hdl.argmax import ArgMaxUnit
from lutwright.hdl.branch import Concatenate, Elementwise
from lutwright.hdl.clamp import ClampUnit
from lutwright.hdl.embedding import EmbeddingUnit
from lutwright.hdl.fixed_point import fixed_point
from lutwright.hdl.line_window import PARALLEL, LineWindow, is_parallel
from lutwright.hdl.pool import SEPARATE, PoolReduce, is_separate
from lutwright.hdl.rearrange import Rearrange
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.requantize import REQUANTIZE, RequantizeUnit
from lutwright.hdl.table import TableUnit
from lutwright.hdl.threshold import ThresholdUnit
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow
from lutwright.hdl.winograd.engine import ENGINES


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
        case Conv() if not slides(node):
            return (WINOGRAD, *ENGINES)
    return (name,)


def built(node: Node, inputs: Sequence[Type], lanes: int, name: str = "") -> Unit:
    """The component of that name, one of `units`, with `lanes` lanes in, or out of an Embedding.

    GraphError if there is none, PlanError if it can't be built so.
    """
    try:
        return _unit(node, inputs, lanes, name)
    except PlanError as error:  # what knows shapes only can't say of which node
        raise PlanError(f"'{node.name}' ({type(node).__name__}) can't be built with {lanes} lanes: {error}") from None


def _unit(node: Node, inputs: Sequence[Type], lanes: int, name: str) -> Unit:
    x = inputs[0]
    match node:
        case Threshold() if name == REQUANTIZE:
            return RequantizeUnit(node, x, lanes)
        case Threshold():
            return ThresholdUnit(node, x, lanes)
        case Table():
            return TableUnit(node, x, lanes)
        case Embedding():
            return EmbeddingUnit(node, x, lanes)
        case Clamp():
            return ClampUnit(node, x, lanes)
        case ArgMax():
            return ArgMaxUnit(node, x, lanes)
        case Unfold() if name == PARALLEL:
            return LineWindow(x, node.window, lanes, node.pad_value, groups=node.groups)
        case Unfold():
            return SlidingWindow(x, node.window, lanes, node.pad_value, groups=node.groups)
        case Pool() if name == SEPARATE:
            return PoolReduce(node, x, lanes)
        case Pool() | Conv() if slides(node):
            return WindowReduce(node, x, lanes)
        case Add() | Multiply():
            return Elementwise(node, inputs, lanes)
        case Concat():
            return Concatenate(node, inputs, lanes)
        case Transpose() | Take() | Pad() | Stuff():
            return Rearrange(node, x, lanes)
    raise GraphError(f"there is no hardware for '{node.name}', a {type(node).__name__} of {x}")
