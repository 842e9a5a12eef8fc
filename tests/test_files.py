"""Samples in, whole outputs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import DataError, OptionError
from lutwright.files import load_samples, staged


def test_samples_are_read_and_limited(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", inputs=np.arange(12).reshape(6, 2), labels=np.arange(6))
    samples = load_samples(tmp_path / "x.npz", 4)
    assert len(samples) == 4
    assert samples.outputs is None
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({}, "'inputs', found none"),
        ({"x": np.zeros(3)}, r"found \['x'\]"),
        ({"inputs": np.zeros((0, 3))}, "at least one sample"),
        ({"inputs": np.float32(1)}, "found a scalar"),
        ({"inputs": np.zeros((3, 2)), "labels": np.zeros(2)}, "found 2 for 3 inputs"),
        ({"inputs": np.array([{}], dtype=object)}, "without pickle"),
    ],
)
def test_bad_samples_are_refused(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=complaint):
        load_samples(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x93NUMPY", b"hello"])
def test_files_that_are_no_npz_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"must be an \.npz file"):
        load_samples(tmp_path / "x.npz")


def test_staged_files_appear_only_after_success(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with staged(out) as stage:
        (stage / "x").write_text("1")
        assert [path for path in out.iterdir() if path != stage] == []
    assert [str(path.relative_to(out)) for path in out.rglob("*")] == ["x"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with pytest.raises(KeyboardInterrupt), staged(out) as stage:
        (stage / "x").write_text("1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").write_text("1")
    with pytest.raises(ValueError, match="no"), staged(tmp_path):
        raise ValueError("no")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    with pytest.raises(OptionError, match="is a file"), staged(tmp_path / "x"):
        pass


def test_a_folder_where_a_file_must_go_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "z").mkdir()
    with pytest.raises(OptionError, match="z' must not be a folder"), staged(tmp_path) as stage:
        for name in ("a", "z"):
            (stage / name).write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["z"]
