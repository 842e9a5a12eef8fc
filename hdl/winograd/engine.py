"""What a plan calls convolutions of tiles: `winograd:m=2`, or `winograd:m=4,strassen=1` with levels of Strassen's."""

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

LEVELS = 3
ENGINES = {  # by name: m and levels
    f"{WINOGRAD}:m={m}" + f",strassen={levels}" * (levels > 0): (m, levels)
    for levels in range(LEVELS + 1)
    for m in (2, 4)
}


def foldings(node: Conv, engine: str) -> tuple[Folding, ...]:
    """Of the output and input channels of a block, smallest first."""
    _, levels = _setting(node, engine)
    return useful_foldings(*(-(-size >> levels) for size in (len(node.weight), node.weight.shape[-1])))


def winograd(node: Conv, x: Type, engine: str, folding: Folding, device: Device) -> WinogradConv:
    """The component of an engine's name. PlanError if there is none, or if the convolution has no tiles."""
    method = _method(node, x, *_setting(node, engine))
    return WinogradConv(method, folding, _lanes(method, device), device.family)


@lru_cache(maxsize=1 << 12)
def winograd_cost(node: Conv, x: Type, engine: str, folding: Folding, device: Device) -> Cost:
    """Predicted resources of that component; plans ask for the same ones often."""
    return winograd(node, x, engine, folding, device).cost(device)


def _setting(node: Conv, engine: str) -> tuple[int, int]:
    if engine not in ENGINES:
        raise PlanError(f"the engine of '{node.name}' must be one of {', '.join(ENGINES)}, not '{engine}'")
    return ENGINES[engine]


@lru_cache(maxsize=64)
def _method(node: Conv, x: Type, m: int, levels: int) -> Method:
    """Which holds the transformed weights."""
    return Method(node, x, m, levels)


def _lanes(method: Method, device: Device) -> Lanes:
    """DSP blocks where there are some that the factors fit in, else LUTs."""
    u, v, family = method.u_type.width, method.v_type.width, device.family
    fits = device.dsps != 0 and max(u, v) <= FACTOR_BITS[family][1] and in_dsp(v, u, family)
    return ProductLanes() if fits else DigitLanes()
