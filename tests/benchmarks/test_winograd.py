"""The counts of multiplications are the published method's, to the integer."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
F2 = (6_820_724_736, 5_983_961_088, 5_260_050_432, 4_669_177_856, 4_198_526_976, 3_786_092_800)
RATIOS = {
    "F(2x2, 3x3)": (0.4444, 0.3899, 0.3427, 0.3042, 0.2736, 0.2467),
    "F(4x4, 3x3)": (0.2569, 0.2263, 0.2006, 0.1808, 0.1674, 0.1524),
    "Strassen alone": (1.0, 0.8757, 0.7669, 0.6730, 0.5918, 0.5254),
}
SQUARE = {2: 0.3889, 4: 0.3403, 8: 0.2977, 16: 0.2605, 32: 0.2280, 64: 0.1995}


def test_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import winograd

    whole = winograd.direct(winograd.VGG16)
    assert whole == 15_346_630_656
    found = [winograd.vgg16(levels) for levels in winograd.LEVELS]
    assert tuple(row["F(2x2, 3x3)"] for row in found) == F2
    for name, ratios in RATIOS.items():
        assert tuple(round(row[name] / whole, 4) for row in found) == ratios
    assert {layer.inputs: round(winograd.square(layer) / layer.direct, 4) for layer in winograd.SQUARE} == SQUARE
    assert [winograd.square(layer) for layer in winograd.SQUARE] == [16 * 7**n * 1024 >> n for n in range(1, 7)]
