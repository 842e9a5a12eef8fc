"""Functions that a model defines itself: their calls replaced by their bodies, where that ends."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import inliner

from lutwright.errors import ModelError

MOST_NODES = 2**17  # of a model with its functions written out
DEEPEST = 64  # calls within calls

Key = tuple[str, str]


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions; ModelError if they are wrong, call themselves, or would not end in sensible size."""
    if not model.functions:
        return model
    try:
        bodies = {
            (item.domain, item.name): [(node.domain, node.op_type) for node in item.node] for item in model.functions
        }
        size = _size([(node.domain, node.op_type) for node in model.graph.node], bodies, {}, 0)
        if size > MOST_NODES:
            raise ModelError(
                f"its functions written out give more than {MOST_NODES} nodes. Export it without nested functions"
            )
        return inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(f"its functions cannot be written out ({error}). Export it without functions") from error


def _size(calls: Iterable[Key], bodies: dict[Key, list[Key]], sizes: dict[Key, int], depth: int) -> int:
    """How many nodes the calls become."""
    if depth > DEEPEST:
        raise ModelError(
            f"its functions call themselves, or more than {DEEPEST} others within each other. Export it again"
        )
    total = 0
    for call in calls:
        if call in bodies and call not in sizes:
            sizes[call] = _size(bodies[call], bodies, sizes, depth + 1)
        total += sizes.get(call, 1)
    return total
