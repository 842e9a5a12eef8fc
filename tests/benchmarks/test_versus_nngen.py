"""The parts of `benchmarks/versus_nngen.py` that need no NNgen: the networks, what a bench prints, what has room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.errors import ToolError
from lutwright.frontend.device import device
from lutwright.frontend.model import load
from lutwright.hdl.synth import Resources

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_what_the_bench_prints() -> None:
    import versus_nngen

    printed = "VCD info\ncycles      12\nout   3\nout 255\ncycles 13\nout 127\nout 128\nbench.v:9: $finish called\n"
    cycles, outputs = versus_nngen.parsed(printed)
    assert cycles == 13
    assert outputs.tolist() == [[3, -1], [127, -128]]


def test_a_bench_that_hangs() -> None:
    import versus_nngen

    with pytest.raises(ToolError, match="must finish a frame"):
        versus_nngen.parsed("bench.v:9: $finish called\n")


@pytest.mark.parametrize("index", [0, 1], ids=["mlp", "conv"])
def test_the_file_is_the_layers(index: int, tmp_path: Path) -> None:
    """The imported graph against the layers computed here: sums, ties away from zero, channel last."""
    import versus_nngen_network as given

    net = given.networks()[index]
    given.write_onnx(net, tmp_path / "net.onnx")
    model = load(tmp_path / "net.onnx")
    golden = model.graph.evaluate(model.encode(given.samples(net, 20)))
    h = given.frames(net, 20)
    for layer in net.layers:
        if layer.conv:
            size = layer.weight.shape[1]
            padded = np.pad(h, ((0, 0), *((size // 2, size // 2),) * 2, (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
            sums = np.einsum("nyxchw,ohwc->nyxo", windows, layer.weight)
        else:
            sums = h.reshape(len(h), -1) @ layer.weight.T
        sums = sums + layer.bias
        rounded = np.sign(sums) * ((abs(sums) + (1 << layer.shift - 1)) >> layer.shift)
        h = np.clip(rounded, 0 if layer.relu else -128, 127)
        if layer.pool > 1:
            count, height, width, channels = h.shape
            h = h.reshape(count, height // layer.pool, layer.pool, width // layer.pool, layer.pool, channels)
            h = h.max((2, 4))
    assert np.array_equal(golden.reshape(h.shape), h)


@pytest.mark.parametrize(
    ("cells", "fit"), [({"LUT4": 83_640, "DP16KD": 208}, True), ({"LUT4": 83_641}, False), ({"MULT18X18D": 157}, False)]
)
def test_what_has_room(cells: dict[str, int], fit: bool) -> None:
    import versus_nngen_place as place

    assert place.fits(Resources.of(cells), device("ecp5-85k")) is fit
