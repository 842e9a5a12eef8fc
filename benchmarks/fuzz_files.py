"""Mutated model files through the import: each must give a model or a typed error, in time and within memory.

Run: python benchmarks/fuzz_files.py [--count 2000] [--seed 0] (with LUTWRIGHT_MODELS for the third-party models among
the seeds). Exits with 1 if there is a finding; its file and the way it was made stay in --out. `--only N` repeats one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the mutators are those of the tests

from tests.frontend.fuzzing.campaign import Outcome, campaign  # noqa: E402
from tests.frontend.fuzzing.seeds import large, small  # noqa: E402


def summary(outcomes: list[Outcome]) -> None:
    """Counts by outcome, the slowest file and the largest."""
    kinds = Counter("finding" if item.finding else item.type or "imported" for item in outcomes)
    print("\n| outcome | files |\n| --- | --- |")
    for kind, count in kinds.most_common():
        print(f"| {kind} | {count:,} |")
    slowest, largest = max(outcomes, key=lambda item: item.seconds), max(outcomes, key=lambda item: item.peak)
    print(f"\nslowest: {slowest.seconds:.1f} s (file {slowest.index}, {slowest.seed}: {slowest.mutation})")
    print(f"largest: {largest.peak / 2**20:.0f} MiB (file {largest.index}, {largest.seed}: {largest.mutation})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None, metavar="N")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz_files")
    arguments = parser.parse_args()
    indices = range(arguments.count) if arguments.only is None else [arguments.only]
    seeds = [*small(), *large()]
    console = Console(stderr=True, highlight=False)
    print(f"seed {arguments.seed}, {len(indices):,} files from {len(seeds)} models")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcomes: list[Outcome] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("importing", total=len(indices))
        for item in campaign(seeds, indices, arguments.seed, arguments.out, arguments.workers):
            outcomes.append(item)
            if item.finding:
                text = f"{item.path} ({item.seed}: {item.mutation}): {item.finding[:300]}"
                console.print(text, markup=False, soft_wrap=True)
            progress.advance(task)
    summary(outcomes)
    return 1 if any(item.finding for item in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
