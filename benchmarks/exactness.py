"""Golden model against the reference on the shared cases, every output of every sample, as Markdown.

Run: python benchmarks/exactness.py [--samples N] [CASE …] (with LUTWRIGHT_MODELS for the shared models; extra `dev`).
Reference: qonnx for the QONNX dialect, where every quantized tensor inside is compared too; onnxruntime with its
default optimizations for QDQ and QOperator; the case's own goldens for integer graphs. An element is equal where the
reference's value lies within 1/1000 step of our integer (frontend.compare). What differs is listed: with the
quantizer's argument in float64 and both values where it is a tie that the float32 sums of the reference decide, else as
a mismatch. The last column is information: elements in which onnxruntime without optimizations differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lutwright.frontend.compare import compare_reference
from lutwright.frontend.model import load
from lutwright.frontend.onnx_import.executor import session
from lutwright.testbenches.reference import contexts, prepared

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.frontend.graphs.check import Outcome, compare
from tests.frontend.graphs.net import Case

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", ROOT.parent / "shared" / "models"))
FLOAT = "mnist_lstm"  # not quantized: the import has nothing to say of it
QONNX = {"onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=None)
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    names = arguments.cases or sorted(path.parent.name for path in MODELS.glob("*/model.onnx"))
    print("| model | samples | elements compared | ties | mismatches | import, s | golden, s | unfused differs |")
    print("|" + " --- |" * 8)
    for name in names:
        if name != FLOAT:
            report(MODELS / name, arguments.samples)


def report(folder: Path, limit: int | None) -> None:
    case, start = folder / "case.json", time.monotonic()
    grid = json.loads(case.read_text())["input"] if case.exists() else None
    model, proto = load(folder / "model.onnx", grid), onnx.load(folder / "model.onnx")
    loaded = time.monotonic()
    held = np.load(folder / "case.npz")
    inputs, outputs = held["inputs"][:limit], held["outputs"][:limit]
    golden = model.graph.evaluate(model.encode(inputs))
    evaluated = time.monotonic()
    domains = {node.domain for node in proto.graph.node}
    if domains & QONNX:
        outcome = Outcome(Case("qonnx", proto, inputs, grid, exact=False))
        values = contexts(prepared(proto), inputs, model.batched)
        compare(outcome, model, model.trace_imported(inputs), values)
        compared, ties, wrong = outcome.compared, outcome.ties, [str(item) for item in outcome.differences]
        unfused = "-"
    else:
        count, first = compare_reference(model, golden, outputs)
        compared, ties, wrong = outputs.size, [], [f"{count} elements, the first: {first}"] if first else []
        unfused = _unfused(proto, inputs, outputs) if _runs(proto) else "-"
    times = f"{loaded - start:.1f} | {evaluated - loaded:.1f}"
    print(
        f"| {folder.name} | {len(inputs):,} | {compared:,} | {len(ties)} | {len(wrong)} | {times} | {unfused} |",
        flush=True,
    )
    for item, tie in ties:
        print(f"  {item}; {tie}")
    for text in wrong:
        print(f"  {text}")


def _runs(proto: onnx.ModelProto) -> bool:
    return all(onnx.defs.has(node.op_type, node.domain) or node.domain == "com.microsoft" for node in proto.graph.node)


def _unfused(proto: onnx.ModelProto, inputs: NDArray[Any], outputs: NDArray[Any]) -> str:
    run = session(proto)
    name = run.get_inputs()[0].name
    found = np.concatenate([run.run(None, {name: inputs[i : i + 1]})[0] for i in range(len(inputs))])
    return f"{int((found.reshape(outputs.shape) != outputs).sum()):,} of {outputs.size:,}"


if __name__ == "__main__":
    main()
