"""Functions of several activations: residual sums, gates, anything elementwise.

Where the activations have few combinations, the function before a quantizer is evaluated on all of them, operator by
operator as the reference does. It becomes a staircase of a weighted sum, or of a product, where that gives the same
integers on every combination, and else a table over all combinations. Activations with more combinations are added or
multiplied as integers at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lutwright.frontend import ir, nodes
from lutwright.frontend.onnx_import.constants import common_step, on_grid
from lutwright.frontend.onnx_import.expressions import affine, inner_of_monotone
from lutwright.frontend.onnx_import.staircase import (
    CHUNK,
    MOST_LEVELS,
    Levels,
    Rule,
    cut_to,
    function,
    per_channel,
    varying_axes,
)
from lutwright.frontend.onnx_import.state import QUANTIZE, Import, Refused
from lutwright.frontend.onnx_import.values import (
    Anything,
    Apply,
    Expression,
    Pending,
    Quantized,
    Real,
    Variable,
    aligned,
    reduced,
    varies,
)

MOST_COMBINATIONS = 2**17  # of the activations' integers, for one channel
MOST_EVALUATIONS = 2**25  # for all channels
FACTOR_BITS = (2, 4, 6, 8, 10, 12, 14, 16, 20, 24)  # of the weights of a sum, tried in this order
EXACT_BITS = 61  # of a sum with exact factors
FIXED_BITS = 46  # of a sum in fixed point: finer by far than the float32 of the reference


def combinations(value: Pending) -> int:
    return math.prod(source.node.type.hi - source.node.type.lo + 1 for source in value.sources)


def joint_staircase(
    state: Import, wish: str, value: Pending, levels: Levels, parameters: Sequence[Anything]
) -> Quantized:
    """As `staircase`, for several sources with at most MOST_COMBINATIONS; the scale and offset are the caller's."""
    return joint_staircase_of(state, wish, value, function(state, value, levels, parameters), parameters)


def joint_staircase_of(
    state: Import, wish: str, value: Pending, rule: Rule, parameters: Sequence[Anything]
) -> Quantized:
    """As `staircase_of`, for several sources; the value's expression says which sums or products may carry the rule."""
    axes = varying_axes(value, parameters)
    forms = list(_forms(value, axes))

    def build(sources: tuple[ir.Node, ...], rows: int) -> ir.Node:
        grid = _grid(sources)
        values = _evaluated(rule, grid, rows)
        for factors, product in forms:
            found = (_product if product else _sum)(state, wish, sources, grid, factors, values)
            if found is not None:
                return found
        return _table(state, wish, sources, values)

    return per_channel(state, wish, value, axes, build)


def combined(state: Import, wish: str, value: Pending) -> Quantized:
    """Several sources as one integer node: a sum with exact factors, a product, or what few combinations give.

    Refused where there is no such form.
    """
    form = affine(value.sources, value.expression)
    if form is not None:
        return _added(state, wish, value, form[0], form[1])
    factors = _factors_of_product(value)
    if factors is not None:
        return _multiplied(state, wish, value, factors)
    if combinations(value) <= MOST_COMBINATIONS:
        return _on_own_grid(state, wish, value)
    raise Refused(
        f"it combines activations with {combinations(value)} combinations of values by a function that is no sum "
        "and no product",
        QUANTIZE,
    )


def _on_own_grid(state: Import, wish: str, value: Pending) -> Quantized:
    """The values that the function takes on all combinations, as multiples of the largest step they share."""
    axes, rule = varying_axes(value, ()), function(state, value, lambda real: real, ())
    rows = math.prod(value.shape[axis] for axis in axes)
    reals = _evaluated(rule, _grid(tuple(source.node for source in value.sources)), rows).astype(np.float64)
    grid = on_grid(reals) if np.isfinite(reals).all() else None
    if grid is None:
        raise Refused("the function before it gives values that are no small integers times a scale", QUANTIZE)

    def levels(real: Anything) -> ir.Array:
        return np.asarray(np.round(real.astype(np.float64) / grid[0])).astype(np.int64)

    result = joint_staircase(state, wish, value, levels, ())
    return replace(result, scale=np.asarray(grid[0]), offset=np.zeros(()))


