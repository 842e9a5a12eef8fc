"""What a plan calls convolutions of tiles: `winograd:m=2`, or `winograd:m=4,strassen=1` with levels of Strassen's."""

from __future__ import annotations

import math
from functools import lru_cache

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.lowering import WINOGRAD
from lutwright.frontend.nodes import Conv
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.bits import DigitLanes
from lutwright.hdl.engines.foldings import MOST_LANES
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
    """Those that pad no channels of a block, smallest first; of as many lanes the ones with SIMD nearest to 2 PE.

    For a lane out takes about twice the logic of a lane in.
    """
    _, levels = _setting(node, engine)
    rows, columns = (-(-size >> levels) for size in (len(node.weight), node.weight.shape[-1]))
    found = dict[int, Folding]()
    for pe in (count for count in range(1, rows + 1) if rows % count == 0):
        for simd in (count for count in range(1, columns + 1) if columns % count == 0):
            other = found.get(pe * simd)
            if pe * simd <= MOST_LANES and (other is None or _uneven(pe, simd) < _uneven(other.pe, other.simd)):
                found[pe * simd] = Folding(pe, simd)
    return tuple(found[lanes] for lanes in sorted(found))


def _uneven(pe: int, simd: int) -> float:
    return abs(math.log2(simd / pe) - 1)


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


@lru_cache(maxsize=8)
def _method(node: Conv, x: Type, m: int, levels: int) -> Method:
    """Which holds the transformed weights."""
    return Method(node, x, m, levels)


def _lanes(method: Method, device: Device) -> Lanes:
    """DSP blocks where there are some that the factors fit in, else LUTs."""
    u, v, family = method.u_type.width, method.v_type.width, device.family
    fits = device.dsps != 0 and max(u, v) <= FACTOR_BITS[family][1] and in_dsp(v, u, family)
    return ProductLanes() if fits else DigitLanes()
