"""An expression with a quantizer at its end is a staircase over the source's integers: evaluated, not derived.

The expression runs operator by operator as in the reference on the integers that the source's interval allows, once
for each channel that its constants tell apart. What is monotone becomes a Threshold, anything else a Table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lutwright.frontend import ir, nodes
from lutwright.frontend.onnx_import.expressions import evaluate, monotone
from lutwright.frontend.onnx_import.state import QUANTIZE, Import, Refused
from lutwright.frontend.onnx_import.values import (
    Anything,
    Pending,
    Quantized,
    Real,
    aligned,
    constants_of,
    fits,
    map_constants,
    varies,
)

MOST_ENTRIES = 2**20  # of a Table's row
MOST_LEVELS = 2**16  # of a Threshold's row
MOST_EVALUATIONS = 2**30  # of a function that is not certainly monotone: some ten seconds
CHUNK = 2**20  # elements evaluated at a time
Levels = Callable[..., Anything]
Rule = Callable[..., Anything]  # the sources' integers, [V, rows] each, to integers [V, rows]


def staircase(state: Import, wish: str, value: Pending, levels: Levels, parameters: Sequence[Anything]) -> Quantized:
    """The integers `levels(expression(source), *parameters)` as an IR node; its scale and offset are the caller's.

    `levels` is monotone.
    """
    return staircase_of(
        state, wish, value, function(state, value, levels, parameters), parameters, monotone(value.expression)
    )


def staircase_of(
    state: Import, wish: str, value: Pending, rule: Rule, parameters: Sequence[Anything], certain: bool
) -> Quantized:
    """The integers `rule(integers of the source)`, certainly monotone or not; `parameters` vary with the channels."""

    def build(sources: tuple[ir.Node, ...], rows: int) -> ir.Node:
        (source,) = sources
        return _node(state, wish, source, rule, rows, certain)

    return per_channel(state, wish, value, varying_axes(value, parameters), build)


def values_on_interval(state: Import, value: Pending, most: int) -> Real:
    """The expression's values on all integers of the source, [rows, integers]; Refused if more than `most`."""
    interval = value.source.node.type
    if interval.hi - interval.lo >= most:
        raise Refused(
            f"the function before it is not affine, and its argument has {interval.hi - interval.lo + 1} values",
            QUANTIZE,
        )
    rows = int(np.prod([value.shape[axis] for axis in varying_axes(value, ())], dtype=np.int64))
    rule = function(state, value, lambda real: real, ())
    return _enumerate(rule, interval.lo, interval.hi, rows).astype(np.float64)


def varying_axes(value: Pending, parameters: Sequence[Anything]) -> list[int]:
    """The ONNX axes along which a constant varies."""
    rank = len(value.shape)
    scales = [part for source in value.sources for part in (source.scale, source.offset)]
    arrays = [*scales, *constants_of(value.expression), *parameters]
    for array in arrays:
        if not fits(array.shape, value.shape):
            raise Refused(
                f"a constant of shape {array.shape} does not fit its input of shape {value.shape}",
                "Use constants that do not enlarge the activations",
            )
    axes = [axis for axis in range(rank) if any(varies(aligned(array, rank), axis) for array in arrays)]
    if value.batched and 0 in axes:
        raise Refused("its constants differ between the samples of a batch", "Use the same constants for all samples")
    return axes


def function(state: Import, value: Pending, levels: Levels, parameters: Sequence[Anything]) -> Rule:
    """The function of the sources' integers, [V, rows] each, rows being the elements of the varying axes."""
    axes, rank = varying_axes(value, parameters), len(value.shape)

    def cut(array: Anything) -> Anything:
        return array.reshape(()) if array.size == 1 else cut_to(array, value, axes)

    scales = [(cut(source.scale), cut(source.offset)) for source in value.sources]
    expression = map_constants(value.expression, cut)
    settings = [cut(parameter) for parameter in parameters]
    kept = tuple(value.shape[axis] if axis in axes else 1 for axis in range(rank))
    kept = kept[1:] if value.batched else kept

    def rule(*integers: ir.Array) -> Anything:
        shape = integers[0].shape
        with np.errstate(over="ignore", invalid="ignore"):
            reals = [
                source.real(q.reshape(len(q), *kept), *scale)
                for source, q, scale in zip(value.sources, integers, scales, strict=True)
            ]
            real = evaluate(state, expression, reals)
            if np.isnan(real).any():
                raise Refused(
                    "the values before it are not numbers for some inputs",
                    "Look for NaN, infinity or wrong shapes in its constants, and export the model again",
                )
            return np.asarray(levels(real, *settings)).reshape(shape)

    return rule


def cut_to(array: Anything, value: Pending, axes: Sequence[int]) -> Anything:
    """The array with the axes of size 1 except for those, and an axis for the integers in front."""
    array = aligned(array, len(value.shape))
    for axis in set(range(array.ndim)) - set(axes):
        array = array.take([0], axis)
    return array if value.batched else array[np.newaxis]


