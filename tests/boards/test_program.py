"""Programming goes through openFPGALoader, and says what to do where it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from lutwright.boards.base import board, boards
from lutwright.boards.program import program
from lutwright.errors import ToolError


def test_without_a_loader_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"openFPGALoader must be on PATH.*Install"):
        program(tmp_path / "top.bin", board("icebreaker"))


@pytest.mark.parametrize("name", boards())
@pytest.mark.parametrize("code", [0, 1])
def test_the_loader_gets_board_and_bitstream(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = tmp_path / "openFPGALoader"
    loader.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho no cable\nexit {code}\n')
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if code:
        with pytest.raises(ToolError, match=f"'{name}', but failed: no cable"):
            program(tmp_path / "top.bin", board(name))
    else:
        program(tmp_path / "top.bin", board(name))
    assert (tmp_path / "arguments").read_text() == f"-b {board(name).loader} {tmp_path}/top.bin\n"
