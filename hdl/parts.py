"""The components that a plan makes of single nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.lowering import takes_conv
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Conv,
    Dense,
    Embedding,
    Multiply,
    Pool,
    Table,
    Threshold,
    Unfold,
)
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.branch import Fork, Joint
from lutwright.hdl.depthwise import Depthwise, depthwise_cost, grouped
from lutwright.hdl.engines.base import Cost, StreamComponent
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import PARALLEL
from lutwright.hdl.moves import Move
from lutwright.hdl.timing import measure
from lutwright.hdl.units import built
from lutwright.hdl.winograd.engine import winograd

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
        places = math.prod(node.window.kernel)
        if choice.folding.pe != places * choice.folding.simd:
            raise PlanError(f"a parallel '{node.name}' must have {places} times its lanes out, not {choice.folding}")
    elif isinstance(node, SAME_LANES) and choice.folding.pe != choice.folding.simd and not by_engine(node, choice):
        raise PlanError(f"'{node.name}' must have as many lanes out as in, not {choice.folding}")
    elif isinstance(node, Embedding) and choice.folding.simd != 1:
        raise PlanError(f"'{node.name}' must take one index at a time, not {choice.folding.simd}")
    return choice


def by_engine(node: Node, choice: NodePlan) -> TypeGuard[Dense | Conv]:
    """Whether an engine builds the node: a Dense, or a Conv for which the plan names one."""
    named = choice.engine in engines() or takes_conv(choice.engine)
    return isinstance(node, Dense) or (isinstance(node, Conv) and named)


def computing(node: Node, inputs: Sequence[Type], plan: Plan) -> Part:
    """The component that computes `node` of inputs of these Types as `plan` has it."""
    if not isinstance(node, Dense | SAME_LANES | ArgMax | Embedding):
        raise GraphError(f"there is no hardware for '{node.name}', a {type(node).__name__} of {inputs[0]}")
    choice, (x, *_), device = planned(node, plan), inputs, plan.device
    if isinstance(node, Conv) and takes_conv(choice.engine):
        conv = winograd(node, x, choice.engine, choice.folding, device)
        return Part(node.name, conv, conv.cost(device), node.name)
    if not by_engine(node, choice):
        lanes = choice.folding.pe if isinstance(node, Embedding) else choice.folding.simd
        unit = built(node, inputs, lanes, choice.engine)
        return Part(node.name, unit, unit.cost(device), node.name)
    if choice.engine not in engines():
        known = ", ".join(engines())
        raise PlanError(f"the engine of '{node.name}' must be one of {known}, not '{choice.engine}'")
    engine = engines()[choice.engine]
    dense, under = grouped(node, x) if isinstance(node, Conv) else (node, x)
    if reason := engine.supports(dense, under, device):
        raise PlanError(f"the engine '{choice.engine}' can't compute '{node.name}': {reason}. Choose another")
    if isinstance(node, Conv):
        _, cost = depthwise_cost(node, x, engine, choice.folding, device)
        return Part(node.name, Depthwise(node, x, engine, choice.folding, device), cost, node.name)
    cost = engine.cost(node, x, choice.folding, device)
    return Part(node.name, engine.build(node, x, choice.folding, device), cost, node.name)
