"""Convolutions and pools: kernels, strides, dilations and paddings that fit, and the shapes that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .net import Net, Shape


@dataclass(frozen=True)
class Window:
    """Attributes of a drawn window, and the spatial sizes after it."""

    kernel: list[int]
    attributes: dict[str, Any]
    sizes: list[int]


def window(net: Net, sizes: Shape, keep: bool = False, pool: str = "") -> Window:
    """A window over axes of these sizes; `keep`: the output has them too; `pool`: the operator, if it is a pool."""
    kernel = [net.integer(1, min(3, size + 1 if keep else size)) for size in sizes]
    if keep:
        return _same(net, sizes, kernel)
    dilations = [net.integer(1, 2) if net.chance(4) else 1 for _ in sizes]
    if pool not in ("", "MaxPool") or (pool and net.dialect == "qoperator"):
        dilations = [1] * len(sizes)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    strides = [net.integer(1, 3) if net.chance(3) else 1 for _ in sizes]
    how = net.pick("none", "explicit", "SAME_UPPER", "SAME_LOWER", "VALID")
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    if strides != [1] * len(sizes) or net.chance():
        attributes["strides"] = strides
    if pool and how.startswith("SAME"):
        strides = [min(s, k) for s, k in zip(strides, kernel, strict=True)]  # onnxruntime fails on pads below 0
        attributes["strides"] = strides
    if how.startswith("SAME") and dilations == [1] * len(sizes):
        return Window(kernel, attributes | {"auto_pad": how}, [-(-n // s) for n, s in zip(sizes, strides, strict=True)])
    pads = [0] * (2 * len(sizes))
    if how == "explicit":
        pads = [net.integer(0, min(2, kernel[i % len(sizes)] - 1 if pool else 2)) for i in range(2 * len(sizes))]
    starts, ends = pads[: len(sizes)], pads[len(sizes) :]
    ends = [max(e, r - n - b) for e, r, n, b in zip(ends, reach, sizes, starts, strict=True)]
    if any(starts) or any(ends) or net.chance():
        attributes["pads"] = starts + ends
    elif how == "VALID":
        attributes["auto_pad"] = "VALID"
    if dilations != [1] * len(sizes):
        attributes["dilations"] = dilations
    padded = [n + b + e for n, b, e in zip(sizes, starts, ends, strict=True)]
    up = bool(pool) and net.dialect != "integer" and net.chance(5)
    if up:
        attributes["ceil_mode"] = 1
    found = []
    for n, r, s, e in zip(padded, reach, strides, ends, strict=True):
        count = (n - r + (s - 1) * up) // s + 1
        found.append(count - 1 if up and (count - 1) * s >= n - e else count)  # no window starts in the end's padding
    return Window(kernel, attributes, found)


def _same(net: Net, sizes: Shape, kernel: list[int]) -> Window:
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    how = net.pick("explicit", "SAME_UPPER", "SAME_LOWER")
    if how == "explicit":
        starts = [net.integer(0, k - 1) for k in kernel]
        attributes["pads"] = starts + [k - 1 - b for k, b in zip(kernel, starts, strict=True)]
    else:
        attributes["auto_pad"] = how
    return Window(kernel, attributes, list(sizes))


def groups(net: Net, channels: int) -> int:
    """1, the channels (depthwise), or a divisor of them."""
    return int(net.pick(1, channels, *[n for n in range(2, channels) if channels % n == 0]))
