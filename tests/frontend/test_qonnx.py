"""The quantizers against qonnx's own operators: as integers at import, and as plain operators on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.multithreshold import multithreshold
from qonnx.custom_op.general.quant import quant

from lutwright.frontend.onnx_import import qonnx
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.onnx_import.quantizer import Quantizer
from lutwright.frontend.onnx_import.state import Entry, Import
from lutwright.frontend.onnx_import.values import Constant, Quantized, Raw
from lutwright.frontend.onnx_import.writer import Writer

SCALES = [np.float32(0.5), np.float32(0.1), np.array([[0.3, 2.0, 0.0625]], np.float32), np.float32(1.0)]


def samples(scale: Any, seed: int) -> NDArray[np.float32]:
    """Ties, near-ties, values beyond both ends, signed zeros, and ordinary ones, [n, 3]."""
    rng = np.random.default_rng(seed)
    halves = np.arange(-24, 25) / 2
    ties = np.concatenate([halves, np.nextafter(halves, 99), np.nextafter(halves, -99)])
    values = np.concatenate([ties, rng.standard_normal(100) * 20, [-0.0, 0.0, 1e30, -1e30, 1e-40]])
    return (values[:, np.newaxis] * np.broadcast_to(scale, (1, 3))).astype(np.float32)


def imported(kind: str, x: NDArray[np.float32], constants: list[Any], **attributes: Any) -> tuple[Constant, Quantizer]:
    """The operator on the constant x, and its quantizer."""
    node = helper.make_node(
        kind, [f"i{i}" for i in range(1 + len(constants))], ["y"], domain="onnx.brevitas", name="q", **attributes
    )
    handler = {"Quant": qonnx.quant, "BipolarQuant": qonnx.bipolar_quant, "MultiThreshold": qonnx.multi_threshold}[kind]
    others = [Constant(np.asarray(item)) for item in constants]
    (folded,) = handler(Import(13, 1), node, [Constant(x), *others])
    state = Import(13, 1)
    (entry,) = handler(state, node, [Raw((1, *x.shape[1:]), x.dtype), *others])
    assert isinstance(folded, Constant) and isinstance(entry, Quantized) and isinstance(state.entry, Entry)
    return folded, state.entry.quantizer


def on_host(quantizer: Quantizer, x: NDArray[np.float32], opset: int) -> NDArray[np.int64]:
    """The quantizer written in plain operators, run by onnxruntime."""
    writer = Writer(opset)
    output = quantizer.emit(writer, "x", x.dtype)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    (q,) = session(writer.model([given], [output], "host")).run(None, {"x": x})
    return np.asarray(q)


def agree(folded: Constant, quantizer: Quantizer, x: NDArray[np.float32], reference: NDArray[Any], opset: int) -> None:
    q = quantizer.levels(x, *quantizer.parameters)
    assert q.min() >= quantizer.lo and q.max() <= quantizer.hi
    assert np.array_equal(folded.array, reference.astype(np.float32))
    assert np.array_equal((quantizer.scale * q + quantizer.offset).astype(np.float32), reference.astype(np.float32))
    assert np.array_equal(on_host(quantizer, x, opset), q)
    if folded.lattice is not None:
        assert np.array_equal((folded.lattice.scale * folded.lattice.q).astype(np.float32), folded.array)


@pytest.mark.parametrize("mode", ["ROUND", "half_even", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_quant(mode: str, signed: int, narrow: int, bits: int) -> None:
    for index, (scale, zero) in enumerate(
        (scale, zero) for scale in SCALES for zero in (np.float32(0), np.float32(3), np.int64(-2))
    ):
        width = [np.float32(bits), np.array(bits, np.int64), np.array([bits], np.float32)][index % 3]
        x = samples(scale, index)
        folded, quantizer = imported("Quant", x, [scale, zero, width], signed=signed, narrow=narrow, rounding_mode=mode)
        reference = quant(x, np.asarray(scale), np.asarray(zero), np.asarray(width), signed, narrow, mode)
        agree(folded, quantizer, x, reference, [7, 9, 13, 21][index % 4])


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_bipolar_quant(scale: Any) -> None:
    x = samples(scale, 0)
    folded, quantizer = imported("BipolarQuant", x, [scale])
    agree(folded, quantizer, x, binary_quant(x, scale), 9)
    assert folded.lattice is not None and set(np.unique(folded.lattice.q)) == {-1, 1}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("factor", "bias"), [(1.0, 0.0), (2.0, -1.0), (0.5, -3.5), (-1.0, 0.0)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_multi_threshold(rows: int, factor: float, bias: float, count: int) -> None:
    rng = np.random.default_rng(count)
    thresholds = (np.sort(rng.integers(-20, 20, (rows, count)), axis=1) / 2).astype(np.float32)
    x = samples(np.float32(1), 0)
    folded, quantizer = imported("MultiThreshold", x, [thresholds], out_scale=factor, out_bias=bias, data_layout="NC")
    agree(folded, quantizer, x, multithreshold(x, thresholds, factor, bias), 9)
