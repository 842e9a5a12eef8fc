"""Each function of fused.py against the operator in onnxruntime: all codes, all pairs of codes, sums near ties."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.onnx_import import fused
from lutwright.frontend.onnx_import.executor import session

F32 = np.float32
RANGE = {np.uint8: (0, 255), np.int8: (-128, 127)}
ELEMENT = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}
BITS = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
}
# Scales of a, b and the output: powers of two (ties everywhere), thirds and sevenths (ties that round), unlike sizes.
SCALES = [
    (1.0, 1.0, 1.0),
    (0.5, 0.25, 1.0),
    (0.125, 0.5, 0.25),
    (1 / 3, 1 / 7, 2 / 3),
    (0.3, 0.7, 0.2),
    (0.05, 0.03, 0.07),
    (5 / 64 * 0.9, 7 / 64 * 0.9, 0.9),
    (0.0039215689, 0.017429232, 0.023517),
    (1e-5, 3.0, 0.11),
    (40.0, 1e-3, 0.013),
    (1e-6, 2e-6, 1.0),
    (0.625, 0.375, 1.25),
]
ZEROS = [(0, 0, 0), (255, 255, 255), (0, 255, 128), (128, 128, 0), (3, 200, 77), (114, 121, 130)]
GRIDS = [pytest.param(s, z, id=f"{s}{z}") for s, z in itertools.product(SCALES, ZEROS)]
both_types = pytest.mark.parametrize("dtype", RANGE)
LENGTHS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 70]


def run(operator: str, inputs: list[Any], domain: str = "", **attributes: Any) -> Any:
    """One operator in onnxruntime; an array is an input, a tuple of one array an initializer, None absent."""
    names = ["" if item is None else f"i{index}" for index, item in enumerate(inputs)]
    given, constants, feed = [], [], {}
    for name, item in zip(names, inputs, strict=True):
        if isinstance(item, tuple):
            constants.append(numpy_helper.from_array(np.asarray(item[0]), name))
        elif item is not None:
            kind = helper.np_dtype_to_tensor_dtype(item.dtype)
            given.append(helper.make_tensor_value_info(name, kind, item.shape))
            feed[name] = item
    node = helper.make_node(operator, names, ["y"], domain=domain, **attributes)
    graph = helper.make_graph([node], "g", given, [onnx.ValueInfoProto(name="y")], constants)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    return session(helper.make_model(graph, opset_imports=opsets, ir_version=10)).run(None, feed)[0]


def microsoft(operator: str, inputs: list[Any], **attributes: Any) -> Any:
    return run(operator, inputs, "com.microsoft", **attributes)


def grids(scales: tuple[float, ...], zeros: tuple[int, ...], dtype: Any) -> tuple[list[Any], list[list[Any]]]:
    """(scale, zero) of a, b and y in turn as Python arguments, and as initializers."""
    lo = RANGE[dtype][0]
    flat = [value for s, z in zip(scales, zeros, strict=True) for value in (F32(s), z + lo)]
    return flat, [[(F32(s),), (np.asarray(z + lo, dtype),)] for s, z in zip(scales, zeros, strict=True)]


def same(wanted: Any, ours: Any) -> None:
    np.testing.assert_array_equal(np.asarray(ours).astype(np.float64), np.asarray(wanted).astype(np.float64))


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 3, 0.1, 0.017429232, 7.0, 1e-30, 1e30])
@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
def test_quantize_and_dequantize(kind: int, scale: float, at: float) -> None:
    (lo, hi), s = BITS[kind], F32(scale)
    zero = round(lo + at * (hi - lo))
    halves = np.arange(2 * (lo - zero) - 5, 2 * (hi - zero) + 6).astype(F32) / 2 * s
    x = np.concatenate([halves, np.nextafter(halves, F32(-np.inf)), np.nextafter(halves, F32(np.inf))])
    x = np.concatenate([x, np.array([-0.0, 1e30, -1e30, np.inf, -np.inf, 2**31, -(2**31), np.nan], F32)])
    for part in (x, *(x[-n:] for n in LENGTHS)):
        same(quantize_in_onnxruntime(part, s, zero, kind), fused.quantize_linear(part, s, zero, lo, hi))
    codes = np.arange(lo, hi + 1, dtype=np.int32)
    for part in (codes, *(codes[-n:] for n in LENGTHS)):
        same(dequantize_in_onnxruntime(part, s, zero, kind), fused.dequantize_linear(part, s, zero))


def quantize_in_onnxruntime(x: Any, scale: Any, zero: int, kind: int) -> Any:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.INT32),
    ]
    return run_with_zero(nodes, x, scale, zero, kind)


def dequantize_in_onnxruntime(codes: Any, scale: Any, zero: int, kind: int) -> Any:
    nodes = [
        helper.make_node("Cast", ["x"], ["q"], to=kind),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return run_with_zero(nodes, codes, scale, zero, kind)


def run_with_zero(nodes: list[Any], x: Any, scale: Any, zero: int, kind: int) -> Any:
    given = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    constants = [numpy_helper.from_array(np.asarray(scale), "s"), helper.make_tensor("z", kind, [], [zero])]
    graph = helper.make_graph(nodes, "g", given, [onnx.ValueInfoProto(name="y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return session(model).run(None, {"x": x})[0]


@both_types
def test_quantize_and_dequantize_per_axis(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    lo, hi = RANGE[dtype]
    scale = np.array([0.1, 1 / 3, 0.5, 7.0, 1e-3], F32)
    zero = rng.integers(lo, hi + 1, 5)
    x = (rng.integers(-300, 300, (3, 5, 37)) / 2 * scale[:, None]).astype(F32)
    q = run("QuantizeLinear", [x, (scale,), (zero.astype(dtype),)], axis=1)
    same(q, fused.quantize_linear(x, scale[:, None], zero[:, None], lo, hi))
    wanted = run("DequantizeLinear", [q, (scale,), (zero.astype(dtype),)], axis=1)
    same(wanted, fused.dequantize_linear(q, scale[:, None], zero[:, None]))


def test_dequantize_int32() -> None:
    q = np.random.default_rng(0).integers(-(2**31), 2**31, 1000).astype(np.int32)
    same(run("DequantizeLinear", [q, (F32(0.0123),)]), fused.dequantize_linear(q, F32(0.0123), 0))


TYPES = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)]
# Rows, sum length, columns: one element, tails of every vector width, sums beyond 2^24.
SIZES = [(1, 1, 1), (5, 3, 7), (33, 64, 40), (2, 17, 33), (3, 1000, 16), (70, 5, 70)]


class Product:
    """Random and extreme codes of one matrix product, its exact sums, and biases that put sums near ties."""

    def __init__(self, types: tuple[Any, Any], size: tuple[int, int, int], per_channel: bool) -> None:
        rng = np.random.default_rng([*size, per_channel])
        (self.x_type, self.w_type), (rows, depth, columns) = types, size
        (self.lo, self.hi), (w_lo, w_hi) = RANGE[self.x_type], RANGE[self.w_type]
        self.x = rng.integers(self.lo, self.hi + 1, (rows, depth)).astype(self.x_type)
        self.w = rng.integers(w_lo, w_hi + 1, (depth, columns)).astype(self.w_type)
        self.x[0], self.w[:, 0] = self.hi, w_lo
        self.x_scale, self.y_scale = F32(0.0173), F32(0.21)
        self.x_zero, self.y_zero = self.lo + 7, self.hi - 100
        shape = (columns,) if per_channel else ()
        self.w_scale = (rng.random(shape) * 0.1 + 1e-3).astype(F32)
        self.w_zero = rng.integers(w_lo, w_hi + 1, shape)
        self.acc = (self.x.astype(np.int64) - self.x_zero) @ (self.w.astype(np.int64) - self.w_zero)
        ties = rng.integers(self.lo - self.y_zero, self.hi - self.y_zero, columns) + 0.5
        bias = np.rint(ties / (self.x_scale * self.w_scale / self.y_scale)) - self.acc[-1]
        bias[::3] = rng.integers(-(2**30), 2**30, columns)[::3]
        self.bias = bias.astype(np.int32)
        self.left = [(self.x_scale,), (np.asarray(self.x_zero, self.x_type),)]
        self.right = [(self.w_scale,), (np.asarray(self.w_zero, self.w_type),)]
        self.out = [(self.y_scale,), (np.asarray(self.y_zero, self.x_type),)]

    def requantize(self, acc: Any, alpha: float = 1.0) -> Any:
        to = self.y_scale, self.y_zero, self.lo, self.hi
        return fused.requantize(acc, self.x_scale, self.w_scale, *to, alpha=alpha)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("types", TYPES)
class TestProducts:
    def test_matmul(self, types: Any, size: Any, per_channel: bool) -> None:
        p = Product(types, size, per_channel)
        same(run("MatMulInteger", [p.x, (p.w,), p.left[1], p.right[1]]), p.acc)
        same(run("QLinearMatMul", [p.x, *p.left, (p.w,), *p.right, *p.out]), p.requantize(p.acc))

    def test_gemm(self, types: Any, size: Any, per_channel: bool) -> None:
        p = Product(types, size, per_channel)
        inputs = [p.x, *p.left, (p.w,), *p.right, (p.bias,)]
        for alpha in (1.0, 0.7, 3.3):
            same(microsoft("QGemm", [*inputs, *p.out], alpha=alpha), p.requantize(p.acc + p.bias, alpha))
            real = fused.integer_to_float(p.acc + p.bias, p.x_scale, p.w_scale, alpha=alpha)
            same(microsoft("QGemm", inputs, alpha=alpha), real)

    def test_matmul_integer_to_float(self, types: Any, size: Any, per_channel: bool) -> None:
        p = Product(types, size, per_channel)
        inputs = [p.x, (p.w,), p.left[0], p.right[0], p.left[1], p.right[1]]
        bias = np.random.default_rng(0).standard_normal(size[2]).astype(F32) * 100
        for terms in (None, bias):
            wanted = microsoft("MatMulIntegerToFloat", inputs + ([] if terms is None else [(terms,)]))
            same(wanted, fused.integer_to_float(p.acc, p.x_scale, p.w_scale, terms))

    def test_conv(self, types: Any, size: Any, per_channel: bool) -> None:
        p = Product(types, size, per_channel)
        x, w = p.x[:, :, None, None], (np.ascontiguousarray(p.w.T)[:, :, None, None],)
        wanted = run("QLinearConv", [x, *p.left, w, *p.right, *p.out, (p.bias,)])
        same(wanted[:, :, 0, 0], p.requantize(p.acc + p.bias))
        if p.x_type is np.uint8 and not per_channel:
            wanted = run("ConvInteger", [x, w, p.left[1], p.right[1]])
            same(wanted[:, :, 0, 0], p.acc)


@pytest.mark.parametrize("channels", [3, 16, 40])
@pytest.mark.parametrize("types", TYPES)
def test_depthwise_conv_pads_with_the_zero_point(types: Any, channels: int) -> None:
    rng = np.random.default_rng(channels)
    (lo, hi), (w_lo, w_hi) = RANGE[types[0]], RANGE[types[1]]
    x = rng.integers(lo, hi + 1, (2, channels, 9, 9)).astype(types[0])
    w = rng.integers(w_lo, w_hi + 1, (channels, 1, 3, 3)).astype(types[1])
    scales = [F32(0.1), F32(0.003), F32(0.2)]
    zeros = [np.asarray(lo + 3, types[0]), np.asarray(w_lo + 130, types[1]), np.asarray(lo + 99, types[0])]
    pairs = [((s,), (z,)) for s, z in zip(scales, zeros, strict=True)]
    wanted = run("QLinearConv", [x, *pairs[0], (w,), *pairs[1], *pairs[2]], group=channels, pads=[1, 1, 1, 1])
    centred = np.pad(x.astype(np.int64) - int(zeros[0]), ((0, 0), (0, 0), (1, 1), (1, 1)))
    acc = np.einsum(
        "nchwij,cij->nchw", sliding_window_view(centred, (3, 3), (2, 3)), w[:, 0].astype(np.int64) - int(zeros[1])
    )
    same(wanted, fused.requantize(acc, *scales, int(zeros[2]), lo, hi))


@pytest.mark.parametrize("value", [("hi", "hi"), ("hi", "lo"), ("lo", "hi"), ("lo", "lo")])
@pytest.mark.parametrize("types", TYPES)
def test_partial_sums_do_not_saturate(types: Any, value: tuple[str, str]) -> None:
    """Without VNNI, uint8 x int8 kernels saturate pairs of products to 16 bits: then the machine is wrong."""
    x, w = (np.full(1, RANGE[t][v == "hi"], t) for t, v in zip(types, value, strict=True))
    x, w = x.repeat(33 * 256).reshape(33, 256), w.repeat(256 * 40).reshape(256, 40)
    same(run("MatMulInteger", [x, (w,)]), x.astype(np.int64) @ w.astype(np.int64))


@both_types
@pytest.mark.parametrize("scales, zeros", GRIDS)
class TestPairs:
    def test_add(self, scales: Any, zeros: Any, dtype: Any) -> None:
        self.all_pairs("QLinearAdd", fused.q_add, scales, zeros, dtype)

    def test_mul(self, scales: Any, zeros: Any, dtype: Any) -> None:
        self.all_pairs("QLinearMul", fused.q_mul, scales, zeros, dtype)

    def all_pairs(self, operator: str, function: Any, scales: Any, zeros: Any, dtype: Any) -> None:
        lo, hi = RANGE[dtype]
        flat, (a_grid, b_grid, y_grid) = grids(scales, zeros, dtype)
        codes = np.arange(lo, hi + 1, dtype=dtype)
        a, b = np.repeat(codes, 256), np.tile(codes, 256)
        rest = np.random.default_rng(0).permutation(a.size)
        for part in (slice(None), *(rest[-n:] for n in LENGTHS)):
            wanted = microsoft(operator, [a[part], *a_grid, b[part], *b_grid, *y_grid])
            same(wanted, function(a[part], *flat[:2], b[part], *flat[2:], lo, hi))


SHAPES = [
    ((1,), (1,)),
    ((), ()),
    ((), (50,)),
    ((50,), ()),
    ((1,), (50,)),
    ((50,), (1,)),
    ((50, 1, 1), (1, 1)),
    ((1, 1), (50, 1, 1)),
    ((50, 1), (1, 1)),
    ((1, 1), (50, 1)),
    ((1, 50), (50,)),
    ((2, 8, 4, 4), (1, 8, 1, 1)),
    ((1, 8, 1, 1), (2, 8, 4, 4)),
    ((3, 1, 50), (3, 7, 1)),
    ((3, 7, 1), (3, 1, 50)),
    ((4, 5, 1), (4, 5, 1)),
]


@both_types
@pytest.mark.parametrize("operator, function", [("QLinearAdd", fused.q_add), ("QLinearMul", fused.q_mul)])
@pytest.mark.parametrize("shapes", SHAPES)
def test_pairs_of_unequal_shapes(operator: str, function: Any, shapes: Any, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    lo, hi = RANGE[dtype]
    for scales, zeros in itertools.product(SCALES, ZEROS):
        flat, (a_grid, b_grid, y_grid) = grids(scales, zeros, dtype)
        a, b = (np.asarray(rng.integers(lo, hi + 1, shape)).astype(dtype) for shape in shapes)
        wanted = microsoft(operator, [a, *a_grid, b, *b_grid, *y_grid])
        same(wanted, function(a, *flat[:2], b, *flat[2:], lo, hi))


@both_types
@pytest.mark.parametrize("scales, zeros", GRIDS)
def test_tables(scales: Any, zeros: Any, dtype: Any) -> None:
    lo, hi = RANGE[dtype]
    flat, (a_grid, b_grid, y_grid) = grids(scales, zeros, dtype)
    codes = np.arange(lo, hi + 1, dtype=dtype)
    to = (*flat[4:], lo, hi)
    wanted = microsoft("QLinearSigmoid", [codes, *a_grid, *y_grid])
    same(wanted, fused.q_unary(codes, fused.sigmoid, *flat[:2], *to))
    for alpha in (0.01, 0.1, 0.3):
        wanted = microsoft("QLinearLeakyRelu", [codes, *a_grid, *y_grid], alpha=alpha)
        same(wanted, fused.q_unary(codes, lambda x, alpha=alpha: fused.leaky_relu(x, alpha), *flat[:2], *to))
    a, b = (fused.requantize_codes(codes, *grid, *to) for grid in (flat[:2], flat[2:4]))
    wanted = microsoft("QLinearConcat", [*y_grid, codes, *a_grid, codes, *b_grid], axis=0)
    same(wanted, np.concatenate([a, b]))
    for first in (True, False):
        condition = np.full(256, first)
        wanted = microsoft("QLinearWhere", [condition, codes, *a_grid, codes, *b_grid, *y_grid])
        same(wanted, a if first else b)


@both_types
@pytest.mark.parametrize("zero", [0, 100, 255])
@pytest.mark.parametrize("scales", [(0.1, 1 / 256), (0.03, 1 / 255), (1.7, 0.004), (0.004, 0.0123), (5.0, 1 / 128)])
def test_softmax(scales: tuple[float, float], zero: int, dtype: Any) -> None:
    lo, hi = RANGE[dtype]
    rng = np.random.default_rng(zero)
    y_zero = np.asarray(lo + zero, dtype)
    for length in (2, 3, 10, 33, 256, 1000):
        q = rng.integers(lo, hi + 1, (20, length)).astype(dtype)
        inputs = [q, (F32(scales[0]),), (np.asarray(lo + 5, dtype),), (F32(scales[1]),), (y_zero,)]
        wanted = microsoft("QLinearSoftmax", inputs, axis=-1, opset=13)
        same(wanted, fused.q_softmax(q, F32(scales[0]), F32(scales[1]), int(y_zero), lo, hi))


@both_types
@pytest.mark.parametrize("scales, zeros", GRIDS[::3])
@pytest.mark.parametrize("channels_last", [0, 1])
def test_average_pools(scales: Any, zeros: Any, channels_last: int, dtype: Any) -> None:
    rng = np.random.default_rng(channels_last)
    lo, hi = RANGE[dtype]
    flat, (x_grid, _, y_grid) = grids(scales, zeros, dtype)
    from_to = (*flat[:2], *flat[4:], lo, hi)
    for channels, height, width in ((1, 1, 1), (3, 7, 7), (16, 5, 9), (33, 8, 8)):
        if scales[0] / scales[2] / (height * width) >= 256:
            continue  # onnxruntime refuses to run it
        x = rng.integers(lo, hi + 1, (2, channels, height, width)).astype(dtype)
        x[:, 0] = hi
        seen = np.moveaxis(x, 1, 3) if channels_last else x
        wanted = microsoft("QLinearGlobalAveragePool", [seen, *x_grid, *y_grid], channels_last=channels_last)
        total = x.sum((2, 3), dtype=np.int64)
        same(wanted.reshape(2, channels), fused.q_global_average_pool(total, height * width, *from_to))
    for kernel, pads, stride, include in itertools.product(
        [(2, 2), (3, 3)], [(0, 0, 0, 0), (1, 0, 1, 1)], [1, 2], [0, 1]
    ):
        x = rng.integers(lo, hi + 1, (1, 5, 8, 9)).astype(dtype)
        attributes = {"kernel_shape": kernel, "pads": pads, "strides": (stride, stride), "count_include_pad": include}
        seen = np.moveaxis(x, 1, 3) if channels_last else x
        wanted = microsoft("QLinearAveragePool", [seen, *x_grid, *y_grid], channels_last=channels_last, **attributes)
        around = ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3]))
        windows, inside = (windows_of(np.pad(t, around), kernel, stride) for t in (x, np.ones(x.shape, bool)))
        count = np.asarray(inside.shape[-1] if include else inside.sum(-1))
        ours = fused.q_average_pool(windows, inside, count, *from_to)
        same(np.moveaxis(wanted, 3, 1) if channels_last else wanted, ours)


def windows_of(x: Any, kernel: tuple[int, int], stride: int) -> Any:
    view = sliding_window_view(x, kernel, (2, 3))[:, :, ::stride, ::stride]
    return view.reshape(*view.shape[:4], -1)
