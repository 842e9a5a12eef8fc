"""Conv and ConvTranspose: a Conv node, channel last, and a new scale and offset. Any number of spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from lutwright.frontend import ir, nodes
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.geometry import window_of
from lutwright.frontend.onnx_import.joint import centred
from lutwright.frontend.onnx_import.linear import note_rounded, with_bias
from lutwright.frontend.onnx_import.state import Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Anything,
    Constant,
    Lattice,
    Product,
    Quantized,
    Real,
    Value,
    aligned,
    reduced,
    varies,
)
from lutwright.frontend.onnx_import.weights import Weights, integers, lattice_of, product_of


@operator("Conv", integer=True)
def conv(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, weight, *rest = inputs
    if not isinstance(weight, Constant):
        raise Refused("its weights are no constant", "Export the model with constant weights")
    lattice, groups = lattice_of(weight), attribute(node, "group", 1)
    source = integers(state, node, x)
    check_channels(source.shape, lattice.q.shape, groups, lattice.q.shape[1] * groups if lattice.q.ndim > 2 else 0)
    window = window_of(node, source.shape[2:], lattice.q.shape[2:])
    return [convolve(state, node, source, Kernel.of(lattice, groups), window, rest[0] if rest else None)]


@operator("ConvTranspose", integer=True)
def conv_transpose(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The input with zeros stuffed between its elements, convolved with the flipped kernel."""
    x, weight, *rest = inputs
    if not isinstance(weight, Constant):
        raise Refused("its weights are no constant", "Export the model with constant weights")
    lattice, groups = lattice_of(weight), attribute(node, "group", 1)
    source, shape = integers(state, node, x), lattice.q.shape  # [C, N / groups, *kernel]
    check_channels(source.shape, shape, groups, shape[0])
    rank = len(shape) - 2
    forward = window_of(node, source.shape[2:], shape[2:], transposed=True)
    extra = attribute(node, "output_padding", [0] * rank)

    def flipped(array: Anything) -> Anything:
        parts = array.reshape(groups, shape[0] // groups, *shape[1:]).swapaxes(1, 2)
        turned = parts.reshape(groups * shape[1], shape[0] // groups, *shape[2:])
        return np.flip(turned, axis=tuple(range(2, rank + 2)))

    reach = [dilation * (size - 1) for dilation, size in zip(forward.dilations, forward.kernel, strict=True)]
    pads = tuple(
        (size - before, size - after + more)
        for size, (before, after), more in zip(reach, forward.pads, extra, strict=True)
    )
    # Pads larger than the kernel's reach cut the result: they are taken off the stuffed input instead.
    stuffed = _stuffed(state, node, source, forward.strides)
    for axis, (before, after) in enumerate(pads, start=2):
        size = stuffed.shape[axis]
        kept = np.arange(max(0, -before), size - max(0, -after))
        stuffed = state.take(stuffed, axis, kept, f"{node.name}_cut")
    window = Window.of(forward.kernel, None, forward.dilations, tuple((max(0, b), max(0, a)) for b, a in pads))
    kernel = Kernel(flipped(lattice.q), flipped(lattice.scale), groups, lattice)
    return [convolve(state, node, stuffed, kernel, window, rest[0] if rest else None)]


def _stuffed(state: Import, node: onnx.NodeProto, source: Quantized, strides: Sequence[int]) -> Quantized:
    if all(stride == 1 for stride in strides):
        return source
    source, value = _zero(state, node, source)
    sizes = tuple((size - 1) * stride + 1 for size, stride in zip(source.shape[2:], strides, strict=True))
    all_strides = (1, *strides) if source.batched else (1, 1, *strides)
    stuffed = state.add(nodes.Stuff.of(state.name(f"{node.name}_stuffed"), source.node, all_strides, value))
    shape, offset = (*source.shape[:2], *sizes), source.offset
    if offset.any() and not value:  # no integer means 0: in between there is no offset
        spread = np.zeros((1, *shape[1:]))
        spread[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))] = offset
        offset = spread
    return replace(source, node=stuffed, shape=shape, offset=offset)


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights [N, C / groups, *kernel] as integers times scales."""

    q: Anything
    scale: Anything
    groups: int
    lattice: Lattice

    @classmethod
    def of(cls, lattice: Lattice, groups: int) -> Kernel:
        return cls(lattice.q, lattice.scale, groups, lattice)

    def rows(self, array: Anything) -> Anything:
        """An array like q as [N, *kernel, C / groups]."""
        return np.moveaxis(array, 1, -1)


def check_channels(x: tuple[int, ...], weight: tuple[int, ...], groups: int, channels: int) -> None:
    """Refused where a weight tensor and an activation cannot be convolved."""
    fits = len(x) == len(weight) >= 3 and groups >= 1 and x[1] == channels
    if not fits or weight[0] % groups or 0 in weight:
        raise Refused(
            f"its weights of shape {weight} with {groups} groups do not fit its input of shape {x}",
            "Check the model's weights",
        )


def convolve(
    state: Import, node: onnx.NodeProto, x: Quantized, kernel: Kernel, window: Window, bias: Value | None
) -> Quantized:
    """x [B, C, ...] convolved: real = scale * (Conv of the integers) + offset."""
    if not x.batched and state.batch:
        raise Refused(
            f"its input of shape {x.shape} has no batch axis",
            "Keep axis 0 for the batch, and use the operator on other axes only",
        )
    rows, rank = kernel.q.shape[0], len(x.shape)
    w_scale = kernel.scale.reshape(rows, -1)[:, 0]
    column = w_scale.reshape(rows, *(1,) * (rank - 2))
    uniform = bool((kernel.scale.reshape(rows, -1) == w_scale[:, np.newaxis]).all())
    product = product_of(x, kernel.lattice.codes, column) if uniform and node.op_type == "Conv" else None
    if product is not None:
        result = _fusible(state, node, x, kernel, window, product)
    else:
        padded, value = _zero(state, node, x) if window.padded else (x, 0)
        result = _real(state, node, padded, kernel, window, value)
    if bias is None:
        return result
    c = constant(bias, "bias")
    if c.shape != (rows,) or not np.isfinite(c).all():
        raise Refused(f"its bias of shape {c.shape} must be finite and have {rows} elements", "Export the model again")
    lattice = bias.lattice if isinstance(bias, Constant) else None
    lattice = lattice and replace(lattice, q=lattice.q.reshape(column.shape))
    term = Constant(c.reshape(column.shape), lattice)
    offset = reduced(aligned(result.offset, rank) + term.array.astype(np.float64))
    summed = replace(result, offset=offset, product=with_bias(result.product, term))
    if x.codes is not None and kernel.lattice.codes is not None and uniform and x.scale.size == 1:
        note_rounded(state, result, summed, term, x.scale, column)
    return summed


def _fusible(
    state: Import,
    node: onnx.NodeProto,
    x: Quantized,
    kernel: Kernel,
    window: Window,
    product: Product,
) -> Quantized:
    """Operands as DequantizeLinear gives them: the node's integers are the accumulator that executors have."""
    zero, rows = round(float(-x.offset.flat[0] / x.scale.flat[0])), kernel.q.shape[0]
    term = -zero * kernel.q.reshape(rows, -1).sum(axis=1)
    built = channels_last(state, node, x, lambda source: Conv.of(
        state.name(node.name), source, np.ascontiguousarray(kernel.rows(kernel.q)), term, window, kernel.groups, zero
    ))  # fmt: skip
    scale = reduced(x.scale.reshape(()) * product.w_scale.astype(np.float64))
    return replace(built, scale=scale, offset=np.zeros(()), dtype=kernel.lattice.dtype, codes=None, product=product)