def per_channel(
    state: Import,
    wish: str,
    value: Pending,
    axes: Sequence[int],
    build: Callable[[tuple[ir.Node, ...], int], ir.Node],
) -> Quantized:
    """`build(nodes, rows)` on the sources with the varying axes moved and merged into the last one, and back."""
    first = value.sources[0]
    shape = first.node.type.shape
    inner = [axis - int(value.batched) for axis in axes]
    rows = int(np.prod([shape[axis] for axis in inner], dtype=np.int64))
    order = [axis for axis in range(len(shape)) if axis not in inner] + inner
    moved = tuple(shape[axis] for axis in order)
    merged = (*moved[: len(shape) - len(inner)], rows) if inner or not shape else shape

    def forward(node: ir.Node) -> ir.Node:
        if order != sorted(order) and inner:
            node = state.add(nodes.Transpose.of(state.name(f"{wish}_to_channels"), node, tuple(order)))
        if merged != node.type.shape:
            node = state.add(nodes.Reshape.of(state.name(f"{wish}_merge"), node, merged))
        return node

    node = build(tuple(forward(source.node) for source in value.sources), rows)
    if merged != moved and (inner or not shape):
        node = state.add(nodes.Reshape.of(state.name(f"{wish}_split"), node, moved))
    if order != sorted(order) and inner:
        back = tuple(int(axis) for axis in np.argsort(order))
        node = state.add(nodes.Transpose.of(state.name(f"{wish}_from_channels"), node, back))
    return Quantized(node, first.shape, first.batched, first.scale, first.offset, first.dtype)


def _node(state: Import, wish: str, source: ir.Node, rule: Rule, rows: int, certain: bool) -> ir.Node:
    lo, hi = source.type.lo, source.type.hi
    name = state.name(wish)
    fitted = nodes.Threshold.fit(name, source, *(_bisect if certain else _changes)(rule, lo, hi, rows))
    if fitted is not None:
        return state.add(fitted)
    if hi - lo >= MOST_ENTRIES:
        raise Refused(
            f"the function before it is not monotone, and its argument has {hi - lo + 1} values",
            f"Requantize before it, so that a table of at most {MOST_ENTRIES} entries holds it",
        )
    return state.add(nodes.Table.of(name, source, _enumerate(rule, lo, hi, rows)))


def _bisect(rule: Rule, lo: int, hi: int, rows: int) -> tuple[ir.Array, ir.Array]:
    """For each row of a monotone rule: lo and the least integers that are 1, 2, … steps away, and their levels."""
    first, last = rule(np.broadcast_to(np.array([[lo], [hi]]), (2, rows)))
    direction = np.where(last >= first, 1, -1)
    _check_levels(int(np.abs(last - first).max()))
    targets = np.arange(1, int(np.abs(last - first).max()) + 1)[:, np.newaxis]
    below = np.full((len(targets), rows), lo, np.int64)
    above = np.where(targets <= np.abs(last - first), hi, hi + 1)
    while len(targets) and (above - below > 1).any():
        middle = np.minimum((below + above) // 2, hi)
        reached = direction * (rule(middle) - first) >= targets
        above, below = np.where(reached, middle, above), np.where(reached, below, middle)
    points = np.concatenate([np.full((1, rows), lo), above])
    levels = np.concatenate([first[np.newaxis], first + direction * targets])
    return points.T, levels.T


def _changes(rule: Rule, lo: int, hi: int, rows: int) -> tuple[ir.Array, ir.Array]:
    """For each row of any rule: lo and the integers where its value changes, and the values from there on."""
    if (hi - lo + 1) * rows > MOST_EVALUATIONS:
        raise Refused(
            f"the function before it is not certainly monotone, and must be evaluated on {hi - lo + 1} values "
            f"for {rows} channels",
            "Requantize before it, so that fewer values are left",
        )
    previous = rule(np.full((1, rows), lo, np.int64))
    points, levels = [[np.array([lo])] for _ in range(rows)], [[previous[0, row : row + 1]] for row in range(rows)]
    steps = np.ones(rows, np.int64)
    for start, values in _chunks(rule, lo, hi, rows):
        changed = np.diff(values, axis=0, prepend=previous) != 0
        steps += changed.sum(axis=0)
        _check_levels(int(steps.max()))  # before they are kept
        previous = values[-1:]
        for row in np.flatnonzero(changed.any(axis=0)).tolist():
            places = np.flatnonzero(changed[:, row])
            points[row].append(start + places)
            levels[row].append(values[places, row])
    count = max(sum(map(len, row)) for row in points)
    _check_levels(count)
    ends = [np.full((rows, count), fill, np.int64) for fill in (hi + 1, 0)]
    for end, found in zip(ends, (points, levels), strict=True):
        for index, parts in enumerate(found):
            end[index, : sum(map(len, parts))] = np.concatenate(parts)
    return ends[0], ends[1]


def _check_levels(count: int) -> None:
    if count > MOST_LEVELS:
        raise Refused(
            f"it would need {count} thresholds, more than {MOST_LEVELS}, which is not supported yet",
            "Quantize to 16 bits or fewer",
        )


def _enumerate(rule: Rule, lo: int, hi: int, rows: int) -> Anything:
    """The rule's values [rows, hi - lo + 1]."""
    return np.ascontiguousarray(np.concatenate([values for _, values in _chunks(rule, lo, hi, rows)]).T)


def _chunks(rule: Rule, lo: int, hi: int, rows: int) -> Iterator[tuple[int, Anything]]:
    """The rule's values on all integers, [V, rows] at a time, and the first integer of each."""
    size = max(1, CHUNK // rows)
    for start in range(lo, hi + 1, size):
        integers = np.arange(start, min(start + size, hi + 1))[:, np.newaxis]
        yield start, rule(np.broadcast_to(integers, (len(integers), rows)))
