"""The README's table of boards: every bitstream built for real, as Markdown.

Run: python benchmarks/boards.py (with LUTWRIGHT_MODELS for the shared models; without them only the example).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lutwright import flow
from lutwright.boards.base import boards
from lutwright.errors import LutwrightError

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", ROOT.parent / "shared" / "models"))
CASES = {
    "digits": (ROOT / "examples" / "digits" / "digits.onnx", ROOT / "examples" / "digits" / "test.npz"),
    "tfc_1w1a": (MODELS / "tfc_1w1a" / "model.onnx", MODELS / "tfc_1w1a" / "case.npz"),
}
HEAD = ("network", "board", "LUT", "FF", "BRAM", "DSP", "Fmax, MHz", "clock, MHz", "cycles", "frames/s", "latency, µs",
        "tools, s")  # fmt: skip


def row(name: str, model: Path, samples: Path, board: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        options = flow.Options(board=board)
        try:
            facts = flow.build(model, options, samples, 100, Path(folder), lambda *_: None)
        except LutwrightError as error:
            return [name, board, str(error)]
    return [
        name, board, *(f"{facts[key]:,}" for key in ("lut", "ff", "bram", "dsp")), f"{facts['fmax_mhz']:.1f}",
        f"{facts['clock_mhz']:.2f}", f"{facts['interval_cycles']:,}", f"{facts['frames_per_second']:,.0f}",
        f"{facts['latency_us']:.1f}", f"{sum(facts['tool_seconds'].values()):.0f}",
    ]  # fmt: skip


def main() -> None:
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD))
    for name, (model, samples) in CASES.items():
        for board in boards() if model.exists() else ():
            print("| " + " | ".join(row(name, model, samples, board)) + " |", flush=True)


if __name__ == "__main__":
    main()
