"""The packaging of DESIGN.md: top folders mapped into one package, no module under two names."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("boards", "frontend", "hdl", "testbenches")


def test_packages_in_pyproject_are_the_folders_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    inside = [path.parent.relative_to(ROOT) for path in ROOT.glob("lutwright/__init__.py")]
    mapped = [
        Path("lutwright") / path.parent.relative_to(ROOT)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    ]
    found = [".".join(path.parts) for path in inside + mapped]
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_symlink_shows_the_folder_inside_the_package(folder: str) -> None:
    link = ROOT / "lutwright" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder


def test_every_dependency_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    dependencies = [line for line in lines if line.startswith('  "') and any(sign in line for sign in ("==", ">="))]
    assert len(dependencies) > 10
    assert [line for line in dependencies if "  #" not in line] == []
