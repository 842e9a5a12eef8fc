"""MatMul and Gemm: a Dense node (or a MatMul of two activations) and a new scale and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import nodes
from lutwright.frontend.onnx_import.fused import quantize_bias
from lutwright.frontend.onnx_import.joint import centred
from lutwright.frontend.onnx_import.state import Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Constant,
    Lattice,
    Product,
    Quantized,
    Real,
    Value,
    aligned,
    fits,
    reduced,
    varies,
)
from lutwright.frontend.onnx_import.weights import Weights, integers, lattice_of, product_of


@operator("MatMul", integer=True)
def matmul(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    left, right = inputs
    if isinstance(right, Constant):
        x = integers(state, node, left)
        if len(right.shape) == 1:
            result = dense(state, node, x, lattice_of(_column(right)))
            return [state.reshape(result, result.shape[:-1], f"{node.name}_reshape")]
        weight = _matrix(right)
        convolved = state.columns.get(x.node.name)
        if convolved is not None and len(x.shape) == 4 and x.shape[3] == len(weight.q):
            return [convolved(node, weight)]
        return [_of_rank(state, node, dense(state, node, x, weight), len(right.shape) - int(len(x.shape) == 1))]
    if isinstance(left, Constant):
        x = integers(state, node, right)
        if len(x.shape) == 1:
            return [_of_rank(state, node, dense(state, node, x, transposed(_matrix(left))), len(left.shape) - 1)]
        swap = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        turned = state.transpose(x, swap, f"{node.name}_transpose")
        result = dense(state, node, turned, transposed(_matrix(left)))
        if len(left.shape) == 1:
            return [state.reshape(result, result.shape[:-1], f"{node.name}_reshape")]
        result = state.transpose(result, swap, f"{node.name}_transpose")
        return [_of_rank(state, node, result, len(left.shape))]
    return [_of_activations(state, node, integers(state, node, left), integers(state, node, right))]


@operator("Gemm", integer=True)
def gemm(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """alpha * A @ B' + beta * C, rounded once, beta * C rounded before: as onnxruntime does where sums are exact."""
    a, b, *rest = inputs
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    if isinstance(b, Constant):
        x = integers(state, node, a)
        x = state.transpose(x, [1, 0], f"{node.name}_transpose") if attribute(node, "transA", 0) else x
        weight = transposed(lattice_of(b)) if attribute(node, "transB", 0) else lattice_of(b)
        result = dense(state, node, x, weight, alpha)
    elif isinstance(a, Constant):
        turned = onnx.helper.make_node("Gemm", ["b", "a"], ["y"], name=node.name, alpha=alpha)
        turned.attribute.append(onnx.helper.make_attribute("transA", int(not attribute(node, "transB", 0))))
        turned.attribute.append(onnx.helper.make_attribute("transB", int(not attribute(node, "transA", 0))))
        (product,) = gemm(state, turned, [b, a])
        assert isinstance(product, Quantized)
        result = state.transpose(product, [1, 0], f"{node.name}_transpose")
    else:
        left, right = integers(state, node, a), integers(state, node, b)
        left = state.transpose(left, [1, 0], f"{node.name}_a") if attribute(node, "transA", 0) else left
        right = state.transpose(right, [1, 0], f"{node.name}_b") if attribute(node, "transB", 0) else right
        result = _of_activations(state, node, left, right)
        result = replace(result, scale=np.asarray(result.scale * alpha))
    if not rest or rest[0] is None:
        return [result]
    summed = biased(result, rest[0], beta)
    if isinstance(b, Constant) and result.product is not None and beta == 1:
        note_rounded(state, result, summed, rest[0], result.product.x_scale, result.product.w_scale)
    return [summed]


def note_rounded(state: Import, sums: Quantized, biased: Quantized, bias: Value, x_scale: Real, w_scale: Real) -> None:
    """A float bias as it is where executors round it to the grid of the sums of products of codes."""
    if isinstance(bias, Constant) and bias.lattice is None:
        step = np.asarray(x_scale, np.float32) * np.asarray(w_scale, np.float32)
        real = (quantize_bias(bias.array, x_scale, w_scale) * step).astype(np.float32).astype(np.float64)
        state.rounded[biased.node.name] = biased.offset, reduced(aligned(sums.offset, len(sums.shape)) + real)


def biased(result: Quantized, bias: Value, beta: float = 1.0) -> Quantized:
    """The sums plus beta * bias: that of a dequantized product goes into the node, any other into the offset."""
    c = constant(bias, "bias")
    if not fits(c.shape, result.shape) or not np.isfinite(c).all():
        raise Refused(f"its bias of shape {c.shape} must be finite and fit {result.shape}", "Export the model again")
    real = np.asarray(c * c.dtype.type(beta)).astype(np.float64)
    offset = reduced(aligned(result.offset, len(result.shape)) + real)
    return replace(result, offset=offset, product=with_bias(result.product, bias) if beta == 1 else None)


def with_bias(product: Product | None, bias: Value | None) -> Product | None:
    """As fused operators add it: an int32 bias as it is, a float one rounded to the accumulator's grid."""
    if product is None or not isinstance(bias, Constant):
        return product
    integer = bias.lattice is not None and bias.lattice.codes == np.int32
    if bias.lattice is not None and integer:
        added = bias.lattice.q
    else:
        added = quantize_bias(bias.array, product.x_scale, product.w_scale)
    return replace(product, bias=product.bias + added)


