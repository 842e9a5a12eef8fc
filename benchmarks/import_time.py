"""Import time and peak memory of the largest models at hand, each in a process of its own, as Markdown.

Run: python benchmarks/import_time.py (with LUTWRIGHT_MODELS for the shared models). The three models of ten
million parameters are made here with random weights: a QONNX network of dense layers, a QDQ and a QOperator
one of convolutions.
`bare` is a process that only imports lutwright. Linux only: the peak is read from /proc.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", ROOT.parent / "shared" / "models"))
LARGEST = 5  # of the shared models
CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512, 512, 640)
CHILD = """
import json, pathlib, re, sys, time
from lutwright.frontend.model import load
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
bare, start = peak(), time.monotonic()
model = load(sys.argv[1], sys.argv[2] or None)
print(json.dumps([time.monotonic() - start, peak(), bare, len(model.graph.nodes)]))
"""


class Net:
    """A model being written: a chain of layers with random weights."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def save(self, output: str, shape: tuple[str | int, ...], path: Path) -> None:
        graph = helper.make_graph(
            self.nodes,
            "large",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [onnx.ValueInfoProto(name=output)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def qonnx_dense(path: Path) -> None:
    net = Net()
    zero, bits, scale = (net.constant(np.array(value, np.float32)) for value in (0, 4, 0.1))

    def quant(x: str, by: str) -> str:
        return net.node("Quant", x, by, zero, bits, domain="qonnx.custom_op.general", signed=1, narrow=0)

    x, sizes = quant("x", scale), (1024, 3072, 2048, 320)
    for before, after in pairwise(sizes):
        weight = net.constant(net.random.normal(0, 0.1, (before, after)).astype(np.float32))
        by = net.constant((net.random.random(after) * 0.02 + 0.01).astype(np.float32))
        x = quant(net.node("Relu", net.node("MatMul", x, quant(weight, by))), scale)
    net.save(x, ("n", 1024), path)


def convolutions(path: Path, qdq: bool) -> None:
    net = Net()
    scale, zero, none = (net.constant(array) for array in (np.array(0.05, np.float32), np.uint8(0), np.int8(0)))
    x, inner = net.node("QuantizeLinear", "x", scale, zero), 3
    x = net.node("DequantizeLinear", x, scale, zero) if qdq else x
    for index, outer in enumerate(CHANNELS):
        weight = net.constant(net.random.integers(-127, 128, (outer, inner, 3, 3)).astype(np.int8))
        scales = (net.random.random(outer) * 0.002 + 0.001).astype(np.float32)
        by, zeros = net.constant(scales), net.constant(np.zeros(outer, np.int8))
        bias = net.constant(net.random.integers(-1000, 1000, outer).astype(np.int32))
        stride = 2 if index and outer != inner else 1
        window = {"pads": [1] * 4, "strides": [stride] * 2, "kernel_shape": [3, 3]}
        if qdq:
            real = net.node("DequantizeLinear", weight, by, zeros, axis=0)
            on_sum = net.constant(np.float32(0.05) * scales)
            added = net.node("DequantizeLinear", bias, on_sum, axis=0)
            y = net.node("Relu", net.node("Conv", x, real, added, **window))
            x = net.node("DequantizeLinear", net.node("QuantizeLinear", y, scale, zero), scale, zero)
        else:
            x = net.node("QLinearConv", x, scale, zero, weight, by, none, scale, zero, bias, **window)
        inner = outer
    net.save(x if qdq else net.node("DequantizeLinear", x, scale, zero), ("n", 3, 64, 64), path)


def measured(path: Path, grid: str) -> list[float]:
    command = [sys.executable, "-c", CHILD, str(path), grid]
    found: list[float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def parameters(path: Path) -> int:
    return sum(int(np.prod(item.dims)) for item in onnx.load(path).graph.initializer)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder) / name for name in ("qonnx_dense.onnx", "qdq_conv.onnx", "qoperator_conv.onnx")]
        qonnx_dense(made[0])
        convolutions(made[1], qdq=True)
        convolutions(made[2], qdq=False)
        shared = [path for path in MODELS.glob("*/model.onnx") if path.parent.name != "mnist_lstm"]
        shared = sorted(shared, key=parameters, reverse=True)[:LARGEST]
        print("| model | parameters | import, s | peak, MB | bare, MB | nodes |\n|" + " --- |" * 6)
        for path in made + shared:
            case = path.parent / "case.json"
            grid = json.loads(case.read_text())["input"] if case.exists() else ""
            seconds, peak, bare, nodes = measured(path, grid)
            name = path.stem if path in made else path.parent.name
            print(f"| {name} | {parameters(path):,} | {seconds:.1f} | {peak:,} | {bare:,} | {nodes} |", flush=True)


if __name__ == "__main__":
    main()
