"""The host's share: what stands before the first integers (pre) and after the last integer node (post), as ONNX.

The user's own nodes are copied as they are, so that onnxruntime computes what it computes in the reference;
constants are folded, quantizers written in plain operators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from lutwright.errors import ModelError
from lutwright.frontend import nodes
from lutwright.frontend.ends import Ends
from lutwright.frontend.onnx_import.interpreter import LAYERS, QUANTIZERS
from lutwright.frontend.onnx_import.qdq import codes_of
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.source import Source
from lutwright.frontend.onnx_import.state import MICROSOFT, OPERATORS, Entry, Import, attribute, zeros_like
from lutwright.frontend.onnx_import.values import (
    Anything,
    Apply,
    Constant,
    Expression,
    Host,
    Pending,
    Quantized,
    Raw,
    Variable,
    pending,
    reduced,
)
from lutwright.frontend.onnx_import.weights import EIGHT_BITS
from lutwright.frontend.onnx_import.writer import Writer

INTEGERS = "lutwright_integers"  # the name of the integers in both models


def pre(
    source: Source, state: Import, entry: Entry, axes: Sequence[int]
) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """From the user's input to the hardware's integers (int64), and the ONNX nodes in it.

    `axes` permutes a sample's integers at the end; () for none.
    """
    part = _between(source, state, [entry.tensor], [source.input])
    assert part is not None
    writer = Writer(source.opset)
    _copy(writer, source, state, *part)
    value = state.values[entry.tensor]
    dtype = value.dtype if isinstance(value, (Raw, Quantized)) else source.dtype
    integers = entry.quantizer.emit(writer, entry.tensor, dtype)
    if axes:
        writer.op("Transpose", integers, output=INTEGERS, perm=_permutation(axes, entry.value.batched))
    else:
        writer.op("Identity", integers, output=INTEGERS)
    shape = source.shape(state.batch)
    given = helper.make_tensor_value_info(source.input, helper.np_dtype_to_tensor_dtype(source.dtype), shape)
    quantizer = [node for node in source.nodes if node is entry.node]
    return writer.model([given], [INTEGERS], "pre"), part[0] + quantizer


def post(
    source: Source, state: Import, cuts: Sequence[str], sources: Sequence[Quantized], ends: Ends
) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """From the hardware's integers (as float64) to the user's outputs, and the ONNX nodes in it.

    The integers are those of the one source, or of all sources one after the other, as `joined` gives them, before the
    moves that `ends` leaves to the host.
    """
    part = _between(source, state, source.outputs, cuts)
    assert part is not None
    writer, reals, chain = Writer(source.opset), list[str](), list[onnx.NodeProto]()
    batched = sources[0].batched
    lead = sources[0].shape[:1] if batched else ()
    ordered = INTEGERS
    for step in ends.output:
        if step.kind is nodes.Reshape:
            ordered = writer.op("Reshape", ordered, writer.constant(np.array((*lead, *step.numbers), np.int64)))
        else:
            ordered = writer.op("Transpose", ordered, perm=_permutation(step.numbers, batched))
    start = 0
    for item in sources:
        integers, size = ordered, item.node.type.size
        if len(sources) > 1:
            places = writer.constant(np.arange(start, start + size))
            integers = writer.op("Gather", ordered, places, axis=len(lead))
            integers = writer.op("Reshape", integers, writer.constant(np.array(item.shape, np.int64)))
        start += size
        scaled = writer.op("Mul", integers, writer.constant(item.scale))
        reals.append(writer.cast(writer.op("Add", scaled, writer.constant(item.offset)), item.dtype))
    for tensor in cuts:
        value = hardware_value(state, tensor)
        assert value is not None
        of_value = [reals[next(i for i, other in enumerate(sources) if other is item)] for item in value.sources]
        chain += _write(writer, value.expression, of_value, tensor)
    _copy(writer, source, state, *part)
    given = helper.make_tensor_value_info(INTEGERS, onnx.TensorProto.DOUBLE, (*lead, *ends.shape))
    return writer.model([given], source.outputs, "post"), chain + part[0]


def _permutation(axes: Sequence[int], batched: bool) -> list[int]:
    return [0, *(axis + 1 for axis in axes)] if batched else list(axes)


def hardware_value(state: Import, tensor: str) -> Pending | None:
    """The tensor as a function of integers, if it is one."""
    value = state.values[tensor]
    return pending(value) if isinstance(value, (Quantized, Pending)) else None


def hardware_outputs(source: Source, state: Import) -> list[str] | None:
    """The tensors on integers from which all outputs follow without another layer or quantizer; None if there are none.

    The latest one that suffices, if one does; else those that are met first on the way back from the outputs.
    """
    tensors = [source.input] + [name for node in source.nodes for name in node.output if name]
    for tensor in reversed(tensors):
        value = hardware_value(state, tensor)
        if value is not None and len(value.sources) == 1 and _suffice(source, state, [tensor]):
            return [tensor]
    makers = {name: node for node in source.nodes for name in node.output if name}
    met, stack = set[str](), list(source.outputs)
    while stack:
        tensor = stack.pop()
        if tensor in met or isinstance(state.values[tensor], Constant):
            continue
        if hardware_value(state, tensor) is not None:
            met.add(tensor)
        elif tensor in makers:
            stack.extend(name for name in makers[tensor].input if name)
    cuts = [tensor for tensor in tensors if tensor in met]
    return cuts if cuts and _suffice(source, state, cuts) else None


def joined(state: Import, sources: Sequence[Quantized]) -> Quantized:
    """The sources, flattened, one after the other."""
    flat, batch = list[Quantized](), (state.batch,) if state.batch else ()
    for item in sources:
        if state.batch and not item.batched:
            raise ModelError("outputs with and without a batch axis cannot be given together. Keep one of them")
        flat.append(state.reshape(item, (*batch, item.node.type.size), "output_flat"))
    node = state.add(nodes.Concat.of(state.name("outputs"), tuple(item.node for item in flat), 0))
    axis, shape = len(batch), (*batch, node.type.size)
    scale, offset = (
        np.concatenate([np.broadcast_to(array, item.shape) for array, item in pairs], axis=axis)
        for pairs in ([(item.scale, item) for item in flat], [(item.offset, item) for item in flat])
    )
    return Quantized(node, shape, bool(state.batch), reduced(scale), reduced(offset), np.dtype(np.float64))


def _suffice(source: Source, state: Import, tensors: Sequence[str]) -> bool:
    part = _between(source, state, source.outputs, tensors)
    return part is not None and not any(_integer(state, node) for node in part[0])


def _write(writer: Writer, expression: Expression, reals: Sequence[str], output: str) -> list[onnx.NodeProto]:
    """The expression as nodes, from the tensors `reals` to the tensor `output`."""
    memo: dict[int, str] = {}
    operators: list[onnx.NodeProto] = []

    def visit(item: Variable | Apply | Anything | None) -> str:
        if item is None:
            return ""
        if isinstance(item, Variable):
            return reals[item.index]
        if not isinstance(item, Apply):
            return writer.constant(item)
        if id(item) not in memo:
            node = onnx.NodeProto()
            node.CopyFrom(item.operator)
            del node.input[:], node.output[:]
            node.ClearField("name")  # names must be unique, and one ONNX node may have become two
            node.input.extend(visit(argument) for argument in item.arguments)
            memo[id(item)] = writer.fresh()
            node.output.append(memo[id(item)])
            writer.nodes.append(node)
            operators.append(item.operator)
        return memo[id(item)]

    writer.op("Identity", visit(expression), output=output)
    return operators


def _integer(state: Import, node: onnx.NodeProto) -> bool:
    """Whether the node is the hardware's work. What follows an operator of the host's is not."""
    if isinstance(state.values[node.output[0]], Host):
        return False
    operator = OPERATORS.get((node.domain, node.op_type))
    return node.op_type in LAYERS or (operator is not None and operator.integer)


def _between(
    source: Source, state: Import, ends: Sequence[str], starts: Sequence[str]
) -> tuple[list[onnx.NodeProto], list[str]] | None:
    """The nodes from `starts` to `ends` and the constants they use; None if something else is needed too."""
    makers = {name: node for node in source.nodes for name in node.output if name}
    wanted, constants, nodes, stack = set[str](), list[str](), set[str](), list(ends)
    while stack:
        tensor = stack.pop()
        if tensor in wanted or tensor in starts:
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


def _copy(
    writer: Writer, source: Source, state: Import, nodes: Sequence[onnx.NodeProto], constants: Sequence[str]
) -> None:
    for name in constants:
        value = state.values[name]
        assert isinstance(value, Constant)
        writer.constant(np.asarray(value.array), name)
    fused = _fused_softmax(source, state, nodes)
    for node in nodes:
        quantizer = state.on_host.get(node.output[0])
        if quantizer is not None:
            _requantize(writer, quantizer, zeros_like(state, state.values[node.input[0]]), node)
        elif node.output[0] in fused:
            _write_softmax(writer, state, fused[node.output[0]], node)
        else:
            writer.nodes.append(_of_its_domain(node, writer.opset))


def _fused_softmax(source: Source, state: Import, nodes: Sequence[onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    """Each Softmax of 8-bit codes that executors fuse with the quantizer after it, by the quantizer's output."""
    readers = Counter([name for node in source.nodes for name in node.input] + list(source.outputs))
    made, found = {node.output[0]: node for node in nodes if node.op_type == "Softmax"}, dict[str, onnx.NodeProto]()
    for node in nodes:
        softmax = made.get(node.input[0])
        if softmax is None or node.op_type != "QuantizeLinear" or readers[node.input[0]] > 1 or len(node.input) < 3:
            continue
        x, scale, zero = (state.values[name] for name in (softmax.input[0], *node.input[1:3]))
        assert isinstance(scale, Constant) and isinstance(zero, Constant)
        plain = isinstance(x, Quantized) and x.codes in EIGHT_BITS and x.scale.size == x.offset.size == scale.array.size
        if plain and scale.array.size == 1 and isinstance(x, Quantized) and x.codes == zero.array.dtype:
            found[node.output[0]] = softmax
    return found


