"""The sliding window that the attributes of an ONNX node describe."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.state import Refused, attribute

Sizes = tuple[int, ...]
LARGEST = 2**16  # of a kernel, stride, dilation or pad


def window_of(node: onnx.NodeProto, size: Sizes, kernel: Sizes | None = None, transposed: bool = False) -> Window:
    """Over an input with these spatial sizes; Refused where the attributes make no window.

    `kernel` is that of the weights, which the attribute must equal. `transposed`: of ConvTranspose, whose pads cut the
    result.
    """
    rank = len(size)
    shape = _sizes(node, "kernel_shape", rank, kernel)
    if kernel is not None and shape != kernel:
        raise Refused(f"its kernel_shape {shape} must be that of its weights, {kernel}", "Export the model again")
    strides, dilations = _sizes(node, "strides", rank, (1,) * rank), _sizes(node, "dilations", rank, (1,) * rank)
    automatic = attribute(node, "auto_pad", "NOTSET")
    if automatic == "NOTSET":
        flat = attribute(node, "pads", [0] * (2 * rank))
        if len(flat) != 2 * rank or not all(0 <= pad <= LARGEST for pad in flat):
            raise Refused(
                f"its pads must be {2 * rank} numbers from 0 to {LARGEST}, not {flat}", "Export the model again"
            )
        pads = tuple(zip(flat[:rank], flat[rank:], strict=True))
    elif automatic == "VALID":
        pads = ((0, 0),) * rank
    elif automatic in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same(size, Window(shape, strides, dilations, ((0, 0),) * rank), automatic, transposed)
    else:
        raise Refused(f"its auto_pad '{automatic}' is unknown", "Use NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    window = Window(shape, strides, dilations, pads)
    if transposed:
        pads = _of_output_shape(node, size, window)
        return Window(shape, strides, dilations, pads)
    if min(window.output(size), default=1) < 1:
        raise Refused(
            f"its window {window} is larger than its padded input of sizes {size}", "Check the model's shapes"
        )
    return window


def ceiled(node: onnx.NodeProto, size: Sizes, window: Window) -> Window:
    """With ceil_mode: enough padding at the ends for the last, partial windows that start inside the padded input."""
    if not attribute(node, "ceil_mode", 0):
        return window
    pads = []
    for axis, length in enumerate(size):
        before, after = window.pads[axis]
        reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1
        stride, room = window.strides[axis], length + before + after - reach
        count = -(-room // stride) + 1
        if (count - 1) * stride >= length + before:
            count -= 1
        pads.append((before, max(after, (count - 1) * stride + reach - length - before)))
    return Window(window.kernel, window.strides, window.dilations, tuple(pads))


def _sizes(node: onnx.NodeProto, name: str, rank: int, default: Sequence[int] | None) -> Sizes:
    found = tuple(attribute(node, name, list(default) if default is not None else []))
    if len(found) != rank or not all(isinstance(item, int) and 1 <= item <= LARGEST for item in found):
        raise Refused(f"its {name} must be {rank} numbers from 1 to {LARGEST}, not {found}", "Export the model again")
    return found


def _same(size: Sizes, window: Window, automatic: str, transposed: bool) -> tuple[tuple[int, int], ...]:
    """Padding such that the output has ceil(size / stride) elements, or size * stride of a transposed one."""
    pads = []
    for axis, length in enumerate(size):
        reach, stride = window.dilations[axis] * (window.kernel[axis] - 1) + 1, window.strides[axis]
        covered = stride if transposed else length - (-(-length // stride) - 1) * stride
        total = max(0, reach - covered)
        small = total // 2
        pads.append((small, total - small) if automatic == "SAME_UPPER" else (total - small, small))
    return tuple(pads)


def _of_output_shape(node: onnx.NodeProto, size: Sizes, window: Window) -> tuple[tuple[int, int], ...]:
    """The pads of ConvTranspose where it gives an output_shape."""
    rank = len(size)
    wanted = attribute(node, "output_shape", list[int]())
    if not wanted:
        return window.pads
    extra = attribute(node, "output_padding", [0] * rank)
    if len(wanted) not in (rank, rank + 2) or len(extra) != rank:
        raise Refused(f"its output_shape must have {rank} sizes, not {wanted}", "Export the model again")
    upper, pads = attribute(node, "auto_pad", "NOTSET") == "SAME_UPPER", []
    for axis, length in enumerate(size):
        reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1
        total = window.strides[axis] * (length - 1) + extra[axis] + reach - wanted[axis - rank]
        small = total // 2
        pads.append((small, total - small) if upper else (total - small, small))
    return tuple(pads)
