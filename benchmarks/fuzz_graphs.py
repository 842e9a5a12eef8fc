"""Random quantized graphs of every dialect: the golden model against the reference executors (issue of ties included).

Run: python benchmarks/fuzz_graphs.py [--count 2000] [--seed 0] [--dialect qonnx] [--save DIR]; needs the extra `dev`.
Prints every difference with its place and both values, then what became of the graphs by dialect and by operator.
Reproducers go to DIR: model.onnx, samples.npy and the story. Exits with 1 if a difference is no shown float32 tie, or
if an import ends without a typed error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.frontend.graphs import DIALECTS
from tests.frontend.graphs.check import Outcome, check
from tests.frontend.graphs.net import Case

BATCH = 100  # graphs a hypothesis run: it draws richer ones than a single long run does
KINDS = ("equal", "tie", "refused", "different", "crashed", "unrunnable")
FAILURES = ("different", "crashed")


class Tally:
    """Counts of outcomes by dialect and operator, and the first reproducer of each kind of failure."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.dialects: dict[str, Counter[str]] = defaultdict(Counter)
        self.operators: dict[str, Counter[str]] = defaultdict(Counter)
        self.reasons = Counter[str]()
        self.ties, self.compared, self.failures = 0, 0, 0
        self.start = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        case, kind = outcome.case, outcome.kind
        self.dialects[case.dialect][kind] += 1
        for operator in set(case.operators):
            self.operators[operator][kind] += 1
        for operator in {operator for operator, _ in outcome.refusals}:
            self.operators[operator]["refuses"] += 1
        for operator, reason in outcome.refusals:
            self.reasons[f"{operator}: {reason}"] += 1
        self.compared += outcome.compared
        self.ties += len(outcome.ties)
        if kind in ("different", "crashed", "tie", "unrunnable"):
            self.failures += kind in FAILURES
            print(f"\n{case.dialect}, graph {self.total}: {outcome}", flush=True)
            if self.folder is not None and kind != "tie":
                save(outcome, self.folder / f"{case.dialect}_{self.total}")

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.dialects.values())

    def progress(self) -> str:
        counts = Counter[str]()
        for found in self.dialects.values():
            counts.update(found)
        shown = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
        return f"{self.total} graphs in {time.monotonic() - self.start:.0f} s: {shown}"

    def table(self) -> str:
        lines = ["", "| dialect | " + " | ".join(KINDS) + " |", "|" + " --- |" * (len(KINDS) + 1)]
        for name, counts in self.dialects.items():
            lines.append(f"| {name} | " + " | ".join(str(counts[kind]) for kind in KINDS) + " |")
        lines += ["", "| operator | graphs with it | imported | it is refused | rate |", "|" + " --- |" * 5]
        for name, counts in sorted(self.operators.items(), key=lambda item: -sum(item[1][kind] for kind in KINDS)):
            graphs, imported = (
                sum(counts[kind] for kind in KINDS),
                counts["equal"] + counts["tie"] + counts["different"],
            )
            lines.append(
                f"| {name} | {graphs} | {imported} | {counts['refuses']} | {counts['refuses'] / max(1, graphs):.0%} |"
            )
        lines += ["", f"{self.compared:,} elements compared, {self.ties} float32 ties"]
        lines += ["", "Refusals:", *(f"{count:5} {reason}" for reason, count in self.reasons.most_common(60))]
        return "\n".join(lines)


def save(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(outcome.case.model, folder / "model.onnx")
    np.save(folder / "samples.npy", outcome.case.samples)
    (folder / "story.txt").write_text(f"grid: {outcome.case.grid}, exact: {outcome.case.exact}\n{outcome}\n")


def fuzz(dialect: str, count: int, number: int, tally: Tally, folder: Path) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(DIALECTS[dialect]())
    def run(case: Case) -> None:
        tally.add(check(case, folder))

    run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dialect", choices=list(DIALECTS), action="append")
    parser.add_argument("--save", type=Path, default=None, metavar="DIR")
    arguments = parser.parse_args()
    dialects, tally, number = arguments.dialect or list(DIALECTS), Tally(arguments.save), arguments.seed
    with tempfile.TemporaryDirectory() as scratch:
        while tally.total < arguments.count:
            dialect = dialects[number % len(dialects)]
            fuzz(dialect, min(BATCH, arguments.count - tally.total), number, tally, Path(scratch))
            number += 1
            print(tally.progress(), file=sys.stderr, flush=True)
    print(tally.table())
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
