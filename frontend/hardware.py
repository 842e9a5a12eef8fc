"""Which nodes have hardware, and by which engines or components."""

from __future__ import annotations

from lutwright.frontend.device import DEVICES
from lutwright.frontend.ir import Input, Node, Type
from lutwright.frontend.lowering import PLANE, slides, unfolded_dense
from lutwright.frontend.nodes import Add, ArgMax, Concat, Conv, Dense, Multiply, Pool, Reshape, Table, Threshold, Unfold
from lutwright.hdl.engines.registry import engines


def hardware(node: Node, *inputs: Type) -> tuple[str, ...]:
    """The engines that can build a Dense on some device, the component of another node; () without hardware.

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
        case Threshold() | Table() | ArgMax() | Add() | Multiply() | Concat():
            return (type(node).__name__.lower(),)
        case Unfold() | Pool() | Conv() if slides(node):
            return ("window",)
        case Conv() if len(node.window.kernel) <= PLANE:
            dense, unfolded = unfolded_dense(node, *inputs)
            return hardware(dense, unfolded)
    return ()
