"""Random small graphs that hold every kind of node."""

from __future__ import annotations

import itertools

import numpy as np

from lutwright.frontend.ir import Array, Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Conv,
    Dense,
    Embedding,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    Stuff,
    Table,
    Take,
    Threshold,
    Transpose,
)
from lutwright.frontend.nodes.windows import Window

Rng = np.random.Generator
LARGEST = 400  # elements of a node
WIDEST = 10_000  # of an interval, before a Threshold makes it small again
ANY_SHAPE = (
    "dense",
    "threshold",
    "threshold",
    "reshape",
    "transpose",
    "transpose",
    "take",
    "pad",
    "scale",
    "add",
    "clamp",
)
KINDS = (*ANY_SHAPE, "stuff", "argmax", "multiply", "concat", "conv", "conv", "pool", "matmul", "table", "embedding")


def whole(rng: Rng, low: int, high: int) -> int:
    """low to high, both included."""
    return int(rng.integers(low, high + 1))


def window(rng: Rng, size: tuple[int, ...], pads: int) -> Window:
    """One that slides over these sizes with up to `pads` positions around them."""
    around = tuple((whole(rng, 0, pads), whole(rng, 0, pads)) for _ in size)
    padded = [length + sum(pair) for length, pair in zip(size, around, strict=True)]
    kernel = tuple(whole(rng, 1, min(3, length)) for length in padded)
    dilations = tuple(
        whole(rng, 1, 2) if 2 * (count - 1) < length else 1 for count, length in zip(kernel, padded, strict=True)
    )
    return Window(kernel, tuple(whole(rng, 1, 2) for _ in size), dilations, around)


