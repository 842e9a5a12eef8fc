"""The components that a plan makes of single nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.lowering import slides
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Conv,
    Dense,
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
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.argmax import ArgMaxUnit
from lutwright.hdl.branch import Concatenate, Elementwise, Fork, Joint
from lutwright.hdl.clamp import ClampUnit
from lutwright.hdl.engines.base import Cost, StreamComponent
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import PARALLEL, LineWindow
from lutwright.hdl.moves import Move
from lutwright.hdl.pool import SEPARATE, PoolReduce
from lutwright.hdl.rearrange import Rearrange
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.requantize import REQUANTIZE, RequantizeUnit
from lutwright.hdl.table import TableUnit
from lutwright.hdl.threshold import ThresholdUnit
from lutwright.hdl.timing import measure
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow

SAME_LANES = Threshold | Table | Clamp | Move | Unfold | Pool | Conv | Add | Multiply | Concat


@dataclass(frozen=True)
class Part:
    """A component of a network: its name there, itself, its predicted cost, and the node that it computes, if any."""

    name: str
    component: StreamComponent
    cost: Cost
    node: str | None = None

    @property
    def kind(self) -> str:
        return type(self.component).__name__

    @property
    def cycles(self) -> int:
        """Cycles a frame when nothing stalls it, exact."""
        part = self.component
        if isinstance(part, Joint | Fork):
            return part.o_beats.per_frame
        return measure(part.tokens(), part.i_beats.per_frame, part.o_beats.per_frame).interval


def planned(node: Node, plan: Plan) -> NodePlan:
    """What the plan has for a node; PlanError if that can't be."""
    if node.name not in plan.nodes:
        raise PlanError(f"the plan must have a folding for '{node.name}', it has {sorted(plan.nodes)}")
    choice = plan.nodes[node.name]
    if min(choice.folding.pe, choice.folding.simd) < 1:
        raise PlanError(f"the folding of '{node.name}' must be at least 1x1, not {choice.folding}")
    if isinstance(node, Unfold) and choice.engine == PARALLEL:
        if choice.folding.pe != node.type.channels:
            raise PlanError(f"a parallel '{node.name}' must have {node.type.channels} lanes out, not {choice.folding}")
    elif isinstance(node, SAME_LANES) and choice.folding.pe != choice.folding.simd:
        raise PlanError(f"'{node.name}' must have as many lanes out as in, not {choice.folding}")
    return choice


def computing(node: Node, inputs: Sequence[Type], plan: Plan) -> Part:
    """The component that computes `node` of inputs of these Types as `plan` has it."""
    x = inputs[0]
    match node:
        case Dense():
            choice = planned(node, plan)
            if choice.engine not in engines():
                known = ", ".join(engines())
                raise PlanError(f"the engine of '{node.name}' must be one of {known}, not '{choice.engine}'")
            engine = engines()[choice.engine]
            if reason := engine.supports(node, x, plan.device):
                raise PlanError(f"the engine '{choice.engine}' can't compute '{node.name}': {reason}. Choose another")
            cost = engine.cost(node, x, choice.folding, plan.device)
            return Part(node.name, engine.build(node, x, choice.folding, plan.device), cost, node.name)
        case Threshold() if planned(node, plan).engine == REQUANTIZE:
            unit: Unit = RequantizeUnit(node, x, planned(node, plan).folding.simd)
        case Threshold():
            unit = ThresholdUnit(node, x, planned(node, plan).folding.simd)
        case Table():
            unit = TableUnit(node, x, planned(node, plan).folding.simd)
        case Clamp():
            unit = ClampUnit(node, x, planned(node, plan).folding.simd)
        case Unfold() if planned(node, plan).engine == PARALLEL:
            unit = LineWindow(x, node.window, planned(node, plan).folding.simd, node.pad_value)
        case Unfold():
            unit = SlidingWindow(x, node.window, planned(node, plan).folding.simd, node.pad_value)
        case Pool() if planned(node, plan).engine == SEPARATE:
            unit = PoolReduce(node, x, planned(node, plan).folding.simd)
        case Pool() | Conv() if slides(node):
            unit = WindowReduce(node, x, planned(node, plan).folding.simd)
        case ArgMax():
            unit = ArgMaxUnit(node, x, planned(node, plan).folding.simd)
        case Add() | Multiply():
            unit = Elementwise(node, inputs, planned(node, plan).folding.simd)
        case Concat():
            unit = Concatenate(node, inputs, planned(node, plan).folding.simd)
        case Transpose() | Take() | Pad() | Stuff():
            unit = Rearrange(node, x, planned(node, plan).folding.simd)
        case _:
            raise GraphError(f"there is no hardware for '{node.name}', a {type(node).__name__} of {x}")
    return Part(node.name, unit, unit.cost(plan.device), node.name)
