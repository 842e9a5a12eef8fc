"""MatMul and Gemm of an activation with a quantized constant: a Dense node and a new scale and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import ir, nodes
from lutwright.frontend.onnx_import.constants import LARGEST, common_step, on_grid
from lutwright.frontend.onnx_import.elementwise import affine
from lutwright.frontend.onnx_import.staircase import staircase, values_on_interval
from lutwright.frontend.onnx_import.state import Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Anything,
    Constant,
    Lattice,
    Pending,
    Quantized,
    Raw,
    Real,
    Value,
    aligned,
    fits,
    reduced,
    varies,
)

MOST_LEVELS = 2**16  # values of an activation that gets a grid of its own
QUANTIZE = "Quantize its activations just before it"
FROM_INPUT = "Name the grid of the model's input with --input, for example --input int8 or --input 'fixed<16,6>'"


@operator("MatMul", integer=True)
def matmul(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    left, right = inputs
    if isinstance(right, Constant):
        x = integers(state, node, left)
        if len(right.shape) == 1:
            result = dense(state, node, x, _matrix(_column(right)))
            return [state.reshape(result, result.shape[:-1], f"{node.name}_reshape")]
        return [dense(state, node, x, _matrix(right))]
    if isinstance(left, Constant):
        x = integers(state, node, right)
        if len(x.shape) == 1:
            return [dense(state, node, x, _transposed(_matrix(left)))]
        swap = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        turned = state.transpose(x, swap, f"{node.name}_transpose")
        assert isinstance(turned, Quantized)
        result = dense(state, node, turned, _transposed(_matrix(left)))
        return [state.transpose(result, swap, f"{node.name}_transpose")]
    raise Refused("both its operands are activations, which is not supported yet", "Multiply by a quantized constant")


@operator("Gemm", integer=True)
def gemm(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """alpha * A @ B' + beta * C, rounded once, beta * C rounded before: as onnxruntime does where sums are exact."""
    a, b, *rest = inputs
    if not isinstance(b, Constant):
        raise Refused("its second operand is no constant, which is not supported yet", "Use a quantized constant as B")
    if attribute(node, "transA", 0):
        raise Refused("it transposes its activations (transA), so that the batch would be last", "Use transA=0")
    weight = _transposed(_matrix(b)) if attribute(node, "transB", 0) else _matrix(b)
    result = dense(state, node, integers(state, node, a), weight, attribute(node, "alpha", 1.0))
    if not rest or rest[0] is None:
        return [result]
    c = constant(rest[0], "bias")
    bias = np.asarray(c * c.dtype.type(attribute(node, "beta", 1.0))).astype(np.float64)
    if not fits(bias.shape, result.shape) or not np.isfinite(bias).all():
        raise Refused(f"its bias of shape {bias.shape} must be finite and fit {result.shape}", "Export the model again")
    return [replace(result, offset=reduced(aligned(result.offset, len(result.shape)) + bias))]


def integers(state: Import, node: onnx.NodeProto, value: Value | None) -> Quantized:
    """The value as integers with a scale: as it is, by folding an affine chain, or by a staircase on its own grid."""
    if isinstance(value, Raw):
        raise Refused("its activations come from a model input that the graph does not quantize", FROM_INPUT)
    if isinstance(value, Quantized):
        return value
    assert isinstance(value, Pending)
    folded = affine(value.source, value.expression)
    if folded is not None:
        source = value.source
        scale, offset = (reduced(aligned(part, len(source.shape))) for part in folded)
        return Quantized(source.node, source.shape, source.batched, scale, offset, source.dtype)
    return _own_grid(state, node, value)


def _own_grid(state: Import, node: onnx.NodeProto, value: Pending) -> Quantized:
    """What the chain's values are exact multiples of: relu of a quantized tensor keeps the tensor's own scale."""
    source = value.source
    reals = values_on_interval(state, value, MOST_LEVELS)
    if not np.isfinite(reals).all():
        raise Refused("the function before it gives infinite values", QUANTIZE)
    step = float(np.abs(source.scale.flat[0]))
    if step == 0 or (np.asarray(np.round(reals / step) * step).astype(source.dtype) != reals).any():
        grid = on_grid(reals)
        if grid is None:
            raise Refused("the function before it gives values that are no small integers times a scale", QUANTIZE)
        step = grid[0]

    def levels(real: Anything) -> ir.Array:
        return np.asarray(np.round(real.astype(np.float64) / step)).astype(np.int64)

    result = staircase(state, f"{node.name}_input", value, levels, ())
    return replace(result, scale=np.asarray(step), offset=np.asarray(0.0))


