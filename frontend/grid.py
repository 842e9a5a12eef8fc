"""Grids: which integers and which scale the samples of an unquantized input lie on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from lutwright.errors import OptionError
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.writer import Writer

HELP = "int8, uint4, fixed<16,6> (16 bits, 6 of them integer, sign included), ufixed<8,0>, bipolar, binary or ternary"
IMPLIED = {"int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "bool": "uint1"}
NAMED = {"bipolar": (0, 1, 2.0, -1.0), "binary": (0, 1, 1.0, 0.0), "ternary": (-1, 1, 1.0, 0.0)}


@dataclass(frozen=True)
class Grid:
    """The reals `scale * q + offset` for integers q in [lo, hi]."""

    lo: int
    hi: int
    scale: float
    offset: float = 0.0

    def quantizer(self) -> Quantizer:
        """Rounds to the grid: exact for samples that lie on it."""
        scale, offset = np.asarray(self.scale), np.asarray(self.offset)

        def emit(writer: Writer, x: str, dtype: np.dtype[Any]) -> str:
            y = writer.op("Sub", writer.cast(x, np.dtype(np.float64)), writer.constant(offset))
            y = writer.op("Div", y, writer.constant(scale))
            y = writer.op("Floor", writer.op("Add", y, writer.constant(np.array(0.5))))
            return writer.cast(y, np.dtype(np.int64))

        def levels(x: Any) -> Any:
            return np.floor((x.astype(np.float64) - offset) / scale + 0.5).astype(np.int64)

        return Quantizer(self.lo, self.hi, (), levels, scale, offset, emit)


def parse(text: str) -> Grid:
    """The grid of that name; OptionError if it is none."""
    name = text.strip().lower().replace(" ", "")
    if name in NAMED:
        return Grid(*NAMED[name])
    match = re.fullmatch(r"(u?)int(\d{1,9})|(?:ap_)?(u?)fixed<(\d{1,9}),(-?\d{1,9})>", name)
    bits = int(match[2] or match[4]) if match else 0
    point = int(match[5] or bits) if match else 0
    if match is None or not 1 <= bits <= 32 or not -256 <= point <= 256:
        raise OptionError(f"the input's grid must be one of {HELP}, with 1 to 32 bits, not '{text}'")
    unsigned = bool(match[1] or match[3])
    scale = 2.0 ** (point - bits)
    return Grid(0, 2**bits - 1, scale) if unsigned else Grid(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, scale)


def annotated(graph: onnx.GraphProto, tensor: str, dtype: np.dtype[Any]) -> Grid | None:
    """The grid that the input's own type or its `finn_datatype` annotation declares, if either does."""
    for annotation in graph.quantization_annotation:
        if annotation.tensor_name == tensor:
            for entry in annotation.quant_parameter_tensor_names:
                if entry.key == "finn_datatype" and not re.match(r"FLOAT|SCALEDINT", entry.value):
                    try:
                        return parse(entry.value)
                    except OptionError:
                        return None
    return parse(IMPLIED[str(dtype)]) if str(dtype) in IMPLIED else None
