"""Predicted against synthesized resources of real plans, part by part and in all, as Markdown.

Run: python benchmarks/resources.py [--only NAME …] [--device NAME …] (with LUTWRIGHT_MODELS for the shared models;
without them only the example). Convolutional networks in the plan without a goal only; all together take an hour.
The error of a resource is (predicted - synthesized) / synthesized; parts of fewer than 20 LUTs or FFs are left out.
LUTs are sites: those of LUT cells, and those that carry cells occupy. Block RAMs and DSPs are counts: their column is
the number of parts whose count is off.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

from conv_networks import CASES as CONVOLUTIONAL
from conv_networks import MODELS, grid

from lutwright import flow
from lutwright.errors import PlanError
from lutwright.frontend.device import device as family
from lutwright.frontend.planning import Goal, Smallest

ROOT = Path(__file__).parents[1]
NETWORKS = {
    "digits": (ROOT / "examples" / "digits" / "digits.onnx", None),
    "tfc_1w1a": (MODELS / "tfc_1w1a" / "model.onnx", None),
    "tfc_2w2a": (MODELS / "tfc_2w2a" / "model.onnx", None),
    "jettag_qkeras_6b": (MODELS / "jettag_qkeras_6b" / "model.onnx", "fixed<16,6>"),
    "kwsmlp_w3a3": (MODELS / "kwsmlp_w3a3" / "model.onnx", None),
    "hls4ml_bnn_fc": (MODELS / "hls4ml_bnn_fc" / "model.onnx", None),
}
NETWORKS |= {name: (MODELS / name / "model.onnx", grid(name)) for name in CONVOLUTIONAL}
DEVICES = ("ice40-hx8k", "ice40-up5k", "ecp5-85k", "gw2a-18", "gw1n-9", "xc7")
GOALS: dict[str, Goal | None] = {"default": None, "smallest": Smallest()}
NAMES = ("lut", "ff", "bram", "dsp")
LEAST = 20


def errors(rows: list[tuple[int, int]]) -> str:
    """Mean and worst relative error."""
    found = [(predicted - real) / real for predicted, real in rows if real >= LEAST]
    if not found:
        return "-"
    return f"{sum(map(abs, found)) / len(found):.0%} ({max(found, key=abs):+.0%}, n = {len(found)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="these networks")
    parser.add_argument("--device", nargs="+", choices=DEVICES, default=DEVICES, help="these devices")
    chosen = parser.parse_args()
    totals: dict[str, list[tuple[int, int]]] = defaultdict(list)
    by_kind: dict[tuple[str, str], dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    print("| network | device | plan | LUT predicted | LUT synthesized | FF predicted | FF synthesized | error LUT |")
    print("|" + " --- |" * 8)
    for name, (model, of_input) in ((name, NETWORKS[name]) for name in chosen.only):
        for device in chosen.device if model.exists() else ():
            for title, goal in list(GOALS.items())[: 1 if name in CONVOLUTIONAL else None]:
                try:
                    options = flow.Options(grid=of_input, device=device, goal=goal)
                    facts: dict[str, Any] = flow.synth(model, options, lambda *_: None)
                except PlanError as error:
                    print(f"| {name} | {device} | {title} | {error} |", flush=True)
                    continue
                for node in facts["nodes"]:
                    kind = (device, node["engine"] or node["kind"])
                    for resource in NAMES:
                        by_kind[kind][resource].append((node["predicted"][resource], node["measured"][resource]))
                lut, ff = (sum(node["predicted"][key] for node in facts["nodes"]) for key in ("lut", "ff"))
                totals[family(device).family].append((lut, facts["sites"]))
                off = (lut - facts["sites"]) / facts["sites"]
                lut, ff = (f"{predicted:,} | {facts[key]:,}" for key, predicted in (("sites", lut), ("ff", ff)))
                print(f"| {name} | {device} | {title} | {lut} | {ff} | {off:+.0%} |", flush=True)
    print("\n| family | LUT error of whole networks, mean (worst) |")
    print("|" + " --- |" * 2)
    for name, rows in (*totals.items(), ("all", [row for found in totals.values() for row in found])):
        print(f"| {name} | {errors(rows)} |")
    print("\n| device | part | LUT error, mean (worst) | FF error, mean (worst) | BRAM off | DSP off |")
    print("|" + " --- |" * 6)
    for (device, kind), resources in sorted(by_kind.items()):
        wrong = (sum(predicted != real for predicted, real in resources[key]) for key in ("bram", "dsp"))
        cells = (
            errors(resources["lut"]),
            errors(resources["ff"]),
            *(f"{n} of {len(resources['bram'])}" for n in wrong),
        )
        print(f"| {device} | {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