def _real(
    state: Import, node: onnx.NodeProto, x: Quantized, kernel: Kernel, window: Window, pad_value: int
) -> Quantized:
    rows, rank, inner = kernel.q.shape[0], len(x.shape), kernel.q.shape[1]
    x_scale, x_offset = reduced(aligned(x.scale, rank)), reduced(aligned(x.offset, rank))
    if any(varies(x_scale, axis) for axis in range(rank) if axis != 1):
        raise Refused("the scales of its activations differ along a spatial axis", "Use one scale a channel")
    per_channel = np.broadcast_to(x_scale.reshape(-1), (x.shape[1],))
    of_group = np.repeat(per_channel.reshape(kernel.groups, inner), rows // kernel.groups, axis=0)  # [N, C / groups]
    spread = np.broadcast_to(of_group.reshape(rows, *(1,) * (rank - 2), inner), kernel.rows(kernel.q).shape)
    weights = Weights.of(
        kernel.rows(kernel.q).reshape(rows, -1), kernel.rows(kernel.scale).reshape(rows, -1), spread.reshape(rows, -1)
    )
    folded = weights.q.reshape(kernel.rows(kernel.q).shape)
    built = channels_last(state, node, x, lambda source: Conv.of(
        state.name(node.name), source, folded, np.zeros(rows, np.int64), window, kernel.groups, pad_value
    ))  # fmt: skip
    offset = np.zeros(())
    if x_offset.any():
        offset = _offset(x, x_offset, kernel, window, pad_value)
    scale = weights.step.reshape(rows, *(1,) * (rank - 2))
    return replace(built, scale=reduced(scale), offset=offset, dtype=kernel.lattice.dtype, codes=None)


def _offset(x: Quantized, x_offset: Real, kernel: Kernel, window: Window, pad_value: int) -> Real:
    """What the activations' offsets add to each output: the convolution of the offsets as they are at each place."""
    rows, rank, inner = kernel.q.shape[0], len(x.shape), kernel.q.shape[1]
    real = kernel.rows(kernel.scale * kernel.q)
    spatial = any(varies(x_offset, axis) for axis in range(2, rank))
    if not spatial and (pad_value or not window.padded):  # padding has the offset too: it stands for the integer of 0
        channels = np.broadcast_to(reduced(x_offset).reshape(-1), (x.shape[1],))
        of_row = np.repeat(channels.reshape(kernel.groups, inner), rows // kernel.groups, axis=0)
        total = (real * of_row.reshape(rows, *(1,) * (rank - 2), inner)).reshape(rows, -1).sum(axis=1)
        return reduced(total.reshape(rows, *(1,) * (rank - 2)))
    image = np.moveaxis(np.broadcast_to(x_offset, (1, *x.shape[1:])), 1, -1)
    sums = np.zeros((1, *window.output(x.shape[2:]), rows))
    for place, under in window.positions(image, 0):
        parts = np.split(np.moveaxis(real, 0, -2)[place], kernel.groups)
        sums += np.concatenate(
            [part @ own.T for part, own in zip(np.split(under, kernel.groups, -1), parts, strict=True)], axis=-1
        )
    return reduced(np.moveaxis(sums, -1, 1))


def _zero(state: Import, node: onnx.NodeProto, x: Quantized) -> tuple[Quantized, int]:
    """The activations with an integer that means 0, the same on all channels, and this integer."""
    if not x.offset.any():
        return x, 0
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = np.asarray(-x.offset / x.scale)
    if (zero == np.round(zero.flat[0])).all() and np.isfinite(zero).all():
        return x, round(float(zero.flat[0]))
    try:
        return centred(state, node.name, x), 0
    except Refused:
        return x, 0  # the padding adds no offset: `_offset` sees to that


def channels_last(state: Import, node: onnx.NodeProto, x: Quantized, build: Callable[[ir.Node], ir.Node]) -> Quantized:
    """`build` on the activations [B, C, ...] as [..., C]; the result back in ONNX order."""
    rank = len(x.shape)
    if not x.batched and x.shape[0] != 1:
        raise Refused(
            f"its input of shape {x.shape} has no batch axis",
            "Keep axis 0 for the batch, and use the operator on other axes only",
        )
    turned = state.transpose(x, [0, *range(2, rank), 1], f"{node.name}_channels_last")
    if x.batched:
        built = state.add(build(turned.node))
        shape: tuple[int, ...] = (x.shape[0], *built.type.shape)
    else:  # the IR's tensor has the axis of size 1 that is ONNX's batch
        image = state.add(nodes.Reshape.of(state.name(f"{node.name}_image"), turned.node, turned.node.type.shape[1:]))
        inner = state.add(build(image))
        shape = (1, *inner.type.shape)
        built = state.add(nodes.Reshape.of(state.name(f"{node.name}_batch"), inner, shape))
    result = Quantized(built, shape, x.batched, np.ones(()), np.zeros(()), x.dtype)
    return state.transpose(result, [0, rank - 1, *range(1, rank - 1)], f"{node.name}_channels_first")
