"""Operators that only move elements: on IR values Reshape, Transpose, Take, Concat and Pad, on constants the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import ir, nodes
from lutwright.frontend.onnx_import.constants import on_grid
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Anything,
    Constant,
    Host,
    Pending,
    Quantized,
    Unknown,
    Value,
    aligned,
    reduced,
)
from lutwright.frontend.onnx_import.weights import integers

Activation = Quantized | Pending
LARGEST = 2**16  # of a pad


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Identity")
def reshape(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """What keeps the raster order: the new shape is read off the operator run on an array of indices."""
    x, *others = inputs
    x = activation(x)
    if node.op_type == "Identity":
        return [x]
    if node.op_type == "Dropout":
        return _dropout(x, others)
    moved = _indices(state, node, x, others)
    if moved.size != math.prod(x.shape) or (moved.ravel() != np.arange(moved.size)).any():
        raise Refused(f"it does not keep the {math.prod(x.shape)} elements of its input", "Keep the number of elements")
    return [state.reshape(x, moved.shape, node.name)]


def _dropout(x: Activation, others: Sequence[Value | None]) -> Sequence[Value]:
    """Outside training it passes everything on."""
    if len(others) > 1 and others[1] is not None and constant(others[1], "training mode").any():
        raise Refused("it is in training mode", "Export the model in evaluation mode")
    return [x, Constant(np.ones(x.shape, np.bool_))]


@operator("Transpose")
def transpose(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    (x,) = inputs
    x = activation(x)
    axes = attribute(node, "perm", list(range(len(x.shape)))[::-1])
    if sorted(axes) != list(range(len(x.shape))):
        raise Refused(f"its perm {axes} must permute {len(x.shape)} axes", "Export the model again")
    return [state.transpose(x, axes, node.name)]


@operator("Slice", "Expand", "Tile", "Resize", "Upsample", "Gather", "ReverseSequence", "CenterCropPad")
def take(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """What picks elements along axes, one axis independent of the others: read off a run on an array of indices."""
    x, *others = inputs
    if node.op_type == "Gather" and not isinstance(x, (Quantized, Pending)):
        return [embedding(state, node, x, others[0])]
    x = activation(x)
    if node.op_type in ("Resize", "Upsample") and attribute(node, "mode", "nearest") != "nearest":
        raise Refused("it interpolates between pixels", "Use the mode nearest, or a ConvTranspose")
    if node.op_type == "Expand" and len(others) == 1:
        shape = tuple(int(size) for size in constant(others[0], "shape").ravel())
        x = state.reshape(x, (1,) * (len(shape) - len(x.shape)) + x.shape, f"{node.name}_axes")
    if node.op_type == "Gather":
        return [_gathered(state, node, x, constant(others[0], "indices"))]
    return [_taken(state, node, x, _indices(state, node, x, others))]


@operator("Split")
def split(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, *others = inputs
    x = activation(x)
    index = np.arange(math.prod(x.shape)).reshape(x.shape)
    arrays = [constant(other, "sizes") if other is not None else None for other in others]
    return [_taken(state, node, x, part) for part in state.execute(node, [index, *arrays])]


@operator("DepthToSpace", "SpaceToDepth")
def depth_to_space(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """A Reshape, a Transpose and a Reshape, as ONNX defines it."""
    (x,) = inputs
    x = activation(x)
    block = attribute(node, "blocksize", 0)
    if len(x.shape) != 4 or block < 1:
        raise Refused(f"its input of shape {x.shape} and blocksize {block} do not fit", "Use [N, C, H, W]")
    n, c, h, w = x.shape
    if node.op_type == "SpaceToDepth":
        if h % block or w % block:
            raise Refused(f"its sizes {h} x {w} must be multiples of {block}", "Pad or crop before it")
        split_shape = (n, c, h // block, block, w // block, block)
        axes = [0, 3, 5, 1, 2, 4] if attribute(node, "mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
        shape = (n, c * block**2, h // block, w // block)
    else:
        if c % block**2:
            raise Refused(
                f"its {c} channels must be a multiple of {block**2}",
                "Use a blocksize whose square divides the channels",
            )
        inner, shape = c // block**2, (n, c // block**2, h * block, w * block)
        if attribute(node, "mode", "DCR") == "DCR":
            split_shape, axes = (n, block, block, inner, h, w), [0, 3, 4, 1, 5, 2]
        else:
            split_shape, axes = (n, inner, block, block, h, w), [0, 1, 4, 2, 5, 3]
    parts = state.reshape(x, split_shape, f"{node.name}_split")
    return [state.reshape(state.transpose(parts, axes, node.name), shape, f"{node.name}_join")]


@operator("Concat")
def concat(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """Operands with scales of their own keep them, along the axis. Constants come in with the grid of an operand."""
    values = [value for value in inputs if isinstance(value, (Quantized, Pending, Constant))]
    rank = len(values[0].shape)
    axis = attribute(node, "axis", 1) % rank if rank else 0
    found = [None if isinstance(value, Constant) else integers(state, node, value) for value in values]
    like = next(part for part in found if part is not None)
    parts = [
        part or _as_activation(state, node, constant(value, "operand"), like)
        for part, value in zip(found, values, strict=True)
    ]
    batched = parts[0].batched
    if any(part.batched != batched for part in parts) or (batched and axis == 0):
        raise Refused(
            "it joins along the batch, or tensors with and without one",
            "Keep axis 0 for the batch, and use the operator on other axes only",
        )
    shapes = [tuple(size for i, size in enumerate(part.shape) if i != axis) for part in parts]
    if any(shape != shapes[0] for shape in shapes):
        raise Refused(
            f"it joins shapes {[part.shape for part in parts]} along axis {axis}",
            "Compare it with the shapes that `lutwright inspect` shows before it, and export the model again",
        )
    joined = state.add(nodes.Concat.of(state.name(node.name), tuple(part.node for part in parts), axis - int(batched)))
    shape = (*parts[0].shape[:axis], sum(part.shape[axis] for part in parts), *parts[0].shape[axis + 1 :])
    scale, offset = (
        reduced(np.concatenate([np.broadcast_to(aligned(array, rank), part.shape) for array, part in pairs], axis=axis))
        for pairs in ([(part.scale, part) for part in parts], [(part.offset, part) for part in parts])
    )
    same = all(part.codes == parts[0].codes for part in parts) and scale.size == offset.size == 1
    return [Quantized(joined, shape, batched, scale, offset, parts[0].dtype, parts[0].codes if same else None)]


def _as_activation(state: Import, node: onnx.NodeProto, value: Anything, like: Quantized) -> Quantized:
    """The constant as integers on its own grid, or that of `like`: some activations times 0, plus the constant."""
    array = value.astype(np.float64)
    if len(array.shape) != len(like.shape) or not array.size or not np.isfinite(array).all():
        raise Refused(
            f"it joins a constant of shape {array.shape} with {like.shape}",
            "Look for NaN, infinity or wrong shapes in its constants, and export the model again",
        )
    if like.batched and array.shape[0] > 1 and (array != array[:1]).any():
        raise Refused("its constant differs between the samples of a batch", "Use the same constant for all samples")
    scale, offset = float(like.scale.flat[0]), float(like.offset.flat[0])
    same = like.scale.size == like.offset.size == 1
    q = np.asarray(np.round((array - offset) / scale))
    if not same or np.abs(q).max() > LARGEST or ((q * scale + offset).astype(value.dtype) != value).any():
        grid = on_grid(array)
        if grid is None:
            raise Refused(
                "it joins activations with a constant that is not quantized",
                "Put a quantizer on the constant, or round it to a grid such as multiples of 1/256",
            )
        scale, q, offset = grid[0], grid[1].astype(np.float64), 0.0
    sample = q[0] if like.batched else q
    source = state.add(nodes.Reshape.of(state.name(f"{node.name}_flat"), like.node, (math.prod(like.node.type.shape),)))
    first = state.add(nodes.Take.of(state.name(f"{node.name}_any"), source, 0, np.zeros(sample.size, np.int64)))
    factors, row = np.zeros((sample.size, 1), np.int64), sample.ravel().astype(np.int64)
    made = state.add(nodes.Add.of(state.name(f"{node.name}_constant"), (first,), factors, row))
    shaped = state.add(nodes.Reshape.of(state.name(f"{node.name}_shape"), made, sample.shape))
    shape = (like.shape[0], *array.shape[1:]) if like.batched else array.shape
    return Quantized(shaped, shape, like.batched, np.asarray(scale), np.asarray(offset), like.dtype)


@operator("Pad")
def pad(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, *others = inputs
    x = activation(x)
    if attribute(node, "mode", "constant") != "constant":
        return [_taken(state, node, x, _indices(state, node, x, others))]
    given = [constant(other, "pads") if other is not None else None for other in others] + [None] * 3
    pads, axes, rank = given[0], given[2], len(x.shape)
    flat = attribute(node, "pads", list[int]()) if pads is None else [int(item) for item in pads.ravel()]
    over = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes.ravel()]
    if len(flat) != 2 * len(over) or max(map(abs, flat), default=0) > LARGEST:
        raise Refused(f"its pads {flat} must be two for each of {len(over)} axes", "Export the model again")
    around = dict.fromkeys(range(rank), (0, 0)) | dict(
        zip(over, zip(flat[: len(over)], flat[len(over) :], strict=True), strict=True)
    )
    for axis, (before, after) in around.items():  # negative pads cut
        kept = np.arange(max(0, -before), x.shape[axis] - max(0, -after))
        if not kept.size:
            raise Refused(f"its pads {flat} leave nothing of axis {axis}", "Check the model's pads")
        x = state.take(x, axis, kept, f"{node.name}_cut")
    wanted = tuple((max(0, before), max(0, after)) for before, after in around.values())
    if not any(map(any, wanted)):
        return [x]
    if x.batched and any(wanted[0]):
        raise Refused("it pads the batch", "Keep axis 0 for the batch, and use the operator on other axes only")
    fill = given[1] if given[1] is not None and given[1].size else np.array(attribute(node, "value", 0.0))
    source = integers(state, node, x)
    with np.errstate(divide="ignore", invalid="ignore"):
        number = np.asarray((float(fill.flat[0]) - source.offset) / source.scale)
    if not np.isfinite(number).all() or (number != np.round(number.flat[0])).any():
        raise Refused(
            f"the value {fill.flat[0]:g} that it pads with is no level of its input, or not the same on all channels",
            "Quantize its activations per tensor, and pad with one of their values",
        )
    if any(part.size > 1 for part in (source.scale, source.offset)):
        raise Refused("it pads activations with more than one scale", "Quantize its activations per tensor")
    padded = nodes.Pad.of(
        state.name(node.name), source.node, wanted[int(source.batched) :], round(float(number.flat[0]))
    )
    shape = tuple(size + before + after for size, (before, after) in zip(source.shape, wanted, strict=True))
    return [replace(source, node=state.add(padded), shape=shape, product=None)]


def embedding(state: Import, node: onnx.NodeProto, table: Value | None, indices: Value | None) -> Quantized:
    """Rows of a constant, picked by integer activations."""
    if not isinstance(table, Constant) or not isinstance(indices, (Quantized, Pending)):
        raise Refused(
            "it needs a constant table and integer indices, or activations and constant indices",
            "Give it a constant table and integer indices",
        )
    where = integers(state, node, indices)
    axis = attribute(node, "axis", 0) % max(1, len(table.shape))
    lo, hi = where.node.type.lo, where.node.type.hi
    plain = where.scale.size == 1 and where.scale.flat[0] == 1 and not where.offset.any()
    if axis != 0 or not plain or lo < -table.shape[0] or hi >= table.shape[0]:
        raise Refused(
            f"its indices from {lo} to {hi} must pick rows (axis 0) of its table of {table.shape[0]} rows",
            "Name the indices' range with --input, for example --input 'uint8', or clip them",
        )
    if table.lattice is None and not np.array_equal(table.array, np.round(table.array)):
        raise Refused(
            "its table is not quantized", "Quantize the embedding's weights, for example with `lutwright quantize`"
        )
    q = table.lattice.q if table.lattice is not None else table.array.astype(np.int64)
    scale = table.lattice.scale if table.lattice is not None else np.ones(q.shape)
    order = np.arange(lo, hi + 1)
    rows = q[order].reshape(len(order), -1)
    made = state.add(nodes.Embedding.of(state.name(node.name), where.node, rows, lo))
    shape = (*where.shape, *table.shape[1:])
    sample = shape[1:] if where.batched else shape
    if made.type.shape != sample:
        made = state.add(nodes.Reshape.of(state.name(f"{node.name}_rows"), made, sample))
    column = scale[:1]
    if (scale != column).any():
        raise Refused("its table has a scale for each row", "Quantize the embedding with one scale, or one a column")
    codes = table.lattice.codes if table.lattice is not None else None
    return Quantized(made, shape, where.batched, reduced(column[0]), np.zeros(()), table.array.dtype, codes)


@operator("Shape", "Size")
def shape(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """A constant: shapes are known at import."""
    (x,) = inputs
    assert x is not None and not isinstance(x, (Host, Unknown))
    return [Constant(state.execute(node, [np.zeros(x.shape, np.float32)])[0])]


def _indices(state: Import, node: onnx.NodeProto, x: Activation, others: Sequence[Value | None]) -> ir.Array:
    """Where each element of the result comes from, by raster index."""
    index = np.arange(math.prod(x.shape), dtype=np.int64).reshape(x.shape)
    arrays = [constant(other, "shape") if other is not None else None for other in others]
    # What executors take for the operator: onnxruntime, whose picks of Resize count, has most of them for int32.
    for dtype in (np.int32, np.int64, np.float64, np.float32):
        if index.size >= 2**24 and dtype is np.float32:
            break
        try:
            return np.asarray(state.execute(node, [index.astype(dtype), *arrays])[0]).astype(np.int64)
        except Refused as refused:
            reason = refused
    raise reason


def _taken(state: Import, node: onnx.NodeProto, x: Activation, moved: ir.Array) -> Activation:
    """Takes along each axis such that the elements are those of `moved`; Refused if the axes are not independent."""
    if moved.ndim != len(x.shape) or not moved.size:
        raise Refused(f"it turns {x.shape} into {moved.shape}", "Keep the number of axes, and at least one element")
    places = np.unravel_index(moved, x.shape)
    for axis, along in enumerate(places):
        line = along[tuple(slice(None) if i == axis else 0 for i in range(moved.ndim))]
        if (np.moveaxis(along, axis, -1) != line).any():
            raise Refused(
                "it picks elements in a way that differs along its axes", "Use Slice, Gather or nearest Resize"
            )
        x = state.take(x, axis, line, node.name)
    return x


def _gathered(state: Import, node: onnx.NodeProto, x: Activation, indices: ir.Array) -> Activation:
    axis = attribute(node, "axis", 0) % len(x.shape)
    size = x.shape[axis]
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise Refused(
            f"its indices must lie within {size} elements of axis {axis}",
            "Look for NaN, infinity or wrong shapes in its constants, and export the model again",
        )
    taken = state.take(x, axis, indices.ravel().astype(np.int64) % size, node.name)
    return state.reshape(taken, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), f"{node.name}_shape")
