"""ArgMax, and TopK with k = 1 whose index is used: integer operators where the reals are ordered as the integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from lutwright.errors import Refusal
from lutwright.frontend import nodes
from lutwright.frontend.onnx_import.staircase import MOST_ENTRIES, values_on_interval
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, operator
from lutwright.frontend.onnx_import.values import Constant, Host, Pending, Quantized, Value, pending


@operator("ArgMax", "TopK")
def argmax(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The index of the largest value on the last axis; anything else is left to the host."""
    x, *others = inputs
    x = activation(x)
    rank, value = len(x.shape), pending(x)
    host = Host(Refusal(node.name, node.op_type, "its indices are computed on the host", "Let only outputs follow it"))
    topk = node.op_type == "TopK"
    axis = attribute(node, "axis", -1 if topk else 0)
    k = others[0].array if topk and others and isinstance(others[0], Constant) else np.array(attribute(node, "k", 1))
    last = axis % rank == rank - 1 and not (rank == 1 and x.batched)
    first_of_equals = not attribute(node, "select_last_index", 0) and attribute(node, "largest", 1)
    if (
        not last
        or not first_of_equals
        or k.size != 1
        or int(k.flat[0]) != 1
        or not len(value.sources) > 1
        or not _ordered(state, value)
    ):
        return [host] * len(node.output)
    source = value.source
    result = state.add(nodes.ArgMax.of(state.name(node.name), source.node))
    shape = (*source.shape[:-1], 1)
    index: Quantized | Pending = Quantized(
        result, shape, source.batched, np.asarray(1.0), np.asarray(0.0), np.dtype(np.int64)
    )
    if not topk and not attribute(node, "keepdims", 1):
        index = state.reshape(index, shape[:-1], f"{node.name}_reshape")
    return [host, index][: len(node.output)] if topk else [index]


def _ordered(state: Import, value: Pending) -> bool:
    """Whether larger integers always mean larger reals, in the reference's own precision, and alike on all channels."""
    try:
        reals = values_on_interval(state, value, MOST_ENTRIES)
    except Refused:
        return False
    return len(reals) == 1 and bool((np.diff(reals) > 0).all())
