"""The operands of linear operators: constants as integers times scales, activations as integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.chain import as_integers
from lutwright.frontend.onnx_import.constants import LARGEST, common_step, on_grid
from lutwright.frontend.onnx_import.state import Import, Refused, activation
from lutwright.frontend.onnx_import.values import (
    Constant,
    Lattice,
    Product,
    Quantized,
    Real,
    Value,
    reduced,
)

EIGHT_BITS = (np.dtype(np.int8), np.dtype(np.uint8))  # the types that executors have fused operators for
LARGEST_INTEGER = 2**31  # of weights that are integers as they are; float32 holds larger ones that were never quantized


@dataclass(frozen=True, eq=False)
class Weights:
    """Rows of integers with one step each: real[n, k] = step[n] * q[n, k] for activations' integers.

    `real` is without the activations' scale.
    """

    q: ir.Array
    step: Real
    real: Real

    @classmethod
    def of(cls, q: ir.Array, scale: Real, x_scale: Real) -> Weights:
        """q and scale [N, K]; x_scale [K], or [N, K], of the activations."""
        real = scale * q
        scales = np.broadcast_to(x_scale * scale, q.shape)
        if (scales == scales[:, :1]).all():
            return cls(np.ascontiguousarray(q), scales[:, 0].copy(), real)
        steps, folded = np.empty(len(q)), np.empty(q.shape, np.int64)
        for row in range(len(q)):
            steps[row], factors = common_step(scales[row])
            product = factors * q[row]
            if np.abs(product).max() > LARGEST:
                raise Refused(
                    "its inputs or weights have different scales along the axis that it sums over",
                    "Quantize them with one scale, or with scales that are powers of two",
                )
            folded[row] = product.astype(np.int64)
        return cls(folded, steps, real)


def product_of(x: Quantized, codes: np.dtype[Any] | None, w_scale: Real) -> Product | None:
    """What a fused quantizer needs, if both operands are made of 8-bit codes and the activations have one scale."""
    if x.codes not in EIGHT_BITS or codes not in EIGHT_BITS or x.scale.size > 1 or x.offset.size > 1:
        return None
    return Product(x.scale.astype(np.float32).reshape(()), reduced(w_scale.astype(np.float32)), np.zeros((), np.int64))


def integers(state: Import, node: onnx.NodeProto, value: Value | None) -> Quantized:
    """The value as integers with a scale."""
    value = activation(value)
    return value if isinstance(value, Quantized) else as_integers(state, f"{node.name}_input", value)


def lattice_of(value: Constant) -> Lattice:
    """The constant as integers times a scale: as quantizers declared it, or on the grid that each output row is on.

    The rows are those of the last axis of a matrix [K, N], and of the first axis of a kernel [N, C, ...].
    """
    if not value.array.size:
        raise Refused(f"its weights of shape {value.shape} are empty", "Check the model's constants")
    if not np.isfinite(value.array).all():
        raise Refused(
            "its weights hold NaN or infinity",
            "Look for NaN, infinity or 0 in the trained parameters, and export the model again",
        )
    if value.lattice is not None:
        return value.lattice
    array = value.array.astype(np.float64)
    if (array == np.round(array)).all() and np.abs(array).max() < LARGEST_INTEGER:
        return Lattice(array.astype(np.int64), np.broadcast_to(np.ones(()), array.shape), value.array.dtype)
    axis = -1 if array.ndim == 2 else 0
    rows = np.moveaxis(array, axis, 0)
    q, scale = np.empty(rows.shape, np.int64), np.empty(rows.shape)
    for row in range(len(rows)):
        grid = on_grid(rows[row])
        if grid is None:
            raise Refused("its weights are not quantized", "Quantize them, for example with `lutwright quantize`")
        scale[row], q[row] = grid
    return Lattice(np.moveaxis(q, 0, axis), np.moveaxis(scale, 0, axis), value.array.dtype)
