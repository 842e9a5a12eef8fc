"""Files in and out: samples from .npz, and outputs that appear only when whole."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import DataError, OptionError


@dataclass(frozen=True)
class Samples:
    """What a sample file holds: `inputs` in the model's own domain, and optionally its outputs and labels."""

    inputs: NDArray[Any]
    outputs: NDArray[Any] | None
    labels: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.inputs)


def load_samples(path: Path, limit: int | None = None) -> Samples:
    """The first `limit` samples (all, if None) of an .npz file with `inputs`, and optionally `outputs` and `labels`."""
    if not path.is_file():
        raise DataError(f"the samples '{path}' must be an .npz file, but no such file is there. Check the path.")
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"the samples '{path}' must be an .npz file, and are something else, or cut off. "
            "Write them with numpy.savez(path, inputs=…)."
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, TypeError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the samples '{path}' must be an .npz file that numpy can read without pickle: {error}. "
            "Write it with numpy.savez(path, inputs=…)."
        ) from None
    if "inputs" not in arrays:
        raise DataError(
            f"the samples '{path}' must hold an array 'inputs', found {sorted(arrays) or 'none'}. "
            "Write it with numpy.savez(path, inputs=…)."
        )
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"array '{name}' in '{path}' must have the samples on its first axis, found a scalar.")
    count = len(arrays["inputs"])
    if count == 0:
        raise DataError(f"the samples '{path}' must hold at least one sample, 'inputs' has none.")
    for name in ("outputs", "labels"):
        if name in arrays and len(arrays[name]) != count:
            raise DataError(
                f"'{name}' in '{path}' must have one entry a sample, found {len(arrays[name])} for {count} inputs."
            )
    cut = slice(0, limit)
    return Samples(
        arrays["inputs"][cut],
        arrays["outputs"][cut] if "outputs" in arrays else None,
        arrays["labels"][cut] if "labels" in arrays else None,
    )


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files are moved into `folder` when the block ends well, and dropped when it doesn't.

    Each file appears whole or not at all; other files of `folder` are left alone. There are no folders in it.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"the output folder must be a folder, but '{folder}' is a file. Name another with -o.")
    created = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".lutwright-", dir=folder))
    except OSError as error:
        raise OptionError(f"the output folder '{folder}' must be writable: {error}. Name another with -o.") from None
    try:
        yield stage
        for path in stage.iterdir():
            if (folder / path.name).is_dir():
                raise OptionError(f"'{folder / path.name}' must not be a folder: a file goes there. Name another -o.")
        for path in stage.iterdir():
            path.replace(folder / path.name)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for parent in created:
            try:
                parent.rmdir()
            except OSError:
                break
        raise
    shutil.rmtree(stage, ignore_errors=True)
