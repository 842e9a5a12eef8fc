"""tfc_1w1a's Verilog against the golden model on real images, as Markdown.

In two plans: the smallest, and the one of lowest latency.

Run: python benchmarks/verilog.py (with LUTWRIGHT_MODELS for the shared models).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from lutwright import flow
from lutwright.frontend.planning import Goal, Latency, Smallest

MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", Path(__file__).parents[2] / "shared" / "models"))
MODEL = MODELS / "tfc_1w1a" / "model.onnx"
CASE = MODELS / "tfc_1w1a" / "case.npz"
COLUMNS = ("cycles_per_frame", "latency_cycles", "samples", "elements_compared", "mismatches", "reference_mismatches",
           "accuracy", "seconds")  # fmt: skip
HEAD = ("plan", "device", "data", *(name.replace("_", " ") for name in COLUMNS))


def mnist(folder: Path) -> Path:
    """All 10,000 test images in the network's input domain."""
    with np.load(MODELS / "mnist_t10k.npz") as held:
        images = (held["images"].reshape(-1, 1, 28, 28) / np.float32(255)).astype(np.float32)
        np.savez(folder / "mnist.npz", inputs=images, labels=held["labels"])
    return folder / "mnist.npz"


def main() -> None:
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD))
    with tempfile.TemporaryDirectory() as name:
        runs: list[tuple[str, str, Goal, str, Path]] = [
            ("smallest", "ice40-up5k", Smallest(), "the model's 1,000", CASE),
            ("lowest latency", "ecp5-85k", Latency(), "the model's 1,000", CASE),
            ("lowest latency", "ecp5-85k", Latency(), "MNIST's 10,000", mnist(Path(name))),
        ]
        for plan, device, goal, data, samples in runs:
            options = flow.Options(device=device, goal=goal)
            facts = flow.simulate(MODEL, options, samples, None, "verilator", lambda *_: None)
            cells = ("-" if facts[name] is None else f"{facts[name]:,}" for name in COLUMNS)
            print(f"| {plan} | {device} | {data} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
