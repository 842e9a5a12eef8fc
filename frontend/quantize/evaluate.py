"""How close the quantized model's outputs are to the float model's."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lutwright.frontend.onnx_import.source import Source
from lutwright.frontend.quantize.data import Pieces, run
from lutwright.frontend.quantize.graph import Anything
from lutwright.frontend.quantize.qonnx import DOMAIN, plain

MOST_CLASSES = 100_000


def evaluate(
    source: Source, model: onnx.ModelProto, data: Pieces, labels: Anything | None = None
) -> list[dict[str, Any]]:
    """A row an output: signal to quantization noise in dB (None: no noise at all); where the output has classes, the
    share of samples with the float model's class; with labels, the share of right classes, float and quantized.

    Both run in onnxruntime with its default graph optimizations, Quant nodes as the plain operators that define them.
    """
    runnable = plain(model) if any(node.domain == DOMAIN for node in model.graph.node) else model
    rows = []
    for name, exact, rough in zip(source.outputs, run(source.model, data), run(runnable, data), strict=True):
        row: dict[str, Any] = {"output": name, "sqnr_db": sqnr(exact, rough), "top1_agreement": None}
        row |= {"accuracy_float": None, "accuracy_quantized": None}
        if exact.dtype.kind == "f" and exact.ndim == 2 and 1 < exact.shape[1] <= MOST_CLASSES:
            classes = [output.argmax(axis=1) for output in (exact, rough)]
            row["top1_agreement"] = float((classes[0] == classes[1]).mean())
            if labels is not None:
                right = [float((found == labels.reshape(-1)).mean()) for found in classes]
                row |= {"accuracy_float": right[0], "accuracy_quantized": right[1]}
        rows.append(row)
    return rows


def sqnr(exact: Anything, rough: Anything) -> float | None:
    """10 log10 of the exact outputs' energy over that of the difference, None where there is no difference."""
    signal, noise = exact.astype(np.float64), rough.astype(np.float64) - exact.astype(np.float64)
    energy = float((noise**2).sum())
    return float(10 * np.log10(max((signal**2).sum(), 1e-300) / energy)) if energy else None
