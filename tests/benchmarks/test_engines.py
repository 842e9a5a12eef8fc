"""The engines' benchmark measures every case's engine and the naive form: here in small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lutwright.frontend.device import device
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.registry import engines

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_naive_form_is_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import engines as benchmark

    monkeypatch.setattr(benchmark, "ROWS", 8)
    monkeypatch.setattr(benchmark, "COLUMNS", 32)
    case = replace(benchmark.CASES["1x4 bit 32x32"], folding=Folding(4, 8))
    ours, naive = (
        benchmark.measured(case, engine, device("xc7")) for engine in (engines()[case.engine], benchmark.Naive())
    )
    assert ours.dsp == naive.dsp == 0
    assert 0 < ours.sites < naive.sites
