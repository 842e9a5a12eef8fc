"""Which nodes have hardware, and by which engines or components."""

from __future__ import annotations

from lutwright.frontend.device import DEVICES
from lutwright.frontend.ir import Input, Node, Type
from lutwright.frontend.nodes import ArgMax, Dense, Reshape, Table, Threshold
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
        case Threshold() | Table() | ArgMax():
            return (type(node).__name__.lower(),)
    return ()
