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

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.frontend.graphs import DIALECTS
from tests.frontend.graphs.net import Case
from tests.random_hardware import outcome

BATCH = 100  # models a hypothesis run: it draws richer ones than a single long run does
QUIET = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def simulated(dialect: str, wanted: int, folder: Path) -> Counter[str]:
    """What became of the models drawn until so many were simulated."""
    found, drawn, started = Counter[str](), 0, time.monotonic()
    while found["simulated"] < wanted:

        @seed(drawn)
        @settings(QUIET, max_examples=BATCH)
        @given(DIALECTS[dialect]())
        def run(case: Case) -> None:
            nonlocal drawn
            if found["simulated"] < wanted:
                found.update(outcome(case, folder, drawn))
                drawn += 1
                seconds = time.monotonic() - started
                print(f"\r{dialect}: {found['simulated']} of {wanted}, {seconds:.0f} s", end="", flush=True)

        run()
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
    print("\n| nodes | models |\n| --- | --- |")
    for kind, count in found.most_common():
        if kind not in fates:
            print(f"| {kind} | {count} |")


if __name__ == "__main__":
    main()
