"""Small ONNX graphs for tests: operators one after the other on one input, and their comparison with a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.model import Model, load
from lutwright.frontend.onnx_import.executor import session
from lutwright.testbenches.reference import mismatches, prepared

QONNX = "qonnx.custom_op.general"
Anything = NDArray[Any]


class Builder:
    """Collects nodes on the input `x` of the given shape; `domains` has the versions of domains beside ONNX's own."""

    def __init__(self, shape: tuple[int, ...], opset: int = 13, dtype: int = TensorProto.FLOAT, **domains: int) -> None:
        self.shape, self.opset, self.dtype, self.domains = shape, opset, dtype, domains
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.annotations: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}  # of tensors whose shapes the reference cannot infer itself

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def op(self, kind: str, *inputs: Any, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """The name of the node's output, or their list; arrays among the inputs become constants."""
        names = [item if isinstance(item, str) else self.constant(item, np.asarray(item).dtype) for item in inputs]
        made = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, made, name=name, domain=domain, **attributes))
        return made[0] if outputs == 1 else made

    def quant(self, x: Any, scale: Any = 0.5, bits: int = 4, zero: Any = 0.0, **attributes: Any) -> str:
        parts = [np.asarray(part, np.float32) for part in (scale, zero, bits)]
        given = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
        return str(self.op("Quant", x, *parts, domain=QONNX, **given))

    def model(self, *outputs: str) -> onnx.ModelProto:
        given = helper.make_tensor_value_info("x", self.dtype, self.shape)
        wanted = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", [given], wanted, self.initializers)
        for name, shape in self.shapes.items():
            graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        for tensor, datatype in self.annotations.items():
            entry = onnx.StringStringEntryProto(key="finn_datatype", value=datatype)
            graph.quantization_annotation.append(
                onnx.TensorAnnotation(tensor_name=tensor, quant_parameter_tensor_names=[entry])
            )
        imports = {"": self.opset, QONNX: 1} | self.domains
        opsets = [helper.make_opsetid(domain, version) for domain, version in imports.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def imported(model: onnx.ModelProto, folder: Path, grid: str | None = None) -> Model:
    onnx.save(model, folder / "model.onnx")
    return load(folder / "model.onnx", grid)


def check_qonnx(model: onnx.ModelProto, samples: Anything, folder: Path, grid: str | None = None) -> Model:
    """Every quantized tensor and the output equal the QONNX reference; gives the import."""
    found = imported(model, folder, grid)
    compared, wrong = mismatches(found, prepared(model), samples)
    assert compared >= len(samples)
    assert not wrong, "\n".join(map(str, wrong))
    return found


def check_onnxruntime(model: onnx.ModelProto, samples: Anything, folder: Path, grid: str | None = None) -> Model:
    """Every output equals onnxruntime's, bit for bit; gives the import."""
    found = imported(model, folder, grid)
    ours = found.decode(found.graph.evaluate(found.encode(samples)))
    run = session(model)
    size = len(samples) if model.graph.input[0].type.tensor_type.shape.dim[0].dim_param else 1
    parts = [run.run(None, {"x": samples[start : start + size]}) for start in range(0, len(samples), size)]
    for index, name in enumerate(found.output_names):
        wanted = np.concatenate([part[index] for part in parts])
        assert np.array_equal(ours[name].reshape(wanted.shape), wanted), name
    return found