def _added(state: Import, wish: str, value: Pending, scales: Sequence[Real], offset: Real) -> Quantized:
    """Factors for each row of the varying axes: exact multiples of a common step, or fixed point."""
    rank = len(value.shape)
    axes = [axis for axis in range(rank) if any(varies(aligned(scale, rank), axis) for scale in scales)]
    if value.batched and 0 in axes:
        raise Refused("its constants differ between the samples of a batch", "Use the same constants for all samples")
    kept = [cut_to(scale, value, axes) for scale in scales]
    matrix = np.stack([part.ravel() for part in np.broadcast_arrays(*kept)], axis=1)  # [rows, sources]
    steps, factors = np.empty(len(matrix)), np.empty(matrix.shape, np.int64)
    sizes = np.array([max(abs(source.node.type.lo), abs(source.node.type.hi)) for source in value.sources], float)
    for row, terms in enumerate(matrix):
        steps[row], factors[row] = _row_factors(terms, sizes)
    step = steps.reshape(np.broadcast_shapes(*(part.shape for part in kept)))
    step = step if value.batched else step[0]

    def build(sources: tuple[ir.Node, ...], rows: int) -> ir.Node:
        return state.add(nodes.Add.of(state.name(wish), sources, factors))

    result = per_channel(state, wish, value, axes, build)
    return Quantized(result.node, value.shape, value.batched, reduced(step), offset, value.sources[0].dtype)


def _row_factors(terms: Real, sizes: Real) -> tuple[float, ir.Array]:
    step, exact = common_step(terms)
    if sum(abs(int(factor)) * int(size) for factor, size in zip(exact, sizes, strict=True)) < 2**EXACT_BITS:
        return step, exact.astype(np.int64)
    step = float(2.0 ** np.ceil(np.log2(np.abs(terms * sizes).max()) - FIXED_BITS))
    return step, np.round(terms / step).astype(np.int64)


def _multiplied(state: Import, wish: str, value: Pending, factors: tuple[Quantized, Quantized]) -> Quantized:
    left, right = (centred(state, wish, factor) for factor in factors)
    node = state.add(nodes.Multiply.of(state.name(wish), left.node, right.node))
    return Quantized(node, value.shape, value.batched, reduced(left.scale * right.scale), np.zeros(()), left.dtype)


def centred(state: Import, wish: str, value: Quantized) -> Quantized:
    """The value without offset: its integers shifted, after doubling where the offset is half a step."""
    if not value.offset.any():
        return value
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.asarray(value.offset / value.scale)
    for factor in (1, 2):
        if (factor * shift == np.round(factor * shift)).all():
            break
    else:
        raise Refused("the zero of its activations lies between their quantized values", "Use an integer zero point")
    pending = Pending((value,), Variable())
    axes = [axis for axis in range(len(value.shape)) if varies(aligned(shift, len(value.shape)), axis)]
    constant = (factor * cut_to(shift, pending, axes)).ravel().astype(np.int64)

    def build(sources: tuple[ir.Node, ...], rows: int) -> ir.Node:
        scaled = np.full((len(constant), 1), factor, np.int64)
        return state.add(nodes.Add.of(state.name(f"{wish}_centred"), sources, scaled, constant))

    moved = per_channel(state, wish, pending, axes, build)
    scale = np.asarray(value.scale / factor)
    return Quantized(moved.node, value.shape, value.batched, scale, np.zeros(()), value.dtype)


def _factors_of_product(value: Pending) -> tuple[Quantized, Quantized] | None:
    """The two sources, each with its affine factor's scale and offset, if the expression multiplies them."""
    top = value.expression
    if not isinstance(top, Apply) or top.operator.op_type != "Mul" or len(value.sources) > 2:
        return None
    found = []
    for item in top.arguments:
        if not isinstance(item, (Variable, Apply)):
            return None
        form = affine(value.sources, item)
        if form is None:
            return None
        used = [index for index, scale in enumerate(form[0]) if scale.any()]
        if len(used) != 1:
            return None
        source = value.sources[used[0]]
        found.append(Quantized(source.node, source.shape, source.batched, form[0][used[0]], form[1], source.dtype))
    return found[0], found[1]


def _forms(value: Pending, axes: Sequence[int]) -> Iterator[tuple[ir.Array, bool]]:
    """Weights [rows or 1, sources] of sums, or shifts of products (True), that may carry the whole function."""
    inner: Expression | None = value.expression
    while inner is not None:
        form = affine(value.sources, inner)
        if form is not None:
            kept = np.broadcast_arrays(*(cut_to(scale, value, axes) for scale in form[0]))
            terms = np.stack([part.ravel() for part in kept], axis=1)
            terms = terms[:1] if (terms == terms[0]).all() else terms
            exact = [common_step(row)[1] for row in terms]
            if max(int(abs(row).max()) for row in exact) < 2 ** FACTOR_BITS[-1]:
                yield np.array(exact, object).astype(np.int64), False
            largest = np.abs(terms).max(axis=1, keepdims=True)
            for bits in FACTOR_BITS:
                yield np.round(terms / np.where(largest == 0, 1, largest) * 2**bits).astype(np.int64), False
            return
        product = _factors_of_product(Pending(value.sources, inner))
        if product is not None:
            shifts = [np.asarray(factor.offset / factor.scale) for factor in product]
            if all(shift.size == 1 and shift == np.round(shift) for shift in shifts):
                order = [next(i for i, s in enumerate(value.sources) if s.node is f.node) for f in product]
                if order != [0, 1]:
                    shifts.reverse()
                yield np.array([[int(shift.flat[0]) for shift in shifts]]), True
            return
        inner = inner_of_monotone(inner)


