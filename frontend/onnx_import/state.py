"""What the import knows while it walks the graph, and how operators register themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import onnx

from lutwright.errors import Refusal
from lutwright.frontend import ir, nodes
from lutwright.frontend.grid import Grid
from lutwright.frontend.onnx_import.executor import OperatorFailed, execute
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.values import (
    Anything,
    Constant,
    Host,
    Lattice,
    Pending,
    Product,
    Quantized,
    Raw,
    Shape,
    Unknown,
    Value,
    dtype_of,
    map_constants,
    reduced,
)

Moved = TypeVar("Moved", bound=Quantized | Pending)
FROM_INPUT = "Name the grid of the model's input with --input, for example --input int8 or --input 'fixed<16,6>'"
QUANTIZE = "Put a quantizer (Quant or QuantizeLinear) just before it, as `lutwright quantize` does"
MICROSOFT = "com.microsoft"
QONNX_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


class Refused(Exception):
    """A node has no integer meaning here: why, and what the user can do. The walk turns it into a Refusal."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason, self.fix = reason, fix


@dataclass(frozen=True)
class Entry:
    """The hardware's input: the ONNX tensor that the host computes, what makes it integers, and the result.

    `node` is the ONNX quantizer; None where the input's grid is given.
    """

    tensor: str
    quantizer: Quantizer
    value: Quantized
    node: onnx.NodeProto | None


@dataclass
class Import:
    """The state of one import: `values` by ONNX tensor name, and the IR nodes built so far.

    `batch` is the concrete size that the batch axis has during the walk, or 0 where there is no batch axis.
    `entry` says where integers begin. `versions` has the operator set of each domain. `on_host` has the quantizers
    that the host runs, by the ONNX tensors that they make; `columns` what multiplies the results of Im2Col by
    weights [K, N] as a convolution, by the IR nodes of these results. `held` is how many bytes the constants take that
    were computed. `rounded` has by the IR nodes of sums the offset that a float bias gave them, and what it is where a
    quantizer follows (`qdq`).
    """

    opset: int
    batch: int
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[ir.Node] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    entry: Entry | None = None
    grid: Grid | None = None
    taken: set[str] = field(default_factory=set)
    held: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    on_host: dict[str, Quantizer] = field(default_factory=dict)
    columns: dict[str, Callable[[onnx.NodeProto, Lattice], Quantized]] = field(default_factory=dict)
    rounded: dict[str, tuple[Anything, Anything]] = field(default_factory=dict)

    def version(self, domain: str) -> int:
        """The version of a domain's operators: 1 where the model imports none, as QONNX has it."""
        return self.versions.get(domain, 1)

    def name(self, wish: str) -> str:
        """A unique name for an IR node that is also an identifier."""
        base = re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "node"
        base = f"n{base}" if base[0].isdigit() else base
        name, count = base, 1
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name

    def add(self, node: ir.Node) -> ir.Node:
        self.nodes.append(node)
        return node

    def replace(self, old: ir.Node, new: ir.Node) -> ir.Node:
        """Puts `new` in the place of `old`, which nothing uses yet."""
        self.nodes[next(i for i, node in enumerate(self.nodes) if node is old)] = new
        return new

    def execute(self, node: onnx.NodeProto, inputs: Sequence[Anything | None]) -> list[Anything]:
        """The node's outputs on arrays; Refused if it cannot run."""
        try:
            return execute(node, inputs, self.opset)
        except OperatorFailed as error:
            raise Refused(
                f"it fails on its inputs ({error})", "Check the model, for example with onnxruntime"
            ) from None

    def shape_of(self, tensor: str) -> Shape:
        """The shape of a tensor that has one: not of the host's share."""
        value = self.values[tensor]
        assert not isinstance(value, (Host, Unknown))
        return value.shape

    def batched(self, shape: Shape) -> bool:
        return self.batch > 0 and shape[:1] == (self.batch,)

    def reshape(self, value: Moved, shape: Shape, wish: str) -> Moved:
        """The value in another ONNX shape, in raster order."""
        if value.shape == shape:
            return value
        if self.batch > 1 and not self.batched(shape):
            raise Refused(
                f"it turns {value.shape} into {shape}, which mixes the {self.batch} samples of the batch",
                "Export the model with a batch of 1",
            )
        sample = shape[1:] if self.batched(shape) else shape

        def build(node: ir.Node) -> ir.Node:
            if node.type.shape == sample:
                return node
            return self.add(nodes.Reshape.of(self.name(wish), node, sample))

        return self.move(value, shape, lambda array: array.reshape(shape), build)

    def transpose(self, value: Moved, axes: Sequence[int], wish: str) -> Moved:
        """The value with its ONNX axes permuted; the batch must stay where it is."""
        order = list(axes)
        shape = tuple(value.shape[axis] for axis in order)
        if [axis for axis in order if value.shape[axis] > 1] == [i for i, size in enumerate(value.shape) if size > 1]:
            return self.reshape(value, shape, wish)
        if value.batched and order[0] != 0:
            raise Refused(
                f"it moves the batch axis (axes {order})",
                "Keep axis 0 for the batch, and use the operator on other axes only",
            )
        inner = tuple(axis - 1 for axis in order[1:]) if value.batched else tuple(order)

        def build(node: ir.Node) -> ir.Node:
            return self.add(nodes.Transpose.of(self.name(wish), node, inner))

        return self.move(value, shape, lambda array: array.transpose(order), build)

    def take(self, value: Moved, axis: int, indices: ir.Array, wish: str) -> Moved:
        """The value's elements at `indices` along an ONNX axis, which must not be the batch."""
        if np.array_equal(indices, np.arange(value.shape[axis])):
            return value
        if value.batched and axis == 0:
            raise Refused(
                "it takes or repeats samples of the batch",
                "Keep axis 0 for the batch, and use the operator on other axes only",
            )
        shape = (*value.shape[:axis], len(indices), *value.shape[axis + 1 :])

        def build(node: ir.Node) -> ir.Node:
            return self.add(nodes.Take.of(self.name(wish), node, axis - int(value.batched), indices))

        return self.move(value, shape, lambda array: array.take(indices, axis=axis), build)

    def broadcast(self, value: Moved, shape: Shape, wish: str) -> Moved:
        """The value repeated to an ONNX shape that it broadcasts to."""
        value = self.reshape(value, (1,) * (len(shape) - len(value.shape)) + value.shape, wish)
        for axis, size in enumerate(shape):
            if value.shape[axis] != size:
                value = self.take(value, axis, np.zeros(size, np.int64), wish)
        return value

    def move(
        self,
        value: Moved,
        shape: Shape,
        move: Callable[[Anything], Anything],
        build: Callable[[ir.Node], ir.Node],
    ) -> Moved:
        """The value after a move of elements: `move` acts on arrays of the tensor's full shape, `build` on IR nodes."""

        def moved(array: Anything) -> Anything:
            if array.size == 1:
                return array.reshape(())  # a scalar stays one: Clip takes no other bounds
            return reduced(move(np.broadcast_to(array, value.shape)))

        def quantized(source: Quantized) -> Quantized:
            product = source.product and Product(
                source.product.x_scale, moved(source.product.w_scale), moved(source.product.bias)
            )
            return replace(
                source,
                node=build(source.node),
                shape=shape,
                batched=self.batched(shape),
                scale=moved(source.scale),
                offset=moved(source.offset),
                product=product,
                mean=source.mean
                and replace(source.mean, elements=moved(source.mean.elements), count=moved(source.mean.count)),
            )

        if isinstance(value, Quantized):
            return cast(Moved, quantized(value))
        sources = tuple(map(quantized, value.sources))
        return cast(Moved, Pending(sources, map_constants(value.expression, moved)))


