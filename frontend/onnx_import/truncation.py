"""Trunc of QONNX: integers shifted right and rounded; from version 2 on also clamped, with a scale of its own.

Where a bit width is int64 the reference computes in float64 from there on; NumPy's type promotion does so here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from lutwright.frontend import ir
from lutwright.frontend.onnx_import.qonnx import (
    ROUNDINGS,
    bounds,
    emit_rounded,
    emit_scaled,
    finite_scale,
    finite_zero,
    one_width,
    rounding_mode,
)
from lutwright.frontend.onnx_import.quantize import quantize
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.state import QONNX_DOMAINS, Import, Refused, attribute, operator
from lutwright.frontend.onnx_import.values import Anything, Raw, Value
from lutwright.frontend.onnx_import.writer import Writer

INT32 = (-(2**31), 2**31 - 1)


@operator("Trunc", domains=QONNX_DOMAINS, integer=True, arity=(5, 6), hosted=True)
def trunc(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    second = state.version(node.domain) >= 2
    if len(inputs) != (6 if second else 5):
        raise Refused(
            f"version {2 if second else 1} of it, which the model imports, has {6 if second else 5} inputs, "
            f"not {len(inputs)}",
            f"Import the right version of the domain '{node.domain}' in the model",
        )
    x, scale, zero, in_bits, *rest = inputs
    s, z, mode = finite_scale(scale), finite_zero(zero), rounding_mode(node, "FLOOR")
    if second:
        wanted, out_bits = finite_scale(rest[0]), one_width(rest[1])
        with np.errstate(invalid="ignore"):
            shift = np.asarray(2 ** np.round(np.log2(wanted / s)))
        if not np.isfinite(shift).all():
            raise Refused("its two scales must have one sign", "Export the model again with positive scales")
        signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 0))
        lo, hi = bounds(int(out_bits), signed, narrow)
        out_scale = wanted.astype(np.float64)
        offset = np.asarray(-(z / shift).astype(np.float64) * out_scale)
    else:
        if isinstance(x, Raw):
            raise Refused("it truncates an input whose range is not known", "Put a Quant before it, or use --input")
        shift = np.asarray(2.0 ** (one_width(in_bits) - one_width(rest[0])))
        (lo, hi), out_scale = INT32, s.astype(np.float64)
        offset = np.asarray(-z.astype(np.float64) * out_scale)

    def levels(v: Anything, s: Anything, z: Anything, shift: Anything) -> ir.Array:
        y = np.round(np.asarray(v / s) + z) / shift
        return ROUNDINGS[mode](np.clip(y, lo, hi) if second else y).astype(np.int64)

    def emit(writer: Writer, v: str, dtype: np.dtype[Any]) -> str:
        y, dtype = emit_scaled(writer, v, dtype, s, z)
        y, wider = writer.cast(emit_rounded(writer, y, dtype, "ROUND"), dtype), np.result_type(dtype, shift.dtype)
        y = writer.op("Div", writer.cast(y, wider), writer.constant(shift.astype(wider)))
        if second:
            ends = [writer.constant(np.array(end, wider)) for end in (hi, lo)]
            y = writer.op("Max", writer.op("Min", y, ends[0]), ends[1])
        return emit_rounded(writer, y, wider, mode)

    assert x is not None
    return [quantize(state, node, x, Quantizer(lo, hi, (s, z, shift), levels, out_scale, offset, emit))]
