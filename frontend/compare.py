"""Equality of the golden integers with a float reference, on the integer grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import DataError, Mismatch
from lutwright.frontend.ir import Array

if TYPE_CHECKING:
    from lutwright.frontend.model import Model, Tensor

STEP = 1e-3  # how far the reference may be from our integer, in steps of the grid
ULPS = 4 * 2.0**-24  # and, relative to the value: the roundings of the reference's own float32
PROBE = 2.0**-5  # steps of the finite differences
Anything = NDArray[Any]


def compare_tensor(tensor: Tensor, q: Array, reference: Anything) -> tuple[int, Mismatch | None]:
    """The reference's value of a quantized tensor against the integers q of the tensor's node, [n, ...] both.

    Equal where |reference - (scale * q + offset)| is at most 1/1000 of the scale, plus four float32 roundings (2^-24)
    of the value. Returns the number of mismatching elements, and the first one: expected is the reference, found ours.
    """
    ours, other = tensor.real(q), reference.reshape(q.shape).astype(np.float64)
    allowed = STEP * np.abs(tensor.scale) + ULPS * np.maximum(np.abs(ours), np.abs(other))
    return _mismatches(f"tensor '{tensor.name}'", ~(np.abs(ours - other) <= allowed), other, ours)


def compare_reference(model: Model, q: Array, outputs: Anything) -> tuple[int, Mismatch | None]:
    """The user's outputs as the reference gives them (the model's first output) against the golden integers q.

    The hardware's output tensor may be off by d = 1/1000 step plus four float32 roundings of its value, as in
    `compare_tensor`; the host's share carries that to the outputs. So an output element is equal where it lies

    - for an elementwise share of the host: between its values at q - d, q and q + d;
    - for any other (Softmax): within sum over k of |d_k * slope_k| of its value at q, slope_k by the finite difference
      over 1/32 step of the hardware's output element k;
    - in both cases plus four float32 roundings of the output's value; an integer output must be equal at q.

    Returns the number of mismatching elements, and the first one: expected is the reference, found ours.
    """
    name = model.output_names[0]
    found = model.decode(q)[name]
    if outputs.shape[:1] == found.shape[:1] and outputs.size == found.size:
        outputs = outputs.reshape(found.shape)  # samples may carry the model's own batch axis of 1
    if outputs.shape != found.shape:
        raise DataError(f"the reference's outputs must have the shape {found.shape}, not {outputs.shape}")
    where = f"output '{name}'"
    if found.dtype.kind in "biu":
        return _mismatches(where, found != outputs, outputs, found)
    integers, values, wanted = q.astype(np.float64), found.astype(np.float64), outputs.astype(np.float64)
    ulps = ULPS * np.maximum(np.abs(values), np.abs(wanted))
    if (np.abs(values - wanted) <= ulps).all():
        return 0, None
    scale = np.broadcast_to(np.abs(model.output.scale), q.shape[1:])
    off = STEP + ULPS * np.abs(model.output.real(q)) / np.where(scale == 0, 1, scale)
    if name in model.elementwise:
        ends = [model.decode_real(integers + sign * off)[name].astype(np.float64) for sign in (-1, 1)]
        low, high = np.minimum.reduce([values, *ends]), np.maximum.reduce([values, *ends])
    else:
        reach = np.zeros_like(values)
        for index in np.ndindex(q.shape[1:]):
            place = (slice(None), *index)
            moved = integers.copy()
            moved[place] += PROBE
            change = np.abs(model.decode_real(moved)[name].astype(np.float64) - values)
            reach += change * (off[place] / PROBE).reshape(-1, *(1,) * (values.ndim - 1))
        low, high = values - reach, values + reach
    wrong = ~((wanted >= low - ulps) & (wanted <= high + ulps))
    return _mismatches(where, wrong, wanted, values)


def _mismatches(where: str, wrong: Anything, expected: Anything, found: Anything) -> tuple[int, Mismatch | None]:
    count = int(wrong.sum())
    if not count:
        return 0, None
    sample, *index = (int(item) for item in np.argwhere(wrong)[0])
    place = (sample, *index)
    return count, Mismatch(where, sample, tuple(index), expected[place], found[place])