def _write_softmax(writer: Writer, state: Import, softmax: onnx.NodeProto, quantizer: onnx.NodeProto) -> None:
    x = state.values[softmax.input[0]]
    assert isinstance(x, Quantized)
    grid = codes_of(x)
    given = [writer.constant(part) for part in (grid.scale, grid.zero.astype(grid.dtype))]
    q = writer.op("QuantizeLinear", softmax.input[0], *given)
    axis = attribute(softmax, "axis", -1 if state.opset >= 13 else 1)
    settings = {"domain": MICROSOFT, "axis": axis, "opset": state.opset}
    writer.op("QLinearSoftmax", q, *given, *quantizer.input[1:3], output=quantizer.output[0], **settings)


def _of_its_domain(node: onnx.NodeProto, opset: int) -> onnx.NodeProto:
    """Before opset 21 only com.microsoft's quantizers have 16 and 4 bits; `source` reads them as ONNX's own."""
    if node.op_type not in QUANTIZERS or opset >= 21:
        return node
    twin = onnx.NodeProto()
    twin.CopyFrom(node)
    twin.domain = MICROSOFT
    return twin


def _requantize(writer: Writer, quantizer: Quantizer, like: Anything | None, node: onnx.NodeProto) -> None:
    """A quantizer as the integers that it gives, and back to reals."""
    assert like is not None
    q = writer.cast(quantizer.emit(writer, node.input[0], like.dtype), np.dtype(np.float64))
    scaled = writer.op("Mul", q, writer.constant(quantizer.scale))
    real = writer.op("Add", scaled, writer.constant(quantizer.offset))
    writer.cast(real, quantizer.dtype, node.output[0])
