"""The walk: every ONNX node once, in topological order, from abstract inputs to abstract outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from lutwright.errors import GraphError, Refusal
from lutwright.frontend import ir
from lutwright.frontend.grid import Grid
from lutwright.frontend.onnx_import import (
    convolution,
    elementwise,
    im2col,
    linear,
    pooling,
    qdq,
    qonnx,
    qonnx_layers,
    qoperator,
    requantshift,
    selection,
    structural,
    truncation,
    unsupported,
    wellformed,
)
from lutwright.frontend.onnx_import.constants import fold, shape_of_raw
from lutwright.frontend.onnx_import.source import Source
from lutwright.frontend.onnx_import.state import FROM_INPUT, OPERATORS, Entry, Import, Refused, on_host
from lutwright.frontend.onnx_import.values import Constant, Host, Pending, Quantized, Raw, Unknown, Value

# Importing them fills OPERATORS.
REGISTERED = (
    *(convolution, elementwise, im2col, linear, pooling, qdq, qonnx, qonnx_layers, qoperator, requantshift),
    *(selection, structural, truncation),
)
QUANTIZERS = {"QuantizeLinear", "DequantizeLinear"}  # which the host can run after operators of its own
LAYERS = {  # no host's work: refused where they are not supported, even if only outputs follow
    *("Conv", "ConvTranspose", "ConvInteger", "MatMulInteger", "Einsum", "LSTM", "GRU", "RNN", "Attention"),
    *("QLinearConv", "QLinearMatMul", "DeformConv", "If", "Loop", "Scan"),
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
}


def interpret(source: Source, batch: int, grid: Grid | None) -> Import:
    """Walks the graph with the batch axis of that size, or without one (0)."""
    state = Import(source.opset, batch, grid=grid, versions=source.versions)
    state.values |= {name: Constant(array) for name, array in source.constants.items()}
    shape = source.shape(batch)
    if grid is None:
        state.values[source.input] = Raw(shape, source.dtype)
    else:
        sample = shape[1:] if state.batched(shape) else shape
        entry = state.add(ir.Input(state.name("input"), (), ir.Type(sample, grid.lo, grid.hi)))
        scale, offset = np.asarray(grid.scale), np.asarray(grid.offset)
        value = Quantized(entry, shape, state.batched(shape), scale, offset, source.dtype)
        state.entry = Entry(source.input, grid.quantizer(), value, None)
        state.values[source.input] = value
    for node in source.nodes:
        inputs = [state.values[name] if name else None for name in node.input]
        try:
            results = [*_results(state, node, inputs)]
        except Refused as refused:
            state.refusals.append(Refusal(node.name, node.op_type, refused.reason, refused.fix))
            results = [Unknown()] * len(node.output)
        except GraphError as error:  # the IR's own rules, broken by what the node asks for
            state.refusals.append(Refusal(node.name, node.op_type, str(error), wellformed.EXPORT_AGAIN))
            results = [Unknown()] * len(node.output)
        further = Refusal(node.name, node.op_type, "only its first output is supported", "Let only outputs follow it")
        results += [Host(further)] * (len(node.output) - len(results))
        state.values |= {name: value for name, value in zip(node.output, results, strict=False) if name}
    return state


def _results(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    operator = OPERATORS.get((node.domain, node.op_type))
    standard, present = node.domain == "", [value for value in inputs if value is not None]
    if operator is None and (not standard or not onnx.defs.has(node.op_type) or node.op_type in LAYERS):
        raise unsupported.refused(node)
    if operator is not None and operator.arity:
        _check_arity(len(inputs), len(present), *operator.arity)
    elif standard:
        wellformed.check(node, state.opset, inputs)
    if any(isinstance(value, Unknown) for value in present):
        return [Unknown()] * len(node.output)
    hosts = [value for value in present if isinstance(value, Host)]
    if hosts:
        if operator is None or not operator.integer or (standard and node.op_type in QUANTIZERS):
            return on_host(state, node, inputs, hosts[0].refusal)
        if operator.hosted and isinstance(inputs[0], Host):
            return operator.handler(state, node, inputs)
        if hosts[0].refusal not in state.refusals:
            state.refusals.append(hosts[0].refusal)
        return [Unknown()] * len(node.output)
    if standard and all(isinstance(value, Constant) for value in present):
        return fold(state, node, [value for value in inputs if value is None or isinstance(value, Constant)])
    if any(isinstance(value, Raw) for value in present) and (operator is None or not operator.integer):
        if any(isinstance(value, (Quantized, Pending)) for value in present):
            raise Refused("it combines the unquantized input with integers", FROM_INPUT)
        of_shape = node.op_type in ("Shape", "Size")
        return structural.shape(state, node, inputs) if of_shape else shape_of_raw(state, node, inputs)
    if operator is None:
        return on_host(state, node, inputs, unsupported.between_layers(node))
    return operator.handler(state, node, inputs)


def _check_arity(count: int, present: int, low: int, high: int) -> None:
    if count > high or present < low:
        raise Refused(f"it must have {low} to {high} inputs, not {count}", "Export the model again")
