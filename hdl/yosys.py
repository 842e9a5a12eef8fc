"""Yosys, in a process of its own: the native wheel, the only Yosys the project uses."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lutwright.errors import ToolError


def run(script: str, folder: Path) -> str:
    """Run a Yosys script with `folder` as the working directory; its log. ToolError with the log's end if it fails."""
    try:
        version("pyosys")
    except PackageNotFoundError:
        raise ToolError("Yosys must be installed, found no package 'pyosys'. Run: pip install pyosys") from None
    path = folder / "script.ys"
    path.write_text(script)
    code = f"from pyosys import libyosys as ys; ys.run_pass({f'script {path.name}'!r}, ys.Design())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise ToolError(f"Yosys must finish, but it failed with code {done.returncode}:\n{tail}")
    return done.stdout


def share() -> Path:
    """The folder of Yosys' cell libraries."""
    import pyosys

    return Path(pyosys.__file__).parent / "share"
