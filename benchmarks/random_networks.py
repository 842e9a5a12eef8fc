"""Random models of every dialect, planned at random foldings: their Verilog against the golden model in Verilator.

Run: python benchmarks/random_networks.py [--count 200] [--dialect qonnx]; needs the extra `dev`.
As many models of each dialect, all outputs and, where nothing stalls, all cycles. The first difference ends
the run, with the model's number and foldings. Prints what became of the drawn models, and the kinds of nodes simulated.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.frontend.graphs import DIALECTS
from tests.random_hardware import drawn, outcome


def simulated(dialect: str, wanted: int, folder: Path) -> Counter[str]:
    """What became of the models drawn until so many were simulated."""
    found, started = Counter[str](), time.monotonic()
    for number, case in enumerate(drawn(dialect, 60 + 4 * wanted)):
        if found["simulated"] == wanted:
            break
        found += outcome(case, folder, number)
        seconds = time.monotonic() - started
        print(f"\r{dialect}: {found['simulated']} of {wanted}, {seconds:.0f} s", end="", flush=True)
    print()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="models to simulate in all")
    parser.add_argument("--dialect", choices=DIALECTS, help="of this dialect only")
    options = parser.parse_args()
    dialects = [options.dialect] if options.dialect else list(DIALECTS)
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for dialect in dialects:
            found += simulated(dialect, -(-options.count // len(dialects)), Path(folder))
    fates = ("simulated", "without hardware", "refused by the importer")
    print("\n| models | number |\n| --- | --- |")
    for fate in fates:
        print(f"| {fate}{', and equal' * (fate == fates[0])} | {found[fate]} |")
    if found["simulated"] < options.count:
        sys.exit(f"only {found['simulated']} of {options.count} models were simulated")
    print("\n| nodes | models |\n| --- | --- |")
    for kind, count in found.most_common():
        if kind not in fates:
            print(f"| {kind} | {count} |")


if __name__ == "__main__":
    main()