Handler = Callable[[Import, onnx.NodeProto, list[Value | None]], Sequence[Value]]


@dataclass(frozen=True)
class Operator:
    """How an ONNX operator is interpreted. `integer` ones (layers and quantizers) are never left to the host.

    `arity`: the least and the greatest number of inputs of an operator that ONNX does not know, else None.
    `hosted` ones can run on the host after operators of its own.
    """

    handler: Handler
    integer: bool
    arity: tuple[int, int] | None
    hosted: bool


OPERATORS: dict[tuple[str, str], Operator] = {}


def operator(
    *names: str,
    domains: Sequence[str] = ("",),
    integer: bool = False,
    arity: int | tuple[int, int] | None = None,
    hosted: bool = False,
) -> Callable[[Handler], Handler]:
    """Registers the handler for these operators."""

    def register(handler: Handler) -> Handler:
        bounds = (arity, arity) if isinstance(arity, int) else arity
        for domain in domains:
            for name in names:
                OPERATORS[domain, name] = Operator(handler, integer, bounds, hosted)
        return handler

    return register


def activation(value: Value | None) -> Quantized | Pending:
    """The value, if it is integers or a function of them."""
    if isinstance(value, Raw):
        raise Refused("its activations come from a model input that the graph does not quantize", FROM_INPUT)
    if not isinstance(value, (Quantized, Pending)):
        raise Refused("its first input must be the activations", "Give it constants as its other inputs")
    return value


def on_host(state: Import, node: onnx.NodeProto, inputs: Sequence[Value | None], refusal: Refusal) -> list[Value]:
    """The outputs of a node that only the host can run: their shapes and types are read off a run on zeros."""
    arrays: list[Anything | None] = []
    for value in inputs:
        array = zeros_like(state, value)
        if value is not None and array is None:
            return [Host(refusal)] * len(node.output)
        arrays.append(array)
    try:
        found = state.execute(node, arrays)
    except Refused:
        return [Host(refusal)] * len(node.output)
    return [Host(refusal, np.zeros(array.shape, array.dtype)) for array in found]


def zeros_like(state: Import, value: Value | None) -> Anything | None:
    """An array of the value's shape and type, a constant itself; None where they are not known."""
    if isinstance(value, Constant):
        return value.array
    if isinstance(value, Host):
        return value.zeros
    if not isinstance(value, (Raw, Quantized, Pending)):
        return None
    dtype = dtype_of(value.sources, value.expression) if isinstance(value, Pending) else value.dtype
    return np.zeros(value.shape, dtype)


def constant(value: Value | None, what: str) -> Anything:
    """The array of an input that must be known at import."""
    if not isinstance(value, Constant):
        raise Refused(f"its {what} must be a constant", f"Export the model with a constant {what}")
    return value.array


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The node's attribute, with bytes as text."""
    for item in node.attribute:
        if item.name == name:
            try:
                found = onnx.helper.get_attribute_value(item)
            except ValueError:  # a reference outside of a function, or of an unknown type
                raise Refused(f"its attribute {name} has no value", "Export the model again") from None
            found = found.decode(errors="replace") if isinstance(found, bytes) else found
            if isinstance(default, float) and isinstance(found, int):
                found = float(found)
            if not isinstance(found, type(default)):
                raise Refused(f"its attribute {name} must be like {default!r}, not {found!r}", "Export the model again")
            return found
    return default
