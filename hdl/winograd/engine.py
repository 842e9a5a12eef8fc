"""What a plan calls convolutions of tiles: `winograd:m=2`, `winograd:m=4`."""

from __future__ import annotations

from functools import lru_cache

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.lowering import WINOGRAD
from lutwright.frontend.nodes import Conv
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.foldings import useful_foldings
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.packing import FACTOR_BITS, in_dsp
from lutwright.hdl.engines.products import ProductLanes
from lutwright.hdl.winograd.convolution import WinogradConv
from lutwright.hdl.winograd.method import Method

ENGINES = {f"{WINOGRAD}:m={m}": m for m in (2, 4)}


def foldings(node: Conv) -> tuple[Folding, ...]:
    """Of output and input channels, smallest first."""
    return useful_foldings(len(node.weight), node.weight.shape[-1])


def winograd(node: Conv, x: Type, engine: str, folding: Folding, device: Device) -> WinogradConv:
    """The component of an engine's name. PlanError if there is none, or if the convolution has no tiles."""
    if engine not in ENGINES:
        raise PlanError(f"the engine of '{node.name}' must be one of {', '.join(ENGINES)}, not '{engine}'")
    method = _method(node, x, ENGINES[engine])
    return WinogradConv(method, folding, _lanes(method, device), device.family)


@lru_cache(maxsize=1 << 12)
def winograd_cost(node: Conv, x: Type, engine: str, folding: Folding, device: Device) -> Cost:
    """Predicted resources of that component; plans ask for the same ones often."""
    return winograd(node, x, engine, folding, device).cost(device)


@lru_cache(maxsize=64)
def _method(node: Conv, x: Type, m: int) -> Method:
    """Which holds the transformed weights."""
    return Method(node, x, m)


def _lanes(method: Method, device: Device) -> Lanes:
    """DSP blocks where there are some that the factors fit in, else LUTs."""
    u, v, family = method.u_type.width, method.v_type.width, device.family
    fits = device.dsps != 0 and max(u, v) <= FACTOR_BITS[family][1] and in_dsp(v, u, family)
    return ProductLanes() if fits else DigitLanes()
