"""What every dialect draws from: choices, constants, nodes, and the shape of each tensor on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
SAMPLES = 5


@dataclass(frozen=True)
class Act:
    """An activation: its tensor, its shape with the batch, and in integer form its scale, zero point and type."""

    name: str
    shape: Shape
    scale: float = 1.0
    zero: int = 0
    dtype: Any = np.float32


@dataclass(frozen=True)
class Case:
    """A drawn model. `exact`: all scales are powers of two or all values integers, so that no tie can be excused."""

    dialect: str
    model: onnx.ModelProto
    samples: NDArray[Any]
    grid: str | None
    exact: bool

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]


class Net:
    """A graph being drawn. Options are ordered from simple to complicated, so that hypothesis shrinks to simple ones.

    `batch` is the declared batch (a number or a name), `size` the one that shapes have meanwhile.
    """

    def __init__(self, draw: Any, dialect: str, opsets: tuple[int, int]) -> None:
        self.draw, self.dialect = draw, dialect
        self.opset = self.integer(*opsets)
        self.exact = self.chance()
        self.batch = self.pick(1, 1, 1, "n", "n", 2, 3)
        self.size = self.batch if isinstance(self.batch, int) else 1
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.domains: set[str] = set()

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def chance(self, one_in: int = 2) -> bool:
        """True once in so many times; simple is False."""
        return self.integer(0, one_in - 1) == one_in - 1

    def permutation(self, items: Iterable[int]) -> list[int]:
        return list(self.draw(st.permutations(list(items))))

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 9999))

    def scale(self) -> float:
        """A power of two where the case is exact, else any float32, now and then a round decimal."""
        if self.exact:
            return float(2.0 ** self.integer(-5, 0))
        if self.chance():
            return float(np.float32(self.pick(0.1, 0.05, 0.2, 0.3, 0.7, 0.01)))
        return float(np.float32(np.exp(self.rng().uniform(-4, 0))))

    def scales(self, count: int) -> NDArray[np.float32]:
        return np.array([self.scale() for _ in range(count)], np.float32)

    def fitting(self, scales: Any, largest: int, terms: int) -> Any:
        """Scales for weights up to `largest`: smaller by a power of two, so that sums neither die nor saturate."""
        return np.asarray(scales / 2.0 ** round(math.log2(max(1, largest) * math.sqrt(terms))), np.float32)

    def integers(self, shape: Shape, low: int, high: int) -> NDArray[np.int64]:
        """Integers in [low, high]: any, all zero, few different ones, mostly zero, or only the two extremes."""
        rng, kind = self.rng(), self.pick("any", "any", "any", "duplicates", "sparse", "extremes", "zeros")
        values = rng.integers(low, high + 1, shape)
        if kind == "duplicates" and shape:
            values = np.broadcast_to(values[:1], shape)
        elif kind == "sparse":
            values = np.where(rng.random(shape) < 0.7, max(low, min(0, high)), values)
        elif kind == "extremes":
            values = np.where(rng.random(shape) < 0.5, low, high)
        elif kind == "zeros":
            values = np.full(shape, max(low, min(0, high)))
        return values.astype(np.int64)

    def reals(self, shape: Shape, spread: float = 1.0) -> NDArray[np.float32]:
        """Any float32, or where the case is exact multiples of 1/8."""
        values = self.rng().standard_normal(shape) * spread
        return (np.round(values * 8) / 8 if self.exact else values).astype(np.float32)

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.initializers) + len(self.nodes)}"
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array, dtype))
        tensor.name = name
        self.initializers.append(tensor)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        names = [f"t{len(self.nodes)}" + (f"_{index}" if index else "") for index in range(outputs)]
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, domain=domain, **attributes))
        if domain:
            self.domains.add(domain)
        return names[0] if outputs == 1 else names

    def input_shape(self, ranks: tuple[int, ...] = (2, 4, 4, 3)) -> Shape:
        """[batch, features], [batch, channels, length] or [batch, channels, height, width]."""
        rank = self.pick(*ranks)
        inner = [self.integer(1, 4)] + [self.integer(1, 9 if rank == 3 else 6) for _ in range(rank - 2)]
        return (self.size, *(inner if rank > 2 else [self.integer(1, 8)]))

    def finish(self, x: Act, shape: Shape, samples: NDArray[Any], grid: str | None = None, kind: Any = None) -> Case:
        """The model from the input of that shape to x."""
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(domain, 1) for domain in self.domains]
        given = helper.make_tensor_value_info(
            "input", helper.np_dtype_to_tensor_dtype(samples.dtype), [self.batch, *shape[1:]]
        )
        wanted = helper.make_tensor_value_info(x.name, TensorProto.FLOAT if kind is None else kind, None)
        graph = helper.make_graph(self.nodes, "drawn", [given], [wanted], self.initializers)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset >= 21 else 8)
        return Case(self.dialect, model, samples, grid, self.exact)

    def float_samples(self, shape: Shape, step: float, low: int, high: int) -> NDArray[np.float32]:
        """Samples around the grid step * [low, high]: on it, between its points, on its ties, and beyond it."""
        rng, kind = self.rng(), self.pick("grid", "any", "ties")
        q = rng.uniform(low - 1, high + 1, (SAMPLES, *shape[1:]))
        q = np.floor(q) + 0.5 if kind == "ties" else np.round(q) if kind == "grid" else q
        return (q * step).astype(np.float32)
