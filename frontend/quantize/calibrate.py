"""The ranges of activations on calibration data, by onnxruntime's calibrators."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, create_calibrator

from lutwright.errors import ModelError
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.data import Pieces
from lutwright.frontend.quantize.graph import Anything, FloatGraph
from lutwright.frontend.quantize.placement import Placement
from lutwright.frontend.quantize.scheme import Scheme, activation_scheme, least_error
from lutwright.frontend.quantize.settings import Settings

BINS = 2048
ENTROPY_BINS = 1024  # its search takes time with the square of them
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"symmetric": False, "num_bins": BINS}),
    "entropy": (CalibrationMethod.Entropy, {"num_bins": ENTROPY_BINS}),
    "mse": (CalibrationMethod.Percentile, {"symmetric": False, "num_bins": BINS}),  # for its histograms
}


def activation_schemes(graph: FloatGraph, placed: Placement, data: Pieces, settings: Settings) -> dict[str, Scheme]:
    """The scheme of every group of quantized tensors, by its leader."""
    tensors = [name for name in placed.group if name not in placed.inherited]
    unknown = [name for name in tensors if name not in graph.shapes]
    if unknown:
        raise ModelError(f"the shapes of the tensors {unknown} cannot be inferred. Export the model with fixed shapes")
    _check_finite(graph, tensors, data)
    calibrator, ranges = _calibrated(graph, tensors, data, settings)
    schemes = {}
    for leader in dict.fromkeys(placed.group.values()):
        names, bits = placed.sources(leader), settings.activations
        if leader == placed.input:
            bits = settings.input
        elif leader in placed.outputs:
            bits = settings.output
        elif leader in placed.wide:
            bits = max(bits, 8)
        low, high = min(ranges[name][0] for name in names), max(ranges[name][1] for name in names)
        if settings.method == "mse":
            values, counts = _joined([calibrator.collector.histogram_dict[name] for name in names])
            schemes[leader] = least_error(values, counts, low, high, bits, settings.power_of_two)
        else:
            schemes[leader] = activation_scheme(low, high, bits, settings.power_of_two)
    return schemes


def _check_finite(graph: FloatGraph, tensors: list[str], data: Pieces) -> None:
    """The calibrators pass over what is no number."""
    model = graph.model()
    outputs = {item.name for item in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in outputs)
    ready = session(model)
    for array in data.arrays:
        for name, value in zip(tensors, ready.run(tensors, {graph.source.input: array}), strict=True):
            if not np.isfinite(value).all():
                raise ModelError(
                    f"the tensor '{name}' must be finite on the data, found NaN or infinity. Check the model"
                )


class _Reader:
    """One piece for onnxruntime's calibrators, which want a reader."""

    def __init__(self, feed: Mapping[str, Anything]) -> None:
        self._left = [feed]

    def get_next(self) -> Mapping[str, Anything] | None:
        return self._left.pop() if self._left else None


def _calibrated(
    graph: FloatGraph, tensors: list[str], data: Pieces, settings: Settings
) -> tuple[Any, dict[str, tuple[float, ...]]]:
    """The calibrator after it has seen all pieces, and the ranges that it found.

    It gets one piece at a time, for it holds all tensors of what it gets. Its progress messages are not for users.
    """
    method, options = METHODS[settings.method]
    if settings.method == "entropy":
        options = options | {"num_quantized_bins": 2 ** max(settings.activations, 4)}
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        before, after = Path(folder) / "float.onnx", Path(folder) / "augmented.onnx"
        onnx.save(graph.model(), before)
        calibrator = create_calibrator(
            before, augmented_model_path=str(after), calibrate_method=method, extra_options=options
        )
        for array in data.arrays:
            calibrator.collect_data(_Reader({graph.source.input: array}))
        if settings.method != "minmax":
            histograms = calibrator.collector.histogram_dict
            calibrator.collector.histogram_dict = {name: histograms[name] for name in tensors}
        ranges = calibrator.compute_data()
    return calibrator, {name: tuple(float(np.min(end)) for end in ranges[name].range_value) for name in tensors}


def _joined(histograms: list[Any]) -> tuple[Anything, Anything]:
    """Middles of the bins and their counts, of all histograms."""
    middles = [(edges[1:] + edges[:-1]) / 2 for _, edges, *_ in histograms]
    return np.concatenate(middles), np.concatenate([counts for counts, *_ in histograms])
