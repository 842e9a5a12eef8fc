"""The integer IR: a Type is a shape and an interval, a Node defines itself by `evaluate`, a Graph is immutable.

A real value is `scale * q + offset`; scales live in the importer and at the graph's two ends, never here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import DataError, GraphError

Array = NDArray[np.int64]
CHUNK = 2**22  # elements of the largest tensor that `Graph.evaluate` holds at a time


@dataclass(frozen=True)
class Type:
    """An integer tensor of one sample: its shape (without the batch) and its interval [lo, hi].

    The last axis is the channel axis; everything before it enumerates `vectors` in raster order.
    """

    shape: tuple[int, ...]
    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise GraphError(f"an interval must have lo <= hi, not [{self.lo}, {self.hi}]")
        if any(size < 1 for size in self.shape):
            raise GraphError(f"every dimension must be at least 1, not {self.shape}")

    @property
    def signed(self) -> bool:
        return self.lo < 0

    @property
    def width(self) -> int:
        """Bits of the narrowest two's-complement (if signed) or unsigned integer that holds the interval."""
        if self.signed:
            return max((-self.lo - 1).bit_length(), self.hi.bit_length() if self.hi > 0 else 0) + 1
        return max(1, self.hi.bit_length())

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def vectors(self) -> int:
        return self.size // self.channels

    def contains(self, other: Type) -> bool:
        return self.shape == other.shape and self.lo <= other.lo and other.hi <= self.hi

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'scalar'} [{self.lo}, {self.hi}]"


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: a name, the names of its inputs, the Type of its output, and its NumPy constants.

    Subclasses define `evaluate`, the only definition of what the node computes, and `infer`.
    """

    name: str
    inputs: tuple[str, ...]
    type: Type

    def evaluate(self, *inputs: Array) -> Array:
        """The output for a batch: every array is int64, batch axis first. Exact."""
        raise TypeError(f"{type(self).__name__} must define evaluate")

    def infer(self, *inputs: Type) -> Type:
        """The tightest Type known for the output, given those of the inputs; raises GraphError if they are wrong."""
        raise TypeError(f"{type(self).__name__} must define infer")


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Where a sample enters; refuses values outside its interval."""

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        if x.shape[1:] != self.type.shape:
            raise DataError(f"input '{self.name}' must have shape {self.type.shape} a sample, not {x.shape[1:]}")
        if x.size and (x.min() < self.type.lo or x.max() > self.type.hi):
            raise DataError(
                f"input '{self.name}' must lie in [{self.type.lo}, {self.type.hi}], "
                f"found values from {x.min()} to {x.max()}"
            )
        return x.astype(np.int64)

    def infer(self, *inputs: Type) -> Type:
        return self.type


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order, with one Input and the name of the node that is the output."""

    nodes: tuple[Node, ...]
    output: str

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def input(self) -> Input:
        return next(node for node in self.nodes if isinstance(node, Input))

    def types(self, node: Node) -> tuple[Type, ...]:
        """The Types of a node's inputs."""
        return tuple(self[name].type for name in node.inputs)

    def consumers(self, name: str) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if name in node.inputs)

    def trace(self, x: Array) -> dict[str, Array]:
        """Every node's value for a batch `x` of shape [samples, *input.type.shape]."""
        values: dict[str, Array] = {}
        for node in self.nodes:
            if isinstance(node, Input):
                values[node.name] = node.evaluate(x)
            else:
                values[node.name] = node.evaluate(*(values[name] for name in node.inputs))
        return values

    def evaluate(self, x: Array) -> Array:
        """The golden model: the output for a batch, exact, int64 [samples, *output shape]."""
        largest = max(node.type.size for node in self.nodes)
        count = max(1, CHUNK // largest)
        if len(x) > count:  # so that memory stays bounded by one chunk's tensors
            return np.concatenate([self.evaluate(x[start : start + count]) for start in range(0, len(x), count)])
        last = {name: node.name for node in self.nodes for name in node.inputs}
        values: dict[str, Array] = {}
        for node in self.nodes:
            values[node.name] = node.evaluate(*([values[name] for name in node.inputs] or [x]))
            for name in {*node.inputs}:
                if last[name] == node.name and name != self.output:
                    del values[name]
        return values[self.output]


def verify(graph: Graph) -> Graph:
    """The graph itself, if it keeps every rule of the IR; GraphError with the node's name otherwise."""
    seen: dict[str, Type] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise GraphError(f"node names must be unique, '{node.name}' is there twice")
        missing = [name for name in node.inputs if name not in seen]
        if missing:
            raise GraphError(f"'{node.name}' must come after its inputs, {missing} did not")
        inferred = node.infer(*(seen[name] for name in node.inputs))
        if not node.type.contains(inferred):
            raise GraphError(f"'{node.name}' is declared as {node.type}, but its inputs give {inferred}")
        seen[node.name] = node.type
    if graph.output not in seen:
        raise GraphError(f"the output '{graph.output}' must be a node of the graph")
    inputs = [node.name for node in graph.nodes if isinstance(node, Input)]
    if len(inputs) != 1:
        raise GraphError(f"a graph must have exactly one input, not {inputs}")
    return graph
