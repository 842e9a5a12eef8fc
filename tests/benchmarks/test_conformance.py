"""No network of the conformance table is wrong: a sample of one in sixteen cases quickly, all of them slowly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("every", "equal"), [(16, 100), pytest.param(1, 2000, marks=pytest.mark.slow)], ids=["sample", "all"]
)
def test_no_network_is_wrong(every: int, equal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import conformance

    cases, _ = conformance.conformance_cases.collect()
    picked = [case for case in cases if conformance.chosen(case.name, every)]
    results = [*conformance.onnx_results(picked), *conformance.qonnx_results(every=every)]
    assert conformance.wrong(results) == []
    kinds = Counter(outcome.kind for _, outcome in results)
    assert kinds["equal"] >= equal
    assert kinds["no reference"] == 0
