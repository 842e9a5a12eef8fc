"""What post-training quantization costs the float example in accuracy, at every width, as Markdown.

Run: python benchmarks/quantize.py (about a minute). Calibrated on examples/quantize/calib.npz, measured on test.npz,
which is for nothing else. `differing`: outputs, of all variants, where the golden model of the quantized file is not
what onnxruntime gives.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.quantization import measured, quantize
from lutwright.frontend.quantize.settings import Settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "quantize"
MODEL = EXAMPLE / "digits_float.onnx"
WIDTHS = (8, 6, 4, 3, 2)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "--per-tensor": {"per_channel": False},
    "--power-of-two": {"power_of_two": True},
    "--no-bias-correction": {"bias_correction": False},
    "--method minmax": {"method": "minmax"},
    "--method percentile": {"method": "percentile"},
    "--method entropy": {"method": "entropy"},
}


def differing(model: onnx.ModelProto, inputs: np.ndarray) -> int:
    """Output elements where the golden model differs from onnxruntime, of all samples."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "quantized.onnx")
        golden = load(Path(folder) / "quantized.onnx")
    (outputs,) = session(model, optimize=True).run(None, {golden.input_name: inputs})
    return compare_reference(golden, golden.graph.evaluate(golden.encode(inputs)), outputs)[0]


def main() -> None:
    calibration = np.load(EXAMPLE / "calib.npz")["inputs"]
    test = np.load(EXAMPLE / "test.npz")
    head = ("weights and activations", "SQNR", *VARIANTS, "differing")
    print("| " + " | ".join(head) + " |\n" + "|" + " --- |" * len(head))
    for bits in WIDTHS:
        texts, wrong = list[str](), 0
        for options in VARIANTS.values():
            model = quantize(MODEL, calibration, Settings(bits, bits, **options)).model
            (row,) = measured(MODEL, model, test["inputs"], test["labels"])
            texts += [f"{row['accuracy_quantized']:.2%}"] if texts else [
                f"{row['sqnr_db']:.1f} dB", f"{row['accuracy_quantized']:.2%}"
            ]  # fmt: skip
            wrong += differing(model, test["inputs"])
        print(f"| {bits} bits | {' | '.join(texts)} | {wrong} |", flush=True)
    print(f"\nfloat: {row['accuracy_float']:.2%} of {len(test['inputs'])} images")


if __name__ == "__main__":
    main()