def conv(rng: Rng, name: str, source: Node) -> Node:
    x = source.type
    groups = int(rng.choice([count for count in (1, 1, 2, 3, x.channels) if x.channels % count == 0]))
    slide = window(rng, x.shape[:-1], 2)
    weight = rng.integers(-2, 3, (groups * whole(rng, 1, 2), *slide.kernel, x.channels // groups))
    weight *= rng.random(weight.shape) < 0.7
    fill = int(rng.choice([0, x.lo, x.hi]))
    return Conv.of(name, source, weight, rng.integers(-3, 4, len(weight)), slide, groups, fill)


def pool(rng: Rng, name: str, source: Node) -> Node:
    size = source.type.shape[:-1]
    for pads in (1, 0):
        slide = window(rng, size, pads)
        if Pool("", (), source.type, "sum", slide).counts(size).min() > 0:
            return Pool.of(name, source, str(rng.choice(["sum", "max"])), slide)
    raise AssertionError("windows without padding hold something")


def threshold(rng: Rng, name: str, source: Node, rows: int) -> Node:
    x = source.type
    levels = np.sort(rng.integers(x.lo - 2, x.hi + 3, (rows, whole(rng, 0, 4))), axis=1)
    return Threshold.of(name, source, levels, rng.integers(-2, 3, rows), rng.choice([-1, 1], rows))


def reshape(rng: Rng, name: str, source: Node) -> Node:
    x = source.type
    sizes = [sizes for sizes in itertools.product(range(1, 9), repeat=3) if np.prod(sizes) == x.size]
    flat = [(x.size,), (*x.shape, 1), (1, *x.shape), (*x.shape[:-2], x.size // max(1, int(np.prod(x.shape[:-2]))))]
    options = [shape for shape in sizes + flat if len(shape) < 5]
    return Reshape.of(name, source, options[whole(rng, 0, len(options) - 1)])


def take(rng: Rng, name: str, source: Node) -> Node:
    axis = whole(rng, 0, len(source.type.shape) - 1)
    size = source.type.shape[axis]
    index = rng.permutation(size) if rng.random() < 0.4 else rng.integers(0, size, whole(rng, 1, 4))
    return Take.of(name, source, axis, index)


def matmul(rng: Rng, name: str, source: Node, nodes: list[Node]) -> Node:
    shape = source.type.shape
    fits = [node for node in nodes if len(node.type.shape) == len(shape) and node.type.shape[:-2] == shape[:-2]]
    fits = [node for node in fits if node.type.shape[-2] == shape[-1]]
    if fits:
        return MatMul.of(name, source, fits[whole(rng, 0, len(fits) - 1)])
    swapped = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    nodes.append(Transpose.of(f"{name}_right", source, swapped))
    return MatMul.of(name, source, nodes[-1])


def random_node(rng: Rng, name: str, source: Node, nodes: list[Node]) -> Node:
    """Some node on the source; what has constants has them alike on all channels in half of the cases."""
    x = source.type
    rows = 1 if rng.random() < 0.5 else x.channels
    kind = str(rng.choice(KINDS)) if x.shape else "reshape"
    if x.shape and x.hi - x.lo > WIDEST:
        kind = "threshold"
    alike = [node for node in nodes if node.type.shape == x.shape and node.type.hi - node.type.lo <= WIDEST]
    other = alike[whole(rng, 0, len(alike) - 1)] if alike else source
    rank, small = len(x.shape), x.hi - x.lo < 60
    match kind:
        case "dense":
            weight = rng.integers(-2, 3, (whole(rng, 1, 4), x.channels)) * (rng.random(x.channels) < 0.8)
            return Dense.of(name, source, weight, rng.integers(-3, 4, len(weight)))
        case "reshape":
            return reshape(rng, name, source)
        case "transpose":
            return Transpose.of(name, source, tuple(int(axis) for axis in rng.permutation(rank)))
        case "take":
            return take(rng, name, source)
        case "pad":
            pads = [(whole(rng, 0, 1), whole(rng, 0, 1)) for _ in range(rank)]
            return Pad.of(name, source, tuple(pads), whole(rng, -1, 2))
        case "stuff" if x.size <= LARGEST // 8:
            return Stuff.of(name, source, tuple(whole(rng, 1, 2) for _ in range(rank)), whole(rng, -1, 1))
        case "scale":
            return Add.of(name, (source,), rng.integers(-2, 3, (rows, 1)), rng.integers(-3, 4, rows))
        case "clamp":
            return Clamp.of(name, source, *sorted((whole(rng, x.lo - 1, x.hi), whole(rng, x.lo, x.hi + 1))))
        case "add":
            return Add.of(name, (source, other), rng.integers(-2, 3, (rows, 2)), rng.integers(-3, 4, rows))
        case "multiply":
            return Multiply.of(name, source, other)
        case "concat":
            return Concat.of(name, (source, other)[: whole(rng, 1, 2)], whole(rng, 0, rank - 1))
        case "conv":
            return conv(rng, name, source)
        case "pool":
            return pool(rng, name, source)
        case "matmul" if rank > 1:
            return matmul(rng, name, source, nodes)
        case "table" if small:
            return Table.of(name, source, rng.integers(-4, 5, (rows, x.hi - x.lo + 1)))
        case "embedding" if small and rank < 4:
            return Embedding.of(name, source, rng.integers(-4, 5, (x.hi - x.lo + 1, whole(rng, 1, 3))), x.lo)
        case "argmax" if rng.random() < 0.5:
            return ArgMax.of(name, source)
    return threshold(rng, name, source, rows)


def random_graph(seed: int, samples: int = 8) -> tuple[Graph, Array]:
    """A graph of up to 12 nodes, and samples of its input."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 5, whole(rng, 1, 3)))
    lo = whole(rng, -4, 0)
    nodes: list[Node] = [Input("x", (), Type(shape, lo, lo + whole(rng, 0, 5)))]
    for index in range(whole(rng, 1, 10)):
        source = nodes[-1] if rng.random() < 0.7 else nodes[whole(rng, 0, len(nodes) - 1)]
        made = random_node(rng, f"n{index}", source, nodes)
        if made.type.size > LARGEST:
            made = threshold(rng, f"n{index}", source, 1) if source.type.shape else reshape(rng, f"n{index}", source)
        nodes.append(made)
        if rng.random() < 0.1:
            again = nodes[-1]
            fields = {key: value for key, value in vars(again).items() if key not in ("name", "_matrix")}
            nodes.append(type(again)(name=f"again{index}", **fields))
    type_ = nodes[0].type
    return verify(Graph(tuple(nodes), nodes[-1].name)), rng.integers(type_.lo, type_.hi + 1, (samples, *shape))
