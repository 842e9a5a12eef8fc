"""Golden model against the reference executor, on every output and every quantized tensor inside, as Markdown.

Run: python benchmarks/exactness.py [--samples N] (with LUTWRIGHT_MODELS for the shared models; needs the extra `dev`).
A tensor's element is equal where the reference's value lies within 1/1000 step of our integer (frontend.compare).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.testbenches.reference import mismatches, prepared

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", ROOT.parent / "shared" / "models"))
NAMES = ("tfc_1w1a", "tfc_2w2a", "kwsmlp_w3a3", "jettag_qkeras_6b", "hls4ml_bnn_fc")


def compare(folder: Path, limit: int | None) -> tuple[int, int, list[str]]:
    """Samples, elements compared (of the outputs and of every quantized tensor), and every mismatch."""
    case = folder / "case.json"
    model = load(folder / "model.onnx", json.loads(case.read_text())["input"] if case.exists() else None)
    held = np.load(folder / "case.npz")
    inputs, outputs = held["inputs"][:limit], held["outputs"][:limit]
    _, first = compare_reference(model, model.graph.evaluate(model.encode(inputs)), outputs)
    compared, found = mismatches(model, prepared(folder / "model.onnx"), inputs)
    return len(inputs), outputs.size + compared, [str(item) for item in ([first] if first else []) + found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=None)
    arguments = parser.parse_args()
    print("| model | samples | elements compared | differing |\n| --- | --- | --- | --- |")
    for name in NAMES:
        samples, compared, places = compare(MODELS / name, arguments.samples)
        print(f"| {name} | {samples:,} | {compared:,} | {len(places):,} |", flush=True)
        for place in places:
            print(f"  {place}")


if __name__ == "__main__":
    main()