def _grid(sources: tuple[ir.Node, ...]) -> list[ir.Array]:
    """All combinations of the sources' integers, the last source fastest, [V] each."""
    axes = [np.arange(source.type.lo, source.type.hi + 1) for source in sources]
    return [part.ravel() for part in np.meshgrid(*axes, indexing="ij")]


def _evaluated(rule: Rule, grid: list[ir.Array], rows: int) -> ir.Array:
    """The rule on all combinations, [rows, V]."""
    count = len(grid[0])
    if count * rows > MOST_EVALUATIONS:
        raise Refused(
            f"it combines activations in {count} ways on each of {rows} channels, which differ in their constants",
            QUANTIZE,
        )
    size = max(1, CHUNK // rows)
    parts = []
    for start in range(0, count, size):
        cut = [part[start : start + size, np.newaxis] for part in grid]
        parts.append(rule(*(np.broadcast_to(part, (len(part), rows)) for part in cut)))
    return np.ascontiguousarray(np.concatenate(parts).T)


def _sum(
    state: Import, wish: str, sources: tuple[ir.Node, ...], grid: list[ir.Array], factors: ir.Array, values: ir.Array
) -> ir.Node | None:
    """A Threshold on the weighted sum, if that gives all `values`."""
    columns = np.stack(grid)
    stairs = _stairs([row @ columns for row in factors], values)
    if stairs is None:
        return None
    node = nodes.Add.of(state.name(f"{wish}_sum"), sources, factors)
    fitted = nodes.Threshold.fit(state.name(wish), node, *stairs)
    if fitted is None:
        return None
    state.add(node)
    return state.add(fitted)


def _product(
    state: Import, wish: str, sources: tuple[ir.Node, ...], grid: list[ir.Array], shifts: ir.Array, values: ir.Array
) -> ir.Node | None:
    """A Threshold on the product of the shifted sources, if that gives all `values`."""
    stairs = _stairs([(grid[0] + shifts[0, 0]) * (grid[1] + shifts[0, 1])], values)
    if stairs is None:
        return None
    added, shifted = list[ir.Node](), list[ir.Node]()
    for source, shift in zip(sources, shifts[0], strict=True):
        if shift:
            source = nodes.Add.of(
                state.name(f"{wish}_centred"), (source,), np.ones((1, 1), np.int64), np.array([shift])
            )
            added.append(source)
        shifted.append(source)
    node = nodes.Multiply.of(state.name(f"{wish}_product"), shifted[0], shifted[1])
    fitted = nodes.Threshold.fit(state.name(wish), node, *stairs)
    if fitted is None:
        return None
    for item in (*added, node):
        state.add(item)
    return state.add(fitted)


def _stairs(keys: list[ir.Array], values: ir.Array) -> tuple[ir.Array, ir.Array] | None:
    """Points and levels of the staircases key -> value, a row each; None if equal keys have unequal values."""
    points, levels = list[ir.Array](), list[ir.Array]()
    for row, found in enumerate(values):
        key = keys[row % len(keys)]
        order = np.argsort(key, kind="stable")
        key, found = key[order], found[order]
        new = np.diff(key, prepend=key[0] - 1) != 0
        if (found != found[new][np.cumsum(new) - 1]).any():
            return None
        key, found = key[new], found[new]
        changed = np.diff(found, prepend=found[0]) != 0
        changed[0] = True
        points.append(key[changed])
        levels.append(found[changed])
    count = max(map(len, points))
    if count > MOST_LEVELS:
        return None
    far = int(np.iinfo(np.int64).max)
    return (
        np.stack([np.pad(row, (0, count - len(row)), constant_values=far) for row in points]),
        np.stack([np.pad(row, (0, count - len(row)), mode="edge") for row in levels]),
    )


def _table(state: Import, wish: str, sources: tuple[ir.Node, ...], values: ir.Array) -> ir.Node:
    """A Table over the number of the combination."""
    sizes = [source.type.hi - source.type.lo + 1 for source in sources]
    factors = [math.prod(sizes[index + 1 :]) for index in range(len(sizes))]
    constant = -sum(factor * source.type.lo for factor, source in zip(factors, sources, strict=True))
    code = nodes.Add.of(state.name(f"{wish}_code"), sources, np.array([factors]), np.array([constant]))
    state.add(code)
    rows = values[:1] if (values == values[0]).all() else values
    return state.add(nodes.Table.of(state.name(wish), code, rows))
