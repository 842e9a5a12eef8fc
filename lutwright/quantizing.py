"""The command `quantize`: a float model file and samples to a quantized model file and the facts about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from lutwright.design import Progress
from lutwright.errors import OptionError
from lutwright.files import load_samples, staged
from lutwright.frontend.quantize.quantization import measured, quantize
from lutwright.frontend.quantize.settings import Settings


def quantize_model(
    path: Path, settings: Settings, data: Path, limit: int | None, out: Path, progress: Progress
) -> dict[str, Any]:
    """Write the quantized model to `out`, and compare it with the float model on the same samples."""
    started = time.monotonic()
    if out.suffix != ".onnx" or out.is_dir():
        raise OptionError(f"-o must name the .onnx file to write, not '{out}'.")
    if out.exists() and path.exists() and out.samefile(path):
        raise OptionError(f"-o must not be the float model itself, '{out}'. Name another file.")
    samples = load_samples(data, limit)
    result = quantize(path, samples.inputs, settings, progress)
    progress("compare the outputs")
    outputs = measured(path, result.model, samples.inputs, samples.labels)
    with staged(out.parent) as stage:
        onnx.save(result.model, stage / out.name)
    written = "" if settings.format == "qdq" else ", Quant nodes as the plain operators that define them"
    return {
        "model": str(path),
        "quantized": str(out),
        "settings": asdict(settings),
        "samples": len(samples),
        **result.facts(),
        "outputs": outputs,
        "executor": f"onnxruntime {onnxruntime.__version__}, default graph optimizations{written}",
        "seconds": round(time.monotonic() - started, 3),
    }
