"""A quantizer meets a value: constants become integers, the host's tensor the graph's Input, activations staircases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.joint import joint_staircase
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.staircase import staircase
from lutwright.frontend.onnx_import.state import Entry, Import, Refused
from lutwright.frontend.onnx_import.values import Constant, Host, Pending, Quantized, Raw, Unknown, Value, fits, pending


def quantize(state: Import, node: onnx.NodeProto, value: Value, quantizer: Quantizer) -> Value:
    """The value after the quantizer. After operators of the host's it is the host's work too."""
    if isinstance(value, Host):
        return _on_host(state, node, value, quantizer)
    assert isinstance(value, (Constant, Raw, Quantized, Pending))
    for item in (*quantizer.parameters, quantizer.scale, quantizer.offset):
        if not fits(item.shape, value.shape) and not (isinstance(value, Constant) and item.size == 1):
            raise Refused(
                f"its parameter of shape {item.shape} does not fit its input of shape {value.shape}",
                "Give it one scale, zero point and threshold for all, or one a channel",
            )
    if isinstance(value, Constant):
        if np.isnan(value.array).any():
            raise Refused(
                "it quantizes constants that are not numbers",
                "Look for NaN, infinity or 0 in the trained parameters, and export the model again",
            )
        with np.errstate(over="ignore"):
            q = quantizer.levels(value.array, *quantizer.parameters)
        real = np.asarray(quantizer.scale * q + quantizer.offset).astype(quantizer.dtype)
        return Constant(real, quantizer.lattice(q))
    if isinstance(value, Raw):
        return _entry(state, node, value, quantizer)
    value = pending(value)
    resolve = staircase if len(value.sources) == 1 else joint_staircase
    result = resolve(state, node.name, value, quantizer.levels, quantizer.parameters)
    return replace(result, scale=quantizer.scale, offset=quantizer.offset, dtype=quantizer.dtype)


def _on_host(state: Import, node: onnx.NodeProto, value: Host, quantizer: Quantizer) -> Host | Unknown:
    shape = value.zeros.shape if value.zeros is not None else ()
    parameters = (*quantizer.parameters, quantizer.scale, quantizer.offset)
    if value.zeros is None or not all(fits(item.shape, shape) or item.size == 1 for item in parameters):
        if value.refusal not in state.refusals:
            state.refusals.append(value.refusal)
        return Unknown()
    state.on_host[node.output[0]] = quantizer
    return Host(value.refusal, value.zeros.astype(quantizer.dtype))


def _entry(state: Import, node: onnx.NodeProto, value: Raw, quantizer: Quantizer) -> Quantized:
    """The graph's Input: one quantizer on the host's tensors."""
    if state.entry is not None:
        if _same(state.entry, node, quantizer):
            return state.entry.value
        raise Refused(
            f"the unquantized input is quantized a second time (first at '{state.entry.tensor}')",
            "Quantize the input once, or name its grid with --input",
        )
    batched = state.batched(value.shape)
    shape = value.shape[1:] if batched else value.shape
    entry = state.add(ir.Input(state.name("input"), (), ir.Type(shape, quantizer.lo, quantizer.hi)))
    result = Quantized(entry, value.shape, batched, quantizer.scale, quantizer.offset, quantizer.dtype)
    state.entry = Entry(node.input[0], quantizer, result, node)
    return result


def _same(entry: Entry, node: onnx.NodeProto, quantizer: Quantizer) -> bool:
    """Whether the node quantizes the same tensor in the same way once more."""
    first, old = entry.node, entry.quantizer
    return (
        first is not None
        and (first.input[0], first.op_type, first.domain) == (node.input[0], node.op_type, node.domain)
        and list(first.attribute) == list(node.attribute)
        and (old.lo, old.hi, old.dtype) == (quantizer.lo, quantizer.hi, quantizer.dtype)
        and all(map(np.array_equal, (*old.parameters, old.scale), (*quantizer.parameters, quantizer.scale)))
    )
