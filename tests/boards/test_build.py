"""Real bitstreams for every board, and what is said where there can be none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.boards import build as builds
from lutwright.boards.base import board, boards
from lutwright.boards.build import BuildResult, build
from lutwright.errors import OptionError, ToolError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.registry import engines

from .test_link import CORES, layer

MAGIC = {"icebreaker": b"\xff\x00\x00\xff\x7e\xaa\x99\x7e", "ulx3s_85f": b"\xff\x00", "tang_nano_9k": b"11111111"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty build cache."""
    monkeypatch.setattr(builds, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache"


def make(name: str, core: StreamComponent, folder: Path, clock: float | None = None) -> tuple[BuildResult, list[str]]:
    stages: list[str] = []
    folder.mkdir(exist_ok=True)
    chosen = board(name)
    return build(core, chosen, clock or chosen.clock_mhz, 0x12345678, folder, stages.append), stages


@pytest.mark.slow
@pytest.mark.parametrize("name", boards())
def test_bitstream(name: str, tmp_path: Path, cache: Path) -> None:
    built, stages = make(name, layer(CORES[1])[1], tmp_path / "one")
    assert built.bitstream.read_bytes().startswith(MAGIC[name])
    assert built.fmax_mhz >= built.clock_mhz
    assert 0.95 * board(name).clock_mhz < built.clock_mhz <= board(name).clock_mhz
    assert 200 < built.resources.lut < 900
    assert "ns" in built.critical_path
    assert stages[:2] == ["elaborate", "synthesize"] and stages[-1] == "pack"
    assert set(built.seconds) == {"synthesize", "place and route", "pack"}
    again, stages = make(name, layer(CORES[1])[1], tmp_path / "two")
    assert stages == ["elaborate"], "the second build must come from the cache"
    assert again.bitstream.read_bytes() == built.bitstream.read_bytes()
    assert (again.fmax_mhz, again.resources) == (built.fmax_mhz, built.resources)
    assert [path.name for path in (cache / "lutwright" / "builds").iterdir()] != []
    assert not list((cache / "lutwright" / "builds").glob("building-*")), "nothing half-written must stay"


@pytest.mark.slow
def test_a_missed_clock_says_by_how_much(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ToolError, match=r"must run at 16\d\.\d+ MHz.*at best of 3 seeds.*Ask for --clock \d+"):
        make("icebreaker", layer(CORES[1])[1], tmp_path / "one", clock=170)
    assert not list((tmp_path / "one").iterdir())


@pytest.mark.slow
def test_a_design_too_large_names_the_resource(tmp_path: Path, cache: Path) -> None:
    x = Type((3000, 6), -128, 127)  # 18,000 bytes to buffer
    node = Dense.of("dense", Input("x", (), x), np.ones((5, 6), dtype=np.int64), None)
    core = engines()["multiply"].build(node, x, Folding(1, 1), device("ice40-up5k"))
    with pytest.raises(ToolError, match=r"needs 37 ICESTORM_RAM of 30.*smaller plan"):
        make("icebreaker", core, tmp_path / "one")


def test_an_impossible_clock_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(OptionError, match="--clock must be at least"):
        make("icebreaker", layer(CORES[1])[1], tmp_path / "one", clock=2)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(builds.PACKAGES, "ice40", ("no-such-nextpnr",))
    with pytest.raises(ToolError, match="pip install no-such-nextpnr"):
        builds.tool_versions("ice40")
