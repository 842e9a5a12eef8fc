"""ArgMax, ArgMin and TopK with k = 1: integer operators where the reals are ordered as the integers.

Everything else about them (several values, the last of equal ones) is left to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from lutwright.errors import Refusal
from lutwright.frontend import nodes
from lutwright.frontend.onnx_import.pooling import reduce
from lutwright.frontend.onnx_import.staircase import MOST_ENTRIES, values_on_interval
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, on_host, operator
from lutwright.frontend.onnx_import.values import Constant, Pending, Quantized, Value, pending

Activation = Quantized | Pending


@operator("ArgMax", "ArgMin", "TopK")
def select(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The index of the extreme value along an axis, and for TopK this value."""
    x, choice = activation(inputs[0]), _choice(node, inputs)
    refusal = Refusal(
        node.name,
        node.op_type,
        f"only the host can run it ({choice if isinstance(choice, str) else 'its values are not ordered as integers'})",
        "Let only outputs follow it, or put the layers that use it into a model of their own",
    )
    if isinstance(choice, str) or not x.shape or (x.batched and choice.axis % len(x.shape) == 0):
        return on_host(state, node, inputs, refusal)
    rank, axis = len(x.shape), choice.axis % len(x.shape)
    order = [*(i for i in range(rank) if i != axis), axis]
    turned = state.transpose(x, order, f"{node.name}_transpose")
    rising = _direction(state, pending(turned))
    if rising is None:
        return on_host(state, node, inputs, refusal)
    back = [order.index(i) for i in range(rank)]
    index = _index(state, node, turned, largest=choice.largest == (rising > 0))
    index = state.transpose(index, back, f"{node.name}_back")
    if node.op_type != "TopK":
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        return [index if attribute(node, "keepdims", 1) else state.reshape(index, shape, f"{node.name}_shape")]
    kind = "ReduceMax" if choice.largest else "ReduceMin"
    extreme = helper.make_node(kind, ["x"], ["y"], f"{node.name}_value", axes=[axis])
    return [*reduce(state, extreme, [x]), index][: len(node.output)]


@dataclass(frozen=True)
class Choice:
    """One element along the axis, the largest or the smallest; of equal ones the first."""

    axis: int
    largest: bool


def _choice(node: onnx.NodeProto, inputs: list[Value | None]) -> Choice | str:
    """What the node chooses, or why that is the host's work."""
    if node.op_type != "TopK":
        if attribute(node, "select_last_index", 0):
            return "it takes the last of equal values"
        return Choice(attribute(node, "axis", 0), node.op_type == "ArgMax")
    k = inputs[1].array if len(inputs) > 1 and isinstance(inputs[1], Constant) else np.array(attribute(node, "k", 0))
    if k.size != 1 or int(k.flat[0]) != 1:
        return f"it takes {k.ravel().tolist()} values, not one" if k.size else "its k is no number"
    return Choice(attribute(node, "axis", -1), bool(attribute(node, "largest", 1)))


def _index(state: Import, node: onnx.NodeProto, x: Activation, largest: bool) -> Quantized:
    """On the last axis of a function of one source."""
    source = pending(x).source.node
    if not largest:
        source = state.add(nodes.Add.of(state.name(f"{node.name}_negated"), (source,), np.full((1, 1), -1)))
    result = state.add(nodes.ArgMax.of(state.name(node.name), source))
    return Quantized(result, (*x.shape[:-1], 1), x.batched, np.asarray(1.0), np.asarray(0.0), np.dtype(np.int64))


def _direction(state: Import, value: Pending) -> int | None:
    """1 where larger integers always mean larger reals, -1 where smaller ones do, in the reference's own precision.

    None where neither holds on all channels alike.
    """
    if len(value.sources) > 1:
        return None
    try:
        reals = values_on_interval(state, value, MOST_ENTRIES)
    except Refused:
        return None
    if len(reals) > 1:
        return None
    steps = np.diff(reals)
    return 1 if (steps > 0).all() else -1 if (steps < 0).all() else None
