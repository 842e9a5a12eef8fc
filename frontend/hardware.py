"""Which nodes have hardware, and by which engines or components."""

from __future__ import annotations

from lutwright.frontend.device import DEVICES
from lutwright.frontend.ir import Input, Node, Type
from lutwright.frontend.lowering import PLANE, WINOGRAD, is_depthwise, slides, unfolded_dense
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
    Unfold,
)
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.winograd.method import no_tiles


def hardware(node: Node, *inputs: Type) -> tuple[str, ...]:
    """The engines that can build a Dense or a Conv on some device, the component of another node; () without hardware.

    An Input and a Reshape are "wires": what passes through them stays as it is.
    """
    match node:
        case Input() | Reshape():
            return ("wires",)
        case Dense():
            (x,) = inputs
            devices = DEVICES.values()
            return tuple(
                name
                for name, engine in engines().items()
                if any(engine.supports(node, x, device) is None for device in devices)
            )
        case Conv() if len(node.window.kernel) <= PLANE:
            own = ("conv",) if is_depthwise(node) else ()
            tiles = (WINOGRAD,) if no_tiles(node) is None else ()
            return (*own, *hardware(*unfolded_dense(node, *inputs)), *tiles)
        case Threshold() | Table() | Embedding() | Clamp() | ArgMax() | Add() | Multiply() | Concat():
            return (type(node).__name__.lower(),)
        case Transpose() | Take() | Pad() | Stuff():
            return ("rearrange",)
        case Unfold() | Pool() if slides(node):
            return ("window",)
    return ()


def refusal(node: Node, *inputs: Type) -> str | None:
    """Why there is no hardware for a node, and what to do; None if there is."""
    if hardware(node, *inputs):
        return None
    name, place = type(node).__name__, f"'{node.name}'"
    match node:
        case MatMul():
            left, right = inputs
            return (
                f"{place} (MatMul of {left.shape} by {right.shape}) must have one constant operand, but both are "
                "activations: no engine keeps a stream as weights. Replace attention by layers with weights (Conv over "
                "the sequence, Gemm)"
            )
        case Unfold() | Pool() | Conv():
            axes = len(node.window.kernel)
            return (
                f"{place} ({name}) must slide over one or two axes, not {axes}. Fold an axis into the channels, or "
                "split the layer into layers over two axes"
            )
    shapes = ", ".join(str(x.shape) for x in inputs)
    return f"{place} ({name} of {shapes}) must have an engine, but there is none on any device. Change the layer"
