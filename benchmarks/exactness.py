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
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model

from lutwright.frontend.compare import compare_reference, compare_tensor
from lutwright.frontend.model import load

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", ROOT.parent / "shared" / "models"))
NAMES = ("tfc_1w1a", "tfc_2w2a", "kwsmlp_w3a3", "jettag_qkeras_6b", "hls4ml_bnn_fc")


def compare(folder: Path, limit: int | None) -> tuple[int, int, int, int, int, list[str]]:
    """Samples, output elements and mismatches, inner elements and mismatches, and the first place of each tensor."""
    case = folder / "case.json"
    grid = json.loads(case.read_text())["input"] if case.exists() else None
    model = load(folder / "model.onnx", grid)
    held = np.load(folder / "case.npz")
    inputs, outputs = held["inputs"][:limit], held["outputs"][:limit]
    q = model.encode(inputs)
    trace = model.graph.trace(q)
    golden = trace[model.graph.output]
    wrong, first = compare_reference(model, golden, outputs)
    places = [str(first)] if first else []
    reference = cleanup_model(ModelWrapper(str(folder / "model.onnx")))
    entry = reference.graph.input[0].name
    shape = reference.get_tensor_shape(entry)
    inner = inner_wrong = 0
    for sample, x in enumerate(inputs):
        context = execute_onnx(reference, {entry: x.reshape(shape)}, return_full_exec_context=True)
        for tensor in model.tensors.values():
            if tensor.name in context and tensor.node in trace:
                ours = trace[tensor.node][sample : sample + 1]
                count, place = compare_tensor(tensor, ours, context[tensor.name])
                inner, inner_wrong = inner + ours.size, inner_wrong + count
                places += [f"sample {sample}: {place}"] if place else []
    return len(inputs), outputs.size, wrong, inner, inner_wrong, places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=None)
    arguments = parser.parse_args()
    print("| model | samples | output elements | differing | elements of inner tensors | differing |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in NAMES:
        samples, *counts, places = compare(MODELS / name, arguments.samples)
        print(f"| {name} | {samples:,} | " + " | ".join(f"{count:,}" for count in counts) + " |", flush=True)
        for place in places:
            print(f"  {place}")


if __name__ == "__main__":
    main()
