"""QONNX's operators, each over all its options and all codes of its input, ties among them; the reference is qonnx."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import onnx
from conformance_check import Array, Network
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

DOMAIN = "qonnx.custom_op.general"
OPSET = 13
MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")
GRID, STEP, CODES = "fixed<10,9>", 0.5, 1024
SCALES, ZEROS = (1.0, 2.0, 0.3), (0.0, 1.0, -3.0)
FLAGS = (0, 1)


def networks() -> Iterator[Network]:
    """Every network of every operator."""
    for part in (quant, bipolar, trunc, multi_threshold, average_pool, xnor, im2col):
        yield from part()


def quant() -> Iterator[Network]:
    """All rounding modes, signs and widths; nine channels, one for each pair of scale and zero point."""
    x = _codes(len(SCALES) * len(ZEROS))
    pairs = np.array(list(product(SCALES, ZEROS)), np.float32)
    for mode, signed, narrow, bits in product(MODES, FLAGS, FLAGS, range(1, 9)):
        keys = {"rounding_mode": mode, "signed": signed, "narrow": narrow}
        variant = f"{'signed' if signed else 'unsigned'}{' narrow' if narrow else ''} {bits} bits"
        model = _model("Quant", x.shape, [pairs[:, :1].T, pairs[:, 1:].T, np.float32(bits)], keys)
        yield _network("Quant", f"{mode} inside", variant, model, GRID, [x])
        yield _network("Quant", f"{mode} at the input", variant, model, None, [x])
    for mode, name, domain in product(
        MODES, ("Quant", "IntQuant"), (DOMAIN, "onnx.brevitas", "finn.custom_op.general")
    ):
        keys = {"rounding_mode": mode, "signed": 1, "narrow": 0}
        model = _model(name, x.shape, [np.float32(0.3), np.float32(0), np.float32(4)], keys, domain)
        yield _network("Quant", f"{mode} with one scale", f"{name} of {domain}", model, GRID, [x])


def bipolar() -> Iterator[Network]:
    """One channel for each scale; at the input -0.0 as well."""
    x = _codes(len(SCALES))
    negative = np.where(x == 0, np.float32(-0.0), x)
    model = _model("BipolarQuant", x.shape, [np.array([SCALES], np.float32)], {})
    yield _network("BipolarQuant", "a scale for each channel", "inside", model, GRID, [x])
    yield _network("BipolarQuant", "a scale for each channel", "at the input", model, None, [x, negative])


def trunc() -> Iterator[Network]:
    """Version 1 and version 2, on integers times the scale, zero points included."""
    x, scale = _codes(2), np.float32(STEP)
    for mode, zero, out in product(MODES, (0.0, 5.0), range(3, 9)):
        inputs = [scale, np.float32(zero), np.float32(10), np.float32(out)]
        model = _model("Trunc", x.shape, inputs, {"rounding_mode": mode})
        yield _network("Trunc", f"version 1 {mode}", f"10 to {out} bits with zero point {zero:g}", model, GRID, [x])
    for mode, zero, signed, narrow, shift, out in product(MODES, (0.0, 5.0), FLAGS, FLAGS, (0, 1, 3), (2, 5, 8)):
        inputs = [scale, np.float32(zero), np.float32(10), np.float32(STEP * 2**shift), np.float32(out)]
        keys = {"rounding_mode": mode, "signed": signed, "narrow": narrow}
        sign = f"{'signed' if signed else 'unsigned'}{' narrow' if narrow else ''}"
        variant = f"{sign} {out} bits, shift {shift}, zero point {zero:g}"
        model = _model("Trunc", x.shape, inputs, keys, version=2)
        yield _network("Trunc", f"version 2 {mode}", variant, model, GRID, [x])


def multi_threshold() -> Iterator[Network]:
    """Rows of thresholds for all and for each channel, sorted and not, on ties; all layouts."""
    random = np.random.default_rng(0)
    shapes = {"NC": (CODES, 3), "NCHW": (4, 3, 16, 16), "NHWC": (4, 16, 16, 3), "NWC": (16, 64, 3), "": (4, 3, 16, 16)}
    for (layout, shape), rows, order in product(shapes.items(), (1, 3), ("sorted", "unsorted")):
        thresholds = (random.integers(-CODES // 2, CODES // 2, (rows, 7)) * STEP).astype(np.float32)
        thresholds = np.sort(thresholds, axis=1) if order == "sorted" else thresholds
        x = (random.permuted(np.tile(np.arange(CODES), int(np.prod(shape)) // CODES)) - CODES // 2).reshape(shape)
        for scale, bias in ((1.0, 0.0), (0.5, -3.0), (2.0, 0.25)):
            keys = {"out_dtype": "INT4", "out_scale": scale, "out_bias": bias, "data_layout": layout}
            model = _model("MultiThreshold", shape, [thresholds], keys)
            name, variant = f"{layout or 'no layout'}, {rows} rows, {order}", f"scale {scale:g}, bias {bias:g}"
            yield _network("MultiThreshold", name, variant, model, GRID, [(x * STEP).astype(np.float32)])


def average_pool() -> Iterator[Network]:
    """Kernels, strides, widths and layouts; inputs that reach both ends of the input's range."""
    random = np.random.default_rng(1)
    for (kernel, stride), signed, layout in product(((2, 2), (3, 1), (2, 1), (3, 3)), FLAGS, ("NCHW", "NHWC")):
        shape = (1, 3, 6, 6) if layout == "NCHW" else (1, 6, 6, 3)
        for ibits, obits in product((2, 4, 8), (2, 4, 8)):
            lo = -(2 ** (ibits - 1)) if signed else 0
            hi = lo + 2**ibits - 1
            inputs = [random.integers(lo, hi + 1, shape), np.full(shape, lo), np.full(shape, hi)]
            keys = {
                "kernel": kernel, "stride": stride, "ibits": ibits, "obits": obits, "signed": signed,
                "data_layout": layout,
            }  # fmt: skip
            model = _model("QuantAvgPool2d", shape, [], keys)
            name = f"kernel {kernel}, stride {stride}, {layout}"
            variant = f"{'signed' if signed else 'unsigned'}, {ibits} to {obits} bits"
            grid = f"{'' if signed else 'u'}int{ibits}"
            yield _network("QuantAvgPool2d", name, variant, model, grid, [item.astype(np.float32) for item in inputs])


