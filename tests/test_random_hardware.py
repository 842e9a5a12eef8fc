"""Random models of every dialect, planned at random foldings: their Verilog equals the golden model in Verilator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .frontend.graphs import DIALECTS
from .frontend.graphs.net import Case
from .random_hardware import outcome

SETTINGS = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wanted", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_verilog_equals_the_golden_model(dialect: str, wanted: int, tmp_path: Path) -> None:
    """As many models as wanted in simulation, and none that is different."""
    found = Counter[str]()

    @settings(SETTINGS, max_examples=3 * wanted)
    @given(DIALECTS[dialect]())
    def run(case: Case) -> None:
        if found["simulated"] < wanted:
            found.update(outcome(case, tmp_path, sum(found.values())))

    run()
    print(dialect, dict(found))
    assert found["simulated"] == wanted, found
