"""Adds: those that do nothing go, those that only scale and shift go into a neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Graph, Node, Type
from lutwright.frontend.nodes import Add, Conv, Dense, Table, Threshold
from lutwright.frontend.passes.rewrite import Emitted, each, only_use


def simplify_adds(graph: Graph) -> Graph:
    """An operand that is there twice, or has no weight, goes; equal rows become one; a sum that is its operand goes."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        if not isinstance(node, Add):
            return (node,)
        names = np.array(list(dict.fromkeys(node.inputs)))
        columns = [[i for i, other in enumerate(node.inputs) if other == name] for name in names]
        factors = np.stack([node.factors[:, places].sum(axis=1) for places in columns], axis=1)
        weighs = np.asarray(factors.any(axis=0))
        weighs[0] |= not weighs.any()
        names, factors = names[weighs], factors[:, weighs]
        if len(names) == 1 and (factors == 1).all() and not node.constant.any():
            return (emitted[names[0]],)
        alike = (factors == factors[0]).all() and (node.constant == node.constant[0]).all()
        rows = slice(0, 1 if alike else None)
        return (replace(node, inputs=tuple(map(str, names)), factors=factors[rows], constant=node.constant[rows]),)

    return each(graph, rewrite)


def fold_scales(graph: Graph) -> Graph:
    """An Add of one operand goes into the Threshold, Table, Dense, Conv or Add behind it, where that is exact."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        sources = [emitted[name] for name in node.inputs]
        if isinstance(node, Add):
            return (_checked(node, _add_after(node, sources), emitted),)
        if len(sources) != 1 or not isinstance(scale := sources[0], Add) or len(scale.inputs) != 1:
            return (node,)
        factor, shift, x = scale.factors[:, 0], scale.constant, emitted[scale.inputs[0]].type
        changed: Node | None = None
        match node:
            case Threshold():
                changed = _threshold_after(node, factor, shift, x, scale.type)
            case Table():
                changed = _table_after(node, factor, shift, x)
            case Dense():
                changed = _linear_after(node, factor, shift)
            case Conv():
                changed = _conv_after(node, factor, shift)
        return (_checked(node, changed and replace(changed, inputs=scale.inputs), emitted),)

    return each(graph, rewrite)


def absorb_scales(graph: Graph) -> Graph:
    """An Add of one operand goes into the Dense or Conv before it that nothing else uses."""

    def rewrite(node: Node, emitted: Emitted) -> tuple[Node, ...]:
        source = emitted[node.inputs[0]] if node.inputs else node
        alone = isinstance(node, Add) and len(node.inputs) == 1 and only_use(graph, source.name)
        if not alone or not isinstance(node, Add) or not isinstance(source, (Dense, Conv)):
            return (node,)
        factor = np.broadcast_to(node.factors[:, 0], len(source.bias))
        if not _fits(factor, source.weight) or not _fits(factor, source.bias):
            return (node,)
        weight = source.weight * factor.reshape(-1, *(1,) * (source.weight.ndim - 1))
        changed = replace(source, name=node.name, weight=weight, bias=source.bias * factor + node.constant)
        return (_checked(node, changed, emitted),)

    return each(graph, rewrite)


def _checked(node: Node, changed: Node | None, emitted: Emitted) -> Node:
    """The changed node with its type, if its sums fit into 64 bits; else the node."""
    if changed is None:
        return node
    try:
        return replace(changed, type=changed.infer(*(emitted[name].type for name in changed.inputs)))
    except GraphError:
        return node


def _fits(*arrays: Array) -> bool:
    """Whether the products of these arrays are certainly far from the ends of 64 bits."""
    return float(np.prod([max(1.0, float(np.abs(array).max(initial=0))) for array in arrays])) < 2**60


def _threshold_after(node: Threshold, factor: Array, shift: Array, x: Type, scaled: Type) -> Threshold | None:
    """factor * x + shift >= t, as a condition on x: at least a bound, or for negative factors at most one."""
    rows, count = max(len(node.base), len(factor)), node.thresholds.shape[1]
    levels = np.clip(np.broadcast_to(node.thresholds, (rows, count)), scaled.lo, scaled.hi + 1)
    factor, shift, base, step = (np.broadcast_to(part, rows) for part in (factor, shift, node.base, node.step))
    reached = levels <= shift[:, np.newaxis]
    apart, size = levels - shift[:, np.newaxis], np.abs(factor)[:, np.newaxis] + (factor == 0)[:, np.newaxis]
    least = -(-apart // size)  # from there on x reaches the level, if the factor is positive
    most = -apart // size  # up to there it does, if it is negative
    sign = np.sign(factor)[:, np.newaxis]
    thresholds = np.where(sign > 0, least, np.where(sign < 0, np.flip(most + 1, axis=1), x.hi + 1))
    always = np.where(factor > 0, 0, np.where(factor < 0, count, reached.sum(axis=1)))
    direction = np.where(factor < 0, -step, step)
    return replace(node, thresholds=thresholds, base=base + step * always, step=direction)


def _table_after(node: Table, factor: Array, shift: Array, x: Type) -> Table | None:
    if x.hi - x.lo + 1 > node.values.shape[1]:
        return None
    rows = max(len(node.values), len(factor))
    index = factor[:, np.newaxis] * np.arange(x.lo, x.hi + 1) + shift[:, np.newaxis] - node.lo
    values = np.broadcast_to(node.values, (rows, node.values.shape[1]))
    index = np.broadcast_to(index, (rows, x.hi - x.lo + 1))
    return replace(node, values=np.take_along_axis(values, index, axis=1), lo=x.lo)


def _linear_after(node: Dense, factor: Array, shift: Array) -> Dense | None:
    if not _fits(node.weight, factor) or not _fits(node.weight, shift, np.array([node.weight.shape[1]])):
        return None
    bias = node.bias + (node.weight * shift).sum(axis=1)
    return replace(node, weight=node.weight * factor, bias=bias)


def _conv_after(node: Conv, factor: Array, shift: Array) -> Conv | None:
    """The padding has to be some value of the Add's operand, on all channels."""
    pad = node.pad_value
    if node.window.padded:
        apart = pad - shift
        if (factor == 0).any() or (apart % factor).any() or (apart // factor != apart[0] // factor[0]).any():
            return None
        pad = int(apart[0] // factor[0])
    channels = node.weight.shape[-1] * node.groups
    if not _fits(node.weight, factor) or not _fits(node.weight, shift, np.array([node.weight[0].size])):
        return None
    factor, shift = (
        np.repeat(np.broadcast_to(part, channels).reshape(node.groups, -1), len(node.weight) // node.groups, axis=0)
        for part in (factor, shift)
    )
    across = (len(node.weight), *(1,) * len(node.window.kernel), node.weight.shape[-1])
    bias = node.bias + (node.weight * shift.reshape(across)).reshape(len(node.weight), -1).sum(axis=1)
    return replace(node, weight=node.weight * factor.reshape(across), bias=bias, pad_value=pad)


def _add_after(node: Add, sources: list[Node]) -> Add | None:
    rows = max(len(node.factors), *(len(source.factors) for source in sources if isinstance(source, Add)), 0)
    factors, constant = np.array(np.broadcast_to(node.factors, (rows, len(sources)))), np.array(node.constant)
    inputs = list(node.inputs)
    for index, source in enumerate(sources):
        if isinstance(source, Add) and len(source.inputs) == 1:
            if not _fits(factors, source.factors) or not _fits(factors, source.constant):
                return None
            constant = constant + factors[:, index] * source.constant
            factors[:, index] *= source.factors[:, 0]
            inputs[index] = source.inputs[0]
    if inputs == list(node.inputs):
        return None
    return replace(node, inputs=tuple(inputs), factors=factors, constant=np.broadcast_to(constant, rows))
