"""The ONNX file: read, checked and put in order, before anything is interpreted."""

from __future__ import annotations

import graphlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import helper, numpy_helper

from lutwright.errors import ModelError
from lutwright.frontend.grid import Grid, annotated
from lutwright.frontend.onnx_import import functions
from lutwright.frontend.onnx_import.executor import is_number
from lutwright.frontend.onnx_import.values import Anything, Shape

MOST_INPUT = 2**24  # elements of a sample, or of a batch if that is fixed
MOST_AXES = 16
LONGEST = 1000  # characters of a name
QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}


@dataclass(frozen=True)
class Source:
    """A valid model: nodes in topological order, each with a name; `dims` of the one input, None where symbolic.

    `versions` has the operator set version of each domain that the model imports.

    `quantizes` is False where all operators are ONNX's own and none of them is a quantizing one.
    """

    model: onnx.ModelProto
    opset: int
    versions: dict[str, int]
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Anything]
    input: str
    dims: tuple[int | None, ...]
    dtype: np.dtype[Any]
    outputs: tuple[str, ...]
    annotation: Grid | None
    quantizes: bool

    def shape(self, batch: int) -> Shape:
        """The input's shape where the symbolic batch is `batch`."""
        return tuple(batch if size is None else size for size in self.dims)


def read(path: str | Path) -> Source:
    """The model in the file; ModelError if it is not one."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"the model '{path}' must be a file; there is none. Check the path")
    try:
        model = onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        reason = f"{str(error)[:LONGEST]}. It may be truncated or another format"
        raise ModelError(f"'{path}' cannot be read as ONNX: {reason}") from error
    if not model.graph.node:
        raise ModelError(f"'{path}' holds no ONNX graph with nodes. It may be empty, truncated or another format")
    try:
        return _checked(functions.inlined(model))
    except ModelError as error:
        raise ModelError(f"'{path}': {error}") from None


def _checked(model: onnx.ModelProto) -> Source:
    graph = model.graph
    _check_text(graph)
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < 7:
        raise ModelError(f"the ONNX opset must be at least 7, not {opset}. Convert it with onnx.version_converter")
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ModelError(
            f"the ONNX opset must be at most {newest}, the last that the installed onnx knows, not {opset}. "
            "Install a newer onnx, or convert the model with onnx.version_converter"
        )
    if graph.sparse_initializer:
        raise ModelError("it has sparse initializers, which are not supported. Export it with dense ones")
    constants = {item.name: _array(item) for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{item.name}'" for item in inputs) or "none"
        raise ModelError(f"a model must have exactly one input, found {names}. Export it with one input tensor")
    versions = {entry.domain: entry.version for entry in model.opset_import}
    nodes = _ordered(graph, {inputs[0].name, *constants})
    outputs = tuple(item.name for item in graph.output)
    made = {name for node in nodes for name in node.output} | {inputs[0].name, *constants}
    missing = [name for name in outputs if name not in made]
    if not outputs or missing:
        raise ModelError(f"every output must be computed by a node, {missing or 'there is none'}. Export it again")
    quantizes = any(node.op_type in QUANTIZERS or not onnx.defs.has(node.op_type, node.domain) for node in nodes)
    dims, dtype = _input_type(inputs[0])
    name, grid = inputs[0].name, annotated(graph, inputs[0].name, dtype)
    return Source(model, opset, versions, nodes, constants, name, dims, dtype, outputs, grid, quantizes)


def _check_text(graph: onnx.GraphProto) -> None:
    """Damaged files can hold text that is no UTF-8: protobuf gives it as bytes, or raises when it is read.

    Names appear in messages, so control characters must not be in them either.
    """
    try:
        texts = [item.name for item in (*graph.input, *graph.output, *graph.initializer)]
        for node in graph.node:
            texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
            texts += [attribute.name for attribute in node.attribute]
        damaged = any(not (isinstance(text, str) and text.isprintable() and len(text) <= LONGEST) for text in texts)
    except UnicodeDecodeError:
        damaged = True
    if damaged:
        raise ModelError(
            f"it holds names that are no text, or of more than {LONGEST} characters. Shorten them, or export it again"
        )


def _input_type(item: onnx.ValueInfoProto) -> tuple[tuple[int | None, ...], np.dtype[Any]]:
    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(f"the input '{item.name}' must have a shape, it has none. Export it with shapes")
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    if any(size is not None and size < 1 for size in dims):
        raise ModelError(f"every dimension of the input '{item.name}' must be at least 1, not {list(dims)}")
    if None in dims[1:] or dims == (None,):
        raise ModelError(
            f"only the batch (axis 0) of the input '{item.name}' may be symbolic, not {list(dims)}. "
            "Export it with the other dimensions fixed, and with a batch axis"
        )
    if math.prod(size or 1 for size in dims) > MOST_INPUT or len(dims) > MOST_AXES:
        raise ModelError(
            f"the input '{item.name}' must have at most {MOST_INPUT} elements and {MOST_AXES} axes, not {list(dims)}"
        )
    try:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except KeyError:
        raise ModelError(f"the input '{item.name}' must have a type, not {tensor.elem_type}. Export it again") from None
    if dtype.kind not in "biuf" or dtype.isbuiltin != 1:
        raise ModelError(
            f"the input '{item.name}' must be of a type that NumPy has, not {dtype}. "
            "Let the model cast it from float or int8"
        )
    return dims, dtype


def _array(item: onnx.TensorProto) -> Anything:
    try:
        array = numpy_helper.to_array(item)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ModelError(f"the initializer '{item.name}' cannot be read ({error}). The file may be damaged") from error
    if not is_number(array.dtype) or array.ndim > MOST_AXES:
        raise ModelError(
            f"the initializer '{item.name}' must hold real numbers along at most {MOST_AXES} axes, not {array.dtype} "
            f"along {array.ndim}. Export the model without it"
        )
    if array.dtype.kind == "f" and (np.isnan(array).any() or (array.size > 1 and np.isinf(array).any())):
        raise ModelError(f"the initializer '{item.name}' holds NaN or infinity. Check the training and the export")
    return array


def _ordered(graph: onnx.GraphProto, known: set[str]) -> tuple[onnx.NodeProto, ...]:
    """The nodes in topological order, named, with the standard domain as ''.

    onnxruntime's quantizers for 16 and 4 bits before opset 21 are those of com.microsoft, which mean the same.
    """
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker or name in known:
                raise ModelError(f"the tensor '{name}' must be made once, node '{node.name}' makes it again")
            maker[name] = index
    needs: dict[int, set[int]] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.input):
            if name not in known and name not in maker:
                raise ModelError(
                    f"node '{node.name or node.op_type}' needs the tensor '{name}', but nothing makes it: no node, "
                    "no initializer, no input. Export the model again with its weights"
                )
        needs[index] = {maker[name] for name in node.input if name in maker}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        names = " -> ".join(graph.node[index].name or graph.node[index].op_type for index in error.args[1])
        raise ModelError(f"the graph must have no cycle, found {names}. Export the model again") from None
    if all(max(needs[index], default=-1) < index for index in needs):
        order = list(range(len(graph.node)))
    result = []
    for index in order:
        node = onnx.NodeProto()
        node.CopyFrom(graph.node[index])
        twin = node.domain == "com.microsoft" and node.op_type in ("QuantizeLinear", "DequantizeLinear")
        node.domain = "" if node.domain == "ai.onnx" or twin else node.domain
        node.name = node.name or f"{node.op_type}_{index}"
        result.append(node)
    return tuple(result)
