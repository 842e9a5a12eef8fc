"""What a quantizing operator of any dialect is to the importer: a monotone map to integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.values import Anything, Lattice, Real
from lutwright.frontend.onnx_import.writer import Writer

LARGEST = 2**31  # steps between an offset and 0
DTYPE = np.dtype(np.float32)  # of what quantizers give back


@dataclass(frozen=True, eq=False)
class Quantizer:
    """`levels(x, *parameters)` gives integers in [lo, hi]; the operator's result is `scale * q + offset`.

    It is monotone in x. The parameters, scale and offset broadcast to x as ONNX does, so that a part of the channels
    can be evaluated with a part of the parameters. `emit(writer, x, dtype of x)` writes the same map in plain ONNX
    operators, int64 out.
    """

    lo: int
    hi: int
    parameters: tuple[Anything, ...]
    levels: Callable[..., ir.Array]
    scale: Real
    offset: Real
    emit: Callable[[Writer, str, np.dtype[Any]], str]
    dtype: np.dtype[Any] = DTYPE

    def lattice(self, q: ir.Array) -> Lattice | None:
        """The quantized constant as `scale * integers` without offset, if there is such a form."""
        q, scale, offset = np.broadcast_arrays(q, self.scale, self.offset)
        shift = offset / scale
        if np.abs(shift).max(initial=0) > LARGEST:
            return None
        if (shift == np.round(shift)).all():
            return Lattice(q + shift.astype(np.int64), scale, self.dtype)
        twice = 2 * shift
        if (twice == np.round(twice)).all():
            return Lattice(2 * q + twice.astype(np.int64), scale / 2, self.dtype)
        return None
