"""Calibration samples in the pieces that a model takes, and running it on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from lutwright.errors import DataError, ModelError
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.onnx_import.source import Source
from lutwright.frontend.quantize.graph import Anything

AT_ONCE = 32  # samples in a piece where the batch is symbolic


@dataclass(frozen=True, eq=False)
class Pieces:
    """`arrays` are what the model's input takes, one run each; the last may repeat its last sample. `count` samples."""

    arrays: tuple[Anything, ...]
    count: int
    batch: int | None  # samples of every piece but the last, None where a piece is one sample without a batch axis

    def joined(self, parts: list[Anything]) -> Anything:
        """The outputs of all pieces, sample first."""
        if self.batch is not None and all(
            part.ndim and len(part) == len(array) for part, array in zip(parts, self.arrays, strict=True)
        ):
            return np.concatenate(parts)[: self.count]
        return np.stack(parts)


def pieces(source: Source, inputs: Anything) -> Pieces:
    """The samples [n, *shape] cut up; DataError where shape, type or values are not the model's."""
    what = f"the calibration data of input '{source.input}'"
    if inputs.dtype.kind not in "biuf":
        raise DataError(
            f"{what} must hold numbers ({source.dtype}), not {inputs.dtype}. Write 'inputs' as {source.dtype}."
        )
    batched = len(source.dims) > 1
    sample = source.dims[1:] if batched else source.dims
    if batched and source.dims[0] in (1, None) and inputs.shape[1:] == (1, *sample):
        inputs = inputs[:, 0]  # samples that carry the model's own batch axis of 1
    if inputs.shape[1:] != sample or not len(inputs):
        wanted = ", ".join(["samples", *map(str, sample)])
        raise DataError(f"{what} must have the shape [{wanted}], not {list(inputs.shape)}. Save it sample first.")
    if not np.isfinite(inputs).all():
        place = int(np.argwhere(~np.isfinite(inputs))[0][0])
        raise DataError(f"{what} must be finite, sample {place} holds NaN or infinity. Leave that sample out.")
    x = inputs.astype(source.dtype)
    if not batched:
        return Pieces(tuple(x), len(x), None)
    size = source.dims[0] or AT_ONCE
    if source.dims[0]:
        x = np.concatenate([x, np.repeat(x[-1:], -len(x) % size, axis=0)])
    return Pieces(tuple(x[start : start + size] for start in range(0, len(x), size)), len(inputs), size)


def run(model: onnx.ModelProto, data: Pieces, optimize: bool = True) -> list[Anything]:
    """Every output of the model for all samples, by onnxruntime on one thread."""
    try:
        ready = session(model, optimize)
        name = ready.get_inputs()[0].name
        results = [ready.run(None, {name: array}) for array in data.arrays]
    except Exception as error:  # onnxruntime's exceptions have no common type
        reason = str(error).splitlines()[0]
        raise ModelError(f"onnxruntime cannot run the model: {reason}. Check the model in onnxruntime first") from error
    return [data.joined(list(parts)) for parts in zip(*results, strict=True)]