def xnor() -> Iterator[Network]:
    """Every input of ten bits, and random longer ones."""
    random = np.random.default_rng(2)
    every = (np.arange(CODES)[:, np.newaxis] >> np.arange(10)) & 1
    for inner, outer in ((10, 7), (64, 16), (65, 3)):
        x = every if inner == 10 else random.integers(0, 2, (CODES, inner))
        model = _model("XnorPopcountMatMul", x.shape, [random.integers(0, 2, (inner, outer)).astype(np.float32)], {})
        _annotate(model, "BINARY", "x", "p0")
        yield _network("XnorPopcountMatMul", "binary", f"{inner} to {outer}", model, None, [x.astype(np.float32)])


def im2col() -> Iterator[Network]:
    """Kernels, strides, pads and dilations, square and not, alone and before a MatMul."""
    random = np.random.default_rng(3)
    kernels = (([2, 2], [1, 1]), ([3, 3], [2, 2]), ([3, 1], [1, 2]), ([1, 1], [1, 1]))
    for (kernel, stride), pads, dilations, depthwise in product(
        kernels, ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 2, 0]), ([1, 1], [2, 1]), FLAGS
    ):
        shape = (1, 7, 6, 3)
        keys = {
            "kernel_size": kernel, "stride": stride, "pad_amount": pads, "dilations": dilations, "depthwise": depthwise,
            "input_shape": str(shape),
        }  # fmt: skip
        inputs = [random.integers(-8, 8, shape).astype(np.float32) for _ in range(3)]
        name = f"kernel {kernel}, strides {stride}"
        for after in ("alone", "MatMul"):
            model = _model("Im2Col", shape, [], keys)
            if after == "MatMul":
                weight = random.integers(-3, 4, (int(np.prod(kernel)) * 3, 5)).astype(np.float32)
                model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
                model.graph.node.append(helper.make_node("MatMul", ["y", "w"], ["z"], name="MatMul_0"))
                model.graph.output[0].name = "z"
            _annotate(model, "INT4", "x")
            variant = f"pads {pads}, dilations {dilations}{', depthwise' if depthwise else ''}, {after}"
            yield _network("Im2Col", name, variant, model, None, inputs)


def _codes(channels: int) -> Array:
    """[1024, channels]: every value of the grid on each channel."""
    values = ((np.arange(CODES) - CODES // 2) * STEP).astype(np.float32)
    return np.repeat(values[:, np.newaxis], channels, axis=1)


def _network(
    operator: str, case: str, variant: str, model: onnx.ModelProto, grid: str | None, x: list[Array]
) -> Network:
    return Network(operator, case, variant, model, grid, x, reference=lambda array: _execute(model, array))


def _execute(model: onnx.ModelProto, x: Array) -> Array:
    """The model's output as qonnx computes it."""
    known = onnx.ModelProto.FromString(model.SerializeToString())
    for node in known.graph.node:
        node.domain = DOMAIN if node.domain else ""
    for entry in known.opset_import:
        entry.domain = DOMAIN if entry.domain else ""
    wrapper = ModelWrapper(known).transform(InferShapes())
    return np.asarray(execute_onnx(wrapper, {"x": x})[model.graph.output[0].name])


def _model(
    operator: str,
    shape: tuple[int, ...],
    inputs: list[Any],
    keys: dict[str, Any],
    domain: str = DOMAIN,
    version: int = 1,
) -> onnx.ModelProto:
    """One node on the input `x` of that shape, its other inputs constants `p0`, `p1`, …"""
    constants = [numpy_helper.from_array(np.asarray(array), f"p{index}") for index, array in enumerate(inputs)]
    names = [item.name for item in constants]
    node = helper.make_node(operator, ["x", *names], ["y"], name=f"{operator}_0", domain=domain, **keys)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "network", [given], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    graph.initializer.extend(constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(domain, version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _annotate(model: onnx.ModelProto, datatype: str, *names: str) -> None:
    for name in names:
        annotation = model.graph.quantization_annotation.add(tensor_name=name)
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)
