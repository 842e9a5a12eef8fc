"""Fixtures that every folder's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of third-party models and data."""
    folder = Path(os.environ.get("LUTWRIGHT_MODELS", Path(__file__).parents[2] / "shared" / "models"))
    if not folder.is_dir():
        pytest.skip(f"the third-party models are not at {folder}: set LUTWRIGHT_MODELS to their folder")
    return folder
