"""Many mutated files through worker processes with limits of time and memory: what was not allowed is a finding."""

from __future__ import annotations

import json
import queue
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .mutations import mutated
from .seeds import Seed

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 20.0  # of the processor, a file may take
HANGING = 120.0  # seconds after which nothing is waited for, on a busy machine too
ADDRESS_SPACE = 4 * 2**30  # beyond what the imports take
RESIDENT = 2 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How the import of one mutated file ended. `finding` says what was not allowed, empty if all was."""

    index: int
    seed: str
    mutation: str
    path: Path
    type: str
    text: str
    seconds: float
    peak: int
    finding: str


@dataclass
class Worker:
    """A process that imports files. It is started when needed, and again after it ended."""

    log: Path
    process: subprocess.Popen[str] | None = None
    baseline: int = 0

    def run(self, path: Path, grid: str | None) -> dict[str, Any]:
        """The worker's answer, or one that says how the worker ended."""
        if self.process is None:
            self._start()
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(json.dumps({"path": str(path), "grid": grid}) + "\n")
        self.process.stdin.flush()
        answer = self._answer(HANGING)
        if answer is not None:
            return answer | {"peak": answer["peak"] - self.baseline}
        ended = self.stop()
        kind = "Timeout" if ended is None else f"Crash ({signal.Signals(-ended).name if ended < 0 else ended})"
        trace = "" if ended is None else self.log.read_text(errors="replace")[-2000:]
        return {"type": kind, "text": "", "allowed": False, "trace": trace, "seconds": 0.0, "peak": 0}

    def stop(self) -> int | None:
        """Ends the process; its exit status if it had ended by itself."""
        if self.process is None:
            return None
        try:
            status = self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            status = None
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process = None
        return status

    def _start(self) -> None:
        with self.log.open("w") as log:
            command = [sys.executable, str(WORKER), str(ADDRESS_SPACE)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        started = self._answer(HANGING)
        assert started is not None, f"the worker did not start: {self.log.read_text()}"
        self.baseline = started["baseline"]

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self.process is not None and self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(seconds) else ""
        return dict(json.loads(line)) if line else None


def campaign(
    seeds: Sequence[Seed], indices: Sequence[int], seed: int, folder: Path, workers: int = 1
) -> Iterator[Outcome]:
    """The outcomes, as they come. The files of findings stay in the folder, each with a text beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    pool = [Worker(folder / f"worker{number}.log") for number in range(workers)]
    for worker in pool:
        free.put(worker)

    def one(index: int) -> Outcome:
        worker = free.get()
        try:
            return attempted(worker, seeds, index, seed, folder)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(workers) as threads:
        yield from threads.map(one, indices)
    for worker in pool:
        worker.stop()


def attempted(worker: Worker, seeds: Sequence[Seed], index: int, seed: int, folder: Path) -> Outcome:
    """The file of that index, made and imported."""
    rng = np.random.default_rng([seed, index])
    origin = seeds[int(rng.integers(len(seeds)))]
    content, mutation = mutated(rng, origin.model)
    path = folder / f"{seed}_{index}.onnx"
    path.write_bytes(content)
    answer = worker.run(path, origin.grid)
    finding = "" if answer["allowed"] else f"{answer['type']}: {answer['text']}"
    if not finding and answer["peak"] > RESIDENT:
        finding = f"{answer['peak'] / 2**30:.1f} GiB of memory"
    if not finding and answer["seconds"] > SECONDS:
        finding = f"{answer['seconds']:.0f} seconds"
    if finding:
        worker.stop()  # the next file starts without what this one left behind
        path.with_suffix(".txt").write_text(f"{origin.name}, {origin.grid}\n{mutation}\n{finding}\n{answer['trace']}")
    else:
        path.unlink()
        path.with_suffix(".txt").unlink(missing_ok=True)
    shown = [answer[key] for key in ("type", "text", "seconds", "peak")]
    return Outcome(index, origin.name, mutation, path, *shown, finding)
