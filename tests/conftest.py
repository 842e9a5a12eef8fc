"""Fixtures that every folder's tests share."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from lutwright.testbenches.cocotb_run import Simulator

LONG = ("test_networks", "test_random_hardware", "test_conformance")


def pytest_configure(config: pytest.Config) -> None:
    """Verilator's makefiles compile by `objcache`, where there is no ccache: most of a build is Verilator's runtime."""
    if getattr(config, "cache", None) and not hasattr(config, "workerinput"):  # the workers of xdist inherit it
        script, folder = Path(__file__).with_name("objcache.py"), config.cache.mkdir("objects")
        os.environ.setdefault("OBJCACHE", shlex.join([sys.executable, "-IS", str(script), str(folder)]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes a minute begins first, so that all workers end together."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of third-party models and data."""
    folder = Path(os.environ.get("LUTWRIGHT_MODELS", Path(__file__).parents[2] / "shared" / "models"))
    if not folder.is_dir():
        pytest.skip(f"the third-party models are not at {folder}: set LUTWRIGHT_MODELS to their folder")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `icarus` are about it, and have nothing to show where it is absent."""
    if item.get_closest_marker("icarus") and not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog is not on PATH, and pip has none: install the system's package 'iverilog'")


@pytest.fixture(scope="session")
def quick_simulator() -> Simulator:
    """Icarus where it is, for it builds a small bench in a second, Verilator in twenty."""
    return "icarus" if shutil.which("iverilog") else "verilator"