def dense(state: Import, node: onnx.NodeProto, x: Quantized, weight: Lattice, alpha: float = 1.0) -> Quantized:
    """x @ weight, weight [K, N]: real = scale * (Dense of the integers) + offset."""
    rank, (inner, outer) = len(x.shape), weight.q.shape
    if not x.shape or x.shape[-1] != inner:
        raise Refused(
            f"it multiplies {x.shape} by {weight.q.shape}", "Transpose one of them, or export the model again"
        )
    if x.batched and rank == 1:
        raise Refused(
            "it would sum over the batch", "Keep axis 0 for the batch, and use the operator on other axes only"
        )
    name, shape = state.name(node.name or node.op_type), (*x.shape[:-1], outer)
    product = product_of(x, weight.codes, np.asarray(weight.scale[0])) if alpha == 1 else None
    if product is not None and not varies(weight.scale, 0):
        zero = round(float(-x.offset.flat[0] / x.scale.flat[0]))
        result = state.add(nodes.Dense.of(name, x.node, np.ascontiguousarray(weight.q.T), -zero * weight.q.sum(axis=0)))
        scale = reduced(np.asarray(x.scale.flat[0] * weight.scale[0]))
        return Quantized(result, shape, x.batched, scale, np.zeros(()), weight.dtype, product=product)
    x_scale, x_offset = (aligned(part, rank) for part in (x.scale, x.offset))
    if any(varies(x_scale, axis) for axis in range(rank - 1)):
        raise Refused("the scales of its activations differ along several axes", "Use one scale for all activations")
    along = np.broadcast_to(x_scale[(0,) * (rank - 1)], (inner,))
    weights = Weights.of(weight.q.T, weight.scale.T, along)
    result = state.add(nodes.Dense.of(name, x.node, weights.q))
    offset = np.broadcast_to(x_offset, (*x_offset.shape[:-1], inner)) @ weights.real.T
    scale = np.asarray(alpha * weights.step)
    return Quantized(result, shape, x.batched, reduced(scale), reduced(np.asarray(alpha * offset)), weight.dtype)


def _of_activations(state: Import, node: onnx.NodeProto, left: Quantized, right: Quantized) -> Quantized:
    """The matrix product of two activations: their offsets go first, by shifting the integers."""
    rank = max(len(left.shape), len(right.shape))
    if min(len(left.shape), len(right.shape)) < 2 or left.shape[-1] != right.shape[-2]:
        raise Refused(
            f"it multiplies activations of shapes {left.shape} and {right.shape}",
            "Transpose one of them, or export the model again",
        )
    if any(part.scale.size > 1 for part in (left, right)):
        raise Refused("it multiplies activations with more than one scale", "Quantize its activations per tensor")
    both_batched = left.batched and right.batched and len(left.shape) == len(right.shape)
    if not both_batched or rank < 3:
        raise Refused(
            "it multiplies two activations over the batch axis",
            "Keep axis 0 of both for the batch, and multiply matrices behind it",
        )
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a = state.broadcast(centred(state, node.name, left), (*lead, *left.shape[-2:]), f"{node.name}_a")
    b = state.broadcast(centred(state, node.name, right), (*lead, *right.shape[-2:]), f"{node.name}_b")
    result = state.add(nodes.MatMul.of(state.name(node.name), a.node, b.node))
    product = product_of(left, right.codes, right.scale)
    scale = np.asarray(a.scale * b.scale)
    shape = (*lead, left.shape[-2], right.shape[-1])
    return Quantized(result, shape, True, scale, np.zeros(()), left.dtype, product=product)


def _of_rank(state: Import, node: onnx.NodeProto, result: Quantized, rank: int) -> Quantized:
    """The product with the leading axes of size 1 that its weights have."""
    return state.reshape(result, (1,) * (rank - len(result.shape)) + result.shape, f"{node.name}_axes")


def _matrix(value: Constant) -> Lattice:
    """The constant as [K, N]; leading axes of size 1 go."""
    squeezed = tuple(size for size in value.shape[:-2] if size != 1) + value.shape[-2:]
    if len(squeezed) == 1:
        squeezed = (1, *squeezed)
    if len(squeezed) != 2:
        raise Refused(
            f"its weights have the shape {value.shape}: a matrix for each index of the leading axes",
            "Use one weight matrix, or split the layer",
        )
    return reshaped(lattice_of(value), squeezed)


def _column(value: Constant) -> Constant:
    lattice = value.lattice
    return Constant(value.array.reshape(-1, 1), reshaped(lattice, (-1, 1)) if lattice is not None else None)


def reshaped(lattice: Lattice, shape: tuple[int, ...]) -> Lattice:
    return replace(lattice, q=lattice.q.reshape(shape), scale=lattice.scale.reshape(shape))


def transposed(weight: Lattice) -> Lattice:
    if weight.q.ndim != 2:
        raise Refused(f"its weights have the shape {weight.q.shape}", "Use a weight matrix")
    return replace(weight, q=weight.q.T, scale=weight.scale.T)
