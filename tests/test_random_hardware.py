"""Random models of every dialect, planned at random foldings: their Verilog equals the golden model in Verilator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .frontend.graphs import DIALECTS
from .frontend.graphs.net import Case
from .random_hardware import outcome

WANTED = 4  # of each dialect; benchmarks/random_networks.py runs many more
SETTINGS = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_verilog_equals_the_golden_model(dialect: str, tmp_path: Path) -> None:
    """So many models in simulation, and none that is different."""
    found = Counter[str]()

    @settings(SETTINGS, max_examples=3 * WANTED)
    @given(DIALECTS[dialect]())
    def run(case: Case) -> None:
        if found["simulated"] < WANTED:
            found.update(outcome(case, tmp_path, sum(found.values())))

    run()
    print(dialect, dict(found))
    assert found["simulated"] == WANTED, found
