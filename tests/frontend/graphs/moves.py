"""Operators that move, select or repeat elements."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from .net import Act, Net, Shape


def move(net: Net, x: Act) -> Act:
    """Any of them that fits the rank of x; the batch stays axis 0. The result has the grid of x."""
    options: list[Callable[[Net, Act], tuple[str, Shape]]] = [transpose, reshape, take_slice, gather, unsqueeze, split]
    if len(x.shape) > 2:
        options += [flatten, pad]
    if len(x.shape) == 4:
        options += [resize, depth_to_space]
    name, shape = net.pick(*options)(net, x)
    return Act(name, shape, x.scale, x.zero, x.dtype)


def transpose(net: Net, x: Act) -> tuple[str, Shape]:
    order = [0, *net.permutation(range(1, len(x.shape)))]
    return net.op("Transpose", x.name, perm=order), tuple(x.shape[axis] for axis in order)


def reshape(net: Net, x: Act) -> tuple[str, Shape]:
    """To a matrix, with the batch as 0, -1 or a number, or with two axes made one."""
    rest = prod(x.shape[1:])
    forms = [[0, -1], [-1, rest]]
    shape: Shape = (x.shape[0], rest)
    if net.batch == net.size:
        forms.append([net.size, rest])
    if len(x.shape) == 4 and net.chance():
        shape = (x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
        forms = [[0, 0, -1], [0, x.shape[1], shape[2]]]
    return net.op("Reshape", x.name, net.constant(net.pick(*forms), np.int64)), shape


def flatten(net: Net, x: Act) -> tuple[str, Shape]:
    return net.op("Flatten", x.name, **({"axis": 1} if net.chance() else {})), (x.shape[0], prod(x.shape[1:]))


def unsqueeze(net: Net, x: Act) -> tuple[str, Shape]:
    """Unsqueeze and, where rank 4 would be passed or by chance, a Squeeze of it again."""
    axis = net.integer(1, len(x.shape))
    name = _axes(net, "Unsqueeze", x.name, axis)
    if len(x.shape) == 4 or net.chance():
        return _axes(net, "Squeeze", name, axis), x.shape
    return name, (*x.shape[:axis], 1, *x.shape[axis:])


def _axes(net: Net, kind: str, x: str, axis: int) -> str:
    if net.opset < 13:
        return str(net.op(kind, x, axes=[axis]))
    return str(net.op(kind, x, net.constant([axis], np.int64)))


def take_slice(net: Net, x: Act) -> tuple[str, Shape]:
    axis = net.integer(1, len(x.shape) - 1)
    size = x.shape[axis]
    start, step = net.integer(0, size - 1), net.pick(1, 2, -1)
    kept = list(range(size))[start::step]
    end = 2**31 if step > 0 else -(2**31)
    arguments = [net.constant([value], np.int64) for value in (start, end, axis, step)]
    return net.op("Slice", x.name, *arguments), _with(x.shape, axis, len(kept))


def gather(net: Net, x: Act) -> tuple[str, Shape]:
    axis = net.integer(1, len(x.shape) - 1)
    indices = net.rng().integers(0, x.shape[axis], net.integer(1, 4))
    return net.op("Gather", x.name, net.constant(indices, np.int64), axis=axis), _with(x.shape, axis, len(indices))


def split(net: Net, x: Act) -> tuple[str, Shape]:
    """Both parts, concatenated the other way round; or one of them."""
    axis = net.integer(1, len(x.shape) - 1)
    if x.shape[axis] < 2:
        return net.op("Identity", x.name), x.shape
    first = net.integer(1, x.shape[axis] - 1)
    sizes = [first, x.shape[axis] - first]
    if net.opset < 13:
        parts = net.op("Split", x.name, outputs=2, axis=axis, split=sizes)
    else:
        parts = net.op("Split", x.name, net.constant(sizes, np.int64), outputs=2, axis=axis)
    if net.chance():
        return parts[0], _with(x.shape, axis, first)
    return net.op("Concat", parts[1], parts[0], axis=axis), x.shape


def pad(net: Net, x: Act) -> tuple[str, Shape]:
    """Zeros around the spatial axes, or the edge repeated."""
    rank = len(x.shape)
    before = [0, 0] + [net.integer(0, 2) for _ in range(rank - 2)]
    after = [0, 0] + [net.integer(0, 2) for _ in range(rank - 2)]
    pads = net.constant(before + after, np.int64)
    shape = tuple(b + n + a for b, n, a in zip(before, x.shape, after, strict=True))
    mode = net.pick("constant", "edge")
    return net.op("Pad", x.name, pads, mode=mode), shape


def resize(net: Net, x: Act) -> tuple[str, Shape]:
    factors = [net.integer(1, 3), net.integer(1, 3)]
    scales = net.constant([1, 1, *factors])
    name = net.op(
        "Resize", x.name, net.constant([]), scales, mode="nearest", coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip
    return name, (*x.shape[:2], x.shape[2] * factors[0], x.shape[3] * factors[1])


def depth_to_space(net: Net, x: Act) -> tuple[str, Shape]:
    if x.shape[1] % 4 == 0 and net.chance():
        name = net.op("DepthToSpace", x.name, blocksize=2, mode=net.pick("DCR", "CRD"))
        return name, (x.shape[0], x.shape[1] // 4, x.shape[2] * 2, x.shape[3] * 2)
    if x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
        name = net.op("SpaceToDepth", x.name, blocksize=2)
        return name, (x.shape[0], x.shape[1] * 4, x.shape[2] // 2, x.shape[3] // 2)
    return net.op("DepthToSpace", x.name, blocksize=1), x.shape


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])
