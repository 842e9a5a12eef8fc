"""The host's share: what stands before the first integers (pre) and after the last integer node (post), as ONNX.

The user's own nodes are copied as they are, so that onnxruntime computes what it computes in the reference;
constants are folded, quantizers written in plain operators.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend.onnx_import.interpreter import LAYERS
from lutwright.frontend.onnx_import.source import Source
from lutwright.frontend.onnx_import.state import OPERATORS, Entry, Import
from lutwright.frontend.onnx_import.values import Constant, Quantized, Raw
from lutwright.frontend.onnx_import.writer import Writer

INTEGERS = "lutwright_integers"  # the name of the integers in both models


def pre(source: Source, state: Import, entry: Entry) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """From the user's input to the hardware's integers (int64), and the ONNX nodes in it."""
    part = _between(source, state, [entry.tensor], source.input)
    assert part is not None
    writer = Writer(source.opset)
    _copy(writer, state, *part)
    value = state.values[entry.tensor]
    dtype = value.dtype if isinstance(value, (Raw, Quantized)) else source.dtype
    integers = entry.quantizer.emit(writer, entry.tensor, dtype)
    writer.op("Identity", integers, output=INTEGERS)
    shape = source.shape(state.batch)
    given = helper.make_tensor_value_info(source.input, helper.np_dtype_to_tensor_dtype(source.dtype), shape)
    quantizer = [node for node in source.nodes if node is entry.node]
    return writer.model([given], [INTEGERS], "pre"), part[0] + quantizer


def post(source: Source, state: Import, tensor: str) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """From the hardware's integers (as float64) to the user's outputs, and the ONNX nodes in it."""
    part = _between(source, state, source.outputs, tensor)
    value = state.values[tensor]
    assert part is not None and isinstance(value, Quantized)
    writer = Writer(source.opset)
    scaled = writer.op("Mul", INTEGERS, writer.constant(value.scale))
    real = writer.op("Add", scaled, writer.constant(value.offset))
    writer.cast(real, value.dtype, output=tensor)
    _copy(writer, state, *part)
    given = helper.make_tensor_value_info(INTEGERS, onnx.TensorProto.DOUBLE, value.shape)
    return writer.model([given], source.outputs, "post"), part[0]


def hardware_output(source: Source, state: Import) -> str | None:
    """The latest Quantized tensor from which all outputs follow without another layer or quantizer."""
    tensors = [source.input] + [name for node in source.nodes for name in node.output if name]
    for tensor in reversed(tensors):
        if isinstance(state.values[tensor], Quantized):
            part = _between(source, state, source.outputs, tensor)
            if part is not None and not any(_integer(node) for node in part[0]):
                return str(tensor)
    return None


def _integer(node: onnx.NodeProto) -> bool:
    operator = OPERATORS.get((node.domain, node.op_type))
    return node.op_type in LAYERS or (operator is not None and operator.integer)


def _between(
    source: Source, state: Import, ends: Sequence[str], start: str
) -> tuple[list[onnx.NodeProto], list[str]] | None:
    """The nodes from `start` to `ends` and the constants they use; None if something else is needed too."""
    makers = {name: node for node in source.nodes for name in node.output if name}
    wanted, constants, nodes, stack = set[str](), list[str](), set[str](), list(ends)
    while stack:
        tensor = stack.pop()
        if tensor in wanted or tensor == start:
            continue
        wanted.add(tensor)
        if isinstance(state.values[tensor], Constant):
            constants.append(tensor)
        elif tensor in makers:
            nodes.add(makers[tensor].output[0])
            stack.extend(name for name in makers[tensor].input if name)
        else:
            return None
    return [node for node in source.nodes if node.output[0] in nodes], sorted(constants)


def _copy(writer: Writer, state: Import, nodes: Sequence[onnx.NodeProto], constants: Sequence[str]) -> None:
    for name in constants:
        value = state.values[name]
        assert isinstance(value, Constant)
        writer.constant(np.asarray(value.array), name)
    writer.nodes.extend(nodes)
