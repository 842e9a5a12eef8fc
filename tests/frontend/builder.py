"""Small ONNX graphs written by hand, and the comparison of their import with the reference executor.

An argument of an operator is a tensor's name, or an array, which becomes an initializer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.model import Model, load
from lutwright.frontend.passes import run_passes

from .graphs.check import check
from .graphs.net import Case

QONNX = "qonnx.custom_op.general"
MICROSOFT = "com.microsoft"
SAMPLES = 6  # also the declared batch, so that an executor runs once
PLACES = ("Input", "Reshape", "Transpose")  # kinds that only say where elements lie


class Net:
    """A graph from the tensor `input` [SAMPLES, *shape]."""

    def __init__(self, *shape: int, dtype: Any = np.float32, opset: int = 13, batch: Any = SAMPLES) -> None:
        self.shape, self.dtype, self.opset, self.batch = shape, np.dtype(dtype), opset, batch
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        tensor = array if isinstance(array, TensorProto) else numpy_helper.from_array(np.asarray(array))
        tensor.name = f"c{len(self.constants)}"
        self.constants.append(tensor)
        return str(tensor.name)

    def op(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: Any, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        made = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, made, name, domain=domain, **attributes))
        return made

    def quant(self, x: Any, scale: Any = 1.0, bits: int = 4, signed: int = 1, zero: float = 0.0) -> str:
        """QONNX's quantizer."""
        parameters = [np.asarray(item, np.float32) for item in (scale, zero, bits)]
        return self.op("Quant", x, *parameters, domain=QONNX, signed=signed, narrow=0, rounding_mode="ROUND")

    def bipolar(self, x: Any, scale: float = 1.0) -> str:
        return self.op("BipolarQuant", x, np.float32(scale), domain=QONNX)

    def quantized(self, x: Any, scale: Any, zero: Any, **attributes: Any) -> str:
        """QuantizeLinear to the type of `zero`."""
        return self.op("QuantizeLinear", x, np.asarray(scale, np.float32), zero, **attributes)

    def real(self, q: Any, scale: Any, zero: Any = None, **attributes: Any) -> str:
        """DequantizeLinear."""
        parameters = [np.asarray(scale, np.float32), *([] if zero is None else [zero])]
        return self.op("DequantizeLinear", q, *parameters, **attributes)

    def pair(self, x: Any, scale: Any, zero: Any, **attributes: Any) -> str:
        """QuantizeLinear and DequantizeLinear."""
        return self.real(self.quantized(x, scale, zero, **attributes), scale, zero, **attributes)

    def model(self, output: str, dtype: Any = np.float32) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("input", element(self.dtype), [self.batch, *self.shape])],
            [helper.make_tensor_value_info(output, element(np.dtype(dtype)), None)],
            self.constants,
        )
        domains = sorted({node.domain for node in self.nodes} - {""})
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset > 20 else 8)


def element(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def samples(net: Net, low: float, high: float, step: float = 1.0, seed: int = 0) -> NDArray[Any]:
    """Multiples of the step in [low, high]: all the least, all the greatest, both mixed, and three at random."""
    rng = np.random.default_rng(seed)
    ends = np.round(low / step), np.round(high / step)
    mixed = np.where(rng.random(net.shape) < 0.5, *ends)
    parts = [np.full(net.shape, ends[0]), np.full(net.shape, ends[1]), mixed]
    parts += [rng.integers(int(ends[0]), int(ends[1]) + 1, net.shape) for _ in range(SAMPLES - len(parts))]
    return np.asarray(np.stack(parts) * step).astype(net.dtype)


def same(
    net: Net,
    output: str,
    inputs: NDArray[Any],
    folder: Path,
    dialect: str = "qonnx",
    grid: str | None = None,
    dtype: Any = np.float32,
) -> Model:
    """The imported model, after golden == reference on every element of the output and of each quantized tensor.

    `dialect` says which reference (tests.frontend.graphs.reference): "qonnx" for qonnx, "qdq" and "qoperator" for
    onnxruntime's default optimizations.
    """
    outcome = check(Case(dialect, net.model(output, dtype), inputs, grid, True), folder)
    assert outcome.kind == "equal" and outcome.compared, str(outcome)
    return load(folder / "model.onnx", grid)


def kinds(model: Model, leave_out: Sequence[str] = PLACES) -> list[str]:
    """The kinds of the IR's nodes after the passes, in order; with the moves at the ends that the host can do."""
    return [kind for kind in (type(node).__name__ for node in run_passes(model.imported)) if kind not in leave_out]
