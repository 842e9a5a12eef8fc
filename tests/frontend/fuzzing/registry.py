"""What mutators have in common: how they are found, and how they choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import onnx
from onnx import helper

Item = TypeVar("Item")
Mutator = Callable[[np.random.Generator, onnx.ModelProto], None]
MUTATORS: list[Mutator] = []


class Unsuitable(Exception):
    """The model has nothing that the mutator could change."""


def mutator(function: Mutator) -> Mutator:
    """Registers a function that changes a model in place."""
    MUTATORS.append(function)
    return function


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of the items; Unsuitable if there is none."""
    if not len(items):
        raise Unsuitable
    return items[int(rng.integers(len(items)))]


def values(model: onnx.ModelProto) -> list[str]:
    """Every tensor that a node may read."""
    graph = model.graph
    made = [name for node in graph.node for name in node.output if name]
    return [*(item.name for item in (*graph.input, *graph.initializer)), *made]


def insert(rng: np.random.Generator, model: onnx.ModelProto, node: onnx.NodeProto, tensor: str) -> None:
    """Puts the node, which must make 'inserted', between the tensor and the nodes that read it."""
    users = [item for item in model.graph.node if tensor in item.input]
    for user in users:
        names = ["inserted" if name == tensor else name for name in user.input]
        del user.input[:]
        user.input.extend(names)
    index = list(model.graph.node).index(users[0]) if users else len(model.graph.node)
    model.graph.node.insert(index, node)


def constant(model: onnx.ModelProto, name: str, array: object, dtype: type = np.int64) -> str:
    """Adds an initializer."""
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, dtype), name))
    return name


def output(kind: int = onnx.TensorProto.FLOAT, name: str = "out") -> onnx.ValueInfoProto:
    """A graph output without a shape."""
    return helper.make_tensor_value_info(name, kind, None)