def dense(state: Import, node: onnx.NodeProto, x: Quantized, weight: Lattice, alpha: float = 1.0) -> Quantized:
    """x @ weight, weight [K, N]: real = scale * (Dense of the integers) + offset."""
    rank, (inner, outer) = len(x.shape), weight.q.shape
    if not x.shape or x.shape[-1] != inner:
        raise Refused(f"it multiplies {x.shape} by {weight.q.shape}", "Make the inner sizes equal")
    if x.batched and rank == 1:
        raise Refused("it would sum over the batch", "Keep the batch as axis 0")
    x_scale, x_offset = (aligned(part, rank) for part in (x.scale, x.offset))
    if varies(x_scale, rank - 1) or varies(weight.scale, 0):
        if any(varies(x_scale, axis) for axis in range(rank - 1)):
            raise Refused(
                "the scales of its activations differ along several axes", "Use one scale for all activations"
            )
        scale, q = _folded(np.broadcast_to(x_scale.ravel(), (inner,)), weight)
    else:
        scale, q = np.asarray(x_scale[..., :1] * weight.scale[0]), weight.q
    if x_offset.shape[-1] == 1:
        offset = np.asarray(x_offset * (weight.scale * weight.q).sum(axis=0))
        if not varies(weight.scale, 0):
            offset = np.asarray(x_offset * weight.scale[0] * weight.q.sum(axis=0))
    else:
        offset = np.asarray(x_offset @ (weight.scale * weight.q))
    result = state.add(nodes.Dense.of(state.name(node.name or node.op_type), x.node, np.ascontiguousarray(q.T)))
    shape = (*x.shape[:-1], outer)
    return Quantized(result, shape, x.batched, reduced(alpha * scale), reduced(alpha * offset), weight.dtype)


def _folded(x_scale: Real, weight: Lattice) -> tuple[Real, ir.Array]:
    """Scales that differ along the inner axis become integer factors of the weights, where they are exact multiples."""
    scales = x_scale[:, np.newaxis] * weight.scale
    steps = np.empty(scales.shape[1])
    q = np.empty_like(weight.q)
    for column in range(scales.shape[1]):
        steps[column], factors = common_step(scales[:, column])
        product = factors * weight.q[:, column]
        if np.abs(product).max() > LARGEST:
            raise Refused(
                "its inputs or weights have different scales along the axis that it sums over",
                "Quantize them with one scale, or with scales that are powers of two",
            )
        q[:, column] = product.astype(np.int64)
    return steps, q


def _matrix(value: Constant) -> Lattice:
    """The constant as integers times a scale, [K, N]."""
    if len(value.shape) != 2:
        raise Refused(f"its weights have the shape {value.shape}, which is not supported yet", "Use a weight matrix")
    if not np.isfinite(value.array).all():
        raise Refused("its weights hold NaN or infinity", "Check the training and the export")
    if value.lattice is not None:
        return value.lattice
    array = value.array.astype(np.float64)
    if (array == np.round(array)).all():
        return Lattice(array.astype(np.int64), np.ones(array.shape), value.array.dtype)
    q, scale = np.empty(array.shape, np.int64), np.empty(array.shape)
    for column in range(array.shape[1]):
        grid = on_grid(array[:, column])
        if grid is None:
            raise Refused("its weights are not quantized", "Quantize the weights, or export with weight quantizers")
        scale[:, column], q[:, column] = grid
    return Lattice(q, scale, value.array.dtype)


def _column(value: Constant) -> Constant:
    lattice = value.lattice
    if lattice is not None:
        lattice = replace(lattice, q=lattice.q.reshape(-1, 1), scale=lattice.scale.reshape(-1, 1))
    return Constant(value.array.reshape(-1, 1), lattice)


def _transposed(weight: Lattice) -> Lattice:
    return replace(weight, q=weight.q.T, scale=weight.scale.T)
