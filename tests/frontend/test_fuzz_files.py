"""Mutated model files give a model or a typed error, in time and within memory; benchmarks/fuzz_files.py tries more."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fuzzing import campaign as module
from .fuzzing.campaign import campaign
from .fuzzing.seeds import Seed, small


def findings(seeds: list[Seed], indices: range, seed: int, folder: Path) -> list[str]:
    outcomes = list(campaign(seeds, indices, seed, folder))
    assert len(outcomes) == len(indices) and any(not item.type for item in outcomes)
    return [f"file {item.index}, {item.seed}: {item.mutation}: {item.finding}" for item in outcomes if item.finding]


def test_mutated_files(tmp_path: Path) -> None:
    assert not findings(small(), range(100), 3, tmp_path)


@pytest.mark.parametrize("sabotage", ["hang", "crash", "exception", "memory"])
def test_what_is_not_allowed_is_found(sabotage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose import misbehaves."""
    bodies = {
        "hang": "time.sleep(60)",
        "crash": "os.kill(os.getpid(), 11)",
        "exception": "raise ValueError('no typed error')",
        "memory": "bytearray(2**28)",
    }
    text = module.WORKER.read_text()
    body = f"    {bodies[sabotage]}\n    return\n    if describe(path, grid).refusals:"
    (tmp_path / "worker.py").write_text(text.replace("    if describe(path, grid).refusals:", body))
    monkeypatch.setattr(module, "WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(module, "HANGING", 15.0)
    monkeypatch.setattr(module, "RESIDENT", 2**27)
    (outcome,) = campaign(small(), [0], 0, tmp_path / "files")
    expected = {"hang": "Timeout", "crash": "Crash (SIGSEGV)", "exception": "ValueError", "memory": "GiB of memory"}
    assert expected[sabotage] in outcome.finding and outcome.path.with_suffix(".txt").exists()
