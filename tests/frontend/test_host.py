"""What the host computes after the hardware: several outputs, functions of several integer tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.model import load
from lutwright.frontend.onnx_import.executor import session

RANDOM = np.random.default_rng(0)
CONSTANTS = {
    "scale": np.array(2.0**-4, np.float32),
    "zero": np.uint8(128),
    "w1": RANDOM.integers(-5, 6, (4, 3, 3, 3)).astype(np.int8),
    "w2": RANDOM.integers(-5, 6, (2, 4, 1, 1)).astype(np.int8),
    "w_scale": np.array(2.0**-3, np.float32),
}
NODES = [
    ("QuantizeLinear", ["x", "scale", "zero"], "q", {}),
    ("DequantizeLinear", ["q", "scale", "zero"], "d", {}),
    ("DequantizeLinear", ["w1", "w_scale"], "d1", {}),
    ("DequantizeLinear", ["w2", "w_scale"], "d2", {}),
    ("Conv", ["d", "d1"], "c", {"pads": [1] * 4, "kernel_shape": [3, 3]}),
    ("QuantizeLinear", ["c", "scale", "zero"], "q1", {}),
    ("DequantizeLinear", ["q1", "scale", "zero"], "body", {}),
    ("Conv", ["body", "d2"], "head1", {"kernel_shape": [1, 1]}),
    ("MaxPool", ["body"], "pooled", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Conv", ["pooled", "d2"], "conv2", {"kernel_shape": [1, 1]}),
    ("Sigmoid", ["conv2"], "head2", {}),
    ("Softmax", ["head1"], "softmax", {"axis": 1}),
    ("GlobalMaxPool", ["head1"], "max1", {}),
    ("GlobalMaxPool", ["conv2"], "max2", {}),
    ("Add", ["max1", "max2"], "sum", {}),
    ("Sigmoid", ["sum"], "gate", {}),
    ("Mul", ["softmax", "gate"], "gated", {}),
]
OUTPUTS = [["head1"], ["head1", "head2"], ["softmax", "head2", "body"], ["sum"], ["gate"], ["gated", "q1"], ["gated"]]


@pytest.mark.parametrize("shape", [("n", 3, 6, 5), (1, 3, 6, 5), (2, 3, 6, 5)], ids=str)
@pytest.mark.parametrize("outputs", OUTPUTS, ids=",".join)
def test_outputs(outputs: list[str], shape: tuple[str | int, ...], tmp_path: Path) -> None:
    """Scales are powers of two, so that the reference's sums are exact and every output is equal to its last bit."""
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], output, **attributes) for kind, inputs, output, attributes in NODES],
        "heads",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in CONSTANTS.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    x = RANDOM.normal(0, 2, (4, 3, 6, 5)).astype(np.float32)
    found = model.decode(model.graph.evaluate(model.encode(x)))
    size = shape[0] if isinstance(shape[0], int) else 4
    parts = [session(proto).run(None, {"x": x[start : start + size]}) for start in range(0, 4, size)]
    for name, *wanted in zip(outputs, *parts, strict=True):
        assert np.array_equal(found[name], np.concatenate(wanted)), name
