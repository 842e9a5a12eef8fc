"""A small network around every operator of the importer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from lutwright.frontend.onnx_import import elementwise
from lutwright.frontend.onnx_import.qonnx_layers import CHANNELS_LAST
from lutwright.frontend.onnx_import.state import MICROSOFT, QONNX_DOMAINS

from .frontend.builder import QONNX, Net

Build = Callable[[Net, str, str], str]  # (net, activations [N, 2, 3, 4] in -8..7, the operator's domain)
F = np.float32
BOTH = (F(0.25), np.int8(0))  # a scale and a zero point
NORM = r"the norm over a window is not supported\. Use AveragePool or MaxPool"
BETWEEN = r"it stands between integer layers, and only the host can run it\."
NEWEST = {"HardSwish": 14, "Mish": 18, "CenterCropPad": 18, "Gelu": 20, "Swish": 24}


@dataclass(frozen=True)
class Case:
    """An operator with what builds a network of it. refused: the reason that the refusal gives, of import or plan."""

    build: Build
    refused: str = ""
    opset: int = 13

    def net(self, domain: str) -> tuple[Net, str]:
        """The network and its output: a quantizer behind a sum, so that what is before it is no work of the host."""
        net = Net(2, 3, 4, opset=self.opset)
        y = self.build(net, net.quant("input"), domain)
        if self.opset < 13:
            return net, net.quant(net.op("ReduceSum", net.quant(y, 0.5, 6), axes=[-1]), 1.0, 5)
        return net, net.quant(net.op("ReduceSum", net.quant(y, 0.5, 6), ints(-1)), 1.0, 5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def weights(*shape: int, kind: Any = F) -> np.ndarray:
    return np.random.default_rng(0).integers(-3, 4, shape).astype(kind)


def op(name: str, *others: Any, before: Callable[[Net, str], str] | None = None, **attributes: Any) -> Build:
    """The operator on the activations, or on what `before` makes of them, and constants."""

    def build(net: Net, x: str, domain: str) -> str:
        return net.op(name, before(net, x) if before else x, *others, domain=domain, **attributes)

    return build


def cast(build: Build) -> Build:
    """With a result of floats."""
    return lambda net, x, domain: net.op("Cast", build(net, x, domain), to=TensorProto.FLOAT)


def compared(name: str) -> Build:
    return cast(op(name, F(2)))


def logical(name: str) -> Build:
    def build(net: Net, x: str, domain: str) -> str:
        return net.op(name, net.op("Greater", x, F(-3)), net.op("Less", x, F(4)))

    return cast(build)


def rising(net: Net, x: str) -> str:
    """1 to 16."""
    return net.op("Add", x, F(9))


def within(net: Net, x: str) -> str:
    """Between -1 and 1."""
    return net.op("Div", x, F(9))


def shifted(net: Net, x: str, domain: str) -> str:
    code = net.op("Cast", rising(net, x), to=TensorProto.UINT8)
    return net.op("Cast", net.op("BitShift", code, np.uint8(1), direction="RIGHT"), to=TensorProto.FLOAT)


def flat(net: Net, x: str) -> str:
    return net.op("Reshape", x, ints(0, -1))


def last(net: Net, x: str) -> str:
    return net.op("Transpose", x, perm=[0, 2, 3, 1])


def codes(build: Callable[[Net, str, Any, Any], str]) -> Build:
    """Of what works on codes: build(net, codes, scale, zero point), which gives codes of the same grid."""

    def built(net: Net, x: str, domain: str) -> str:
        scale, zero = F(0.5), np.int8(3)
        return net.real(build(net, net.quantized(x, scale, zero), scale, zero), scale, zero)

    return built


def looked_up(net: Net, x: str, domain: str) -> str:
    """An embedding of each index."""
    index = net.op("Cast", net.op("Relu", flat(net, x)), to=TensorProto.INT64)
    return net.op("Gather", weights(16, 3), index)


BINARY = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Sum", "Mean")
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
POSITIVE = ("Log", "Sqrt", "Reciprocal", "Acosh")
UNIT = ("Asin", "Acos", "Atanh")
SPECIAL: dict[str, Build] = {
    **{name: op(name, F(2)) for name in BINARY},
    **{name: compared(name) for name in COMPARISONS},
    **{name: logical(name) for name in ("And", "Or", "Xor")},
    **{name: op(name, before=rising) for name in POSITIVE},
    **{name: op(name, before=within) for name in UNIT},
    "Not": cast(op("Not", before=lambda net, x: net.op("Greater", x, F(2)))),
    "Mod": op("Mod", F(3), fmod=1),
    "Cast": op("Cast", to=TensorProto.FLOAT),
    "Clip": op("Clip", F(-2), F(5)),
    "Where": lambda net, x, domain: net.op("Where", net.op("Greater", x, F(0)), x, F(3)),
    "BitShift": shifted,
    "PRelu": op("PRelu", F([[[0.25]], [[-1]]])),
}
ELEMENTWISE = (
    *(elementwise.ARITHMETIC, elementwise.STEPS, elementwise.LOGIC, elementwise.POWERS, elementwise.ANGLES),
    *(elementwise.RECTIFIERS, elementwise.SIGMOIDS),
)
CASES: dict[str, Case] = {
    name: Case(SPECIAL.get(name, op(name)), opset=NEWEST.get(name, 13)) for group in ELEMENTWISE for name in group
} | {
    "BatchNormalization": Case(op("BatchNormalization", F([2, 3]), F([1, 0]), F([0, 1]), F([1, 4]))),
    "Reshape": Case(op("Reshape", ints(0, 4, -1))),
    "Flatten": Case(op("Flatten")),
    "Squeeze": Case(op("Squeeze", ints(1), before=lambda net, x: net.op("Unsqueeze", x, ints(1)))),
    "Unsqueeze": Case(op("Unsqueeze", ints(2))),
    "Dropout": Case(op("Dropout")),
    "Identity": Case(op("Identity")),
    "Transpose": Case(op("Transpose", perm=[0, 3, 1, 2])),
    "Slice": Case(op("Slice", ints(1), ints(4), ints(3), ints(2))),
    "Expand": Case(op("Expand", ints(1, 2, 3, 4), before=lambda net, x: net.op("Slice", x, ints(1), ints(2), ints(2)))),
    "Tile": Case(op("Tile", ints(1, 2, 1, 2))),
    "Resize": Case(
        lambda net, x, domain: net.op(
            "Resize", x, "", F([1, 1, 2, 2]), mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    ),
    "Upsample": Case(op("Upsample", F([1, 1, 2, 3])), opset=9),
    "Gather": Case(looked_up),
    "ReverseSequence": Case(op("ReverseSequence", ints(*[2] * 6), batch_axis=0, time_axis=1)),
    "CenterCropPad": Case(op("CenterCropPad", ints(2, 2), axes=[2, 3]), opset=18),
    "Split": Case(lambda net, x, domain: net.op("Add", *net.ops("Split", x, outputs=2, axis=3))),
    "DepthToSpace": Case(op("DepthToSpace", blocksize=2, before=lambda net, x: net.op("Tile", x, ints(1, 2, 1, 1)))),
    "SpaceToDepth": Case(op("SpaceToDepth", blocksize=2, before=lambda net, x: net.op("Tile", x, ints(1, 1, 2, 1)))),
    "Concat": Case(lambda net, x, domain: net.op("Concat", x, net.op("Relu", x), axis=1)),
    "Pad": Case(op("Pad", ints(0, 0, 1, 0, 0, 0, 0, 2), F(3))),
    "Shape": Case(lambda net, x, domain: net.op("Reshape", x, net.op("Shape", x))),
    "Size": Case(lambda net, x, domain: net.op("Div", x, net.op("Cast", net.op("Size", x), to=TensorProto.FLOAT))),
    "MaxPool": Case(op("MaxPool", kernel_shape=[2, 2])),
    "GlobalMaxPool": Case(op("GlobalMaxPool")),
    "AveragePool": Case(op("AveragePool", kernel_shape=[2, 3], pads=[1, 1, 0, 1])),
    "GlobalAveragePool": Case(op("GlobalAveragePool")),
    "LpPool": Case(op("LpPool", kernel_shape=[2, 2], p=1), refused=NORM),
    "GlobalLpPool": Case(op("GlobalLpPool", p=1), refused=NORM),
    "ReduceMean": Case(op("ReduceMean", axes=[2])),
    "ReduceSum": Case(op("ReduceSum", ints(1))),
    "ReduceMax": Case(op("ReduceMax", axes=[2])),
    "ReduceMin": Case(op("ReduceMin", axes=[3])),
    "ArgMax": Case(cast(op("ArgMax", axis=1))),
    "ArgMin": Case(cast(op("ArgMin", axis=3))),
    "TopK": Case(lambda net, x, domain: net.ops("TopK", x, ints(1), outputs=2, axis=2)[0]),
    "Conv": Case(op("Conv", weights(4, 1, 2, 3), F([1, 0, -2, 3]), pads=[1, 1, 0, 1], group=2, strides=[1, 2])),
    "ConvTranspose": Case(op("ConvTranspose", weights(2, 3, 2, 3), strides=[2, 2])),
    "MatMul": Case(op("MatMul", weights(4, 3))),
    "MatMul, two activations": Case(
        lambda net, x, domain: net.op("MatMul", x, net.op("Transpose", x, perm=[0, 1, 3, 2])),
        refused=r"must have one constant operand, but both are activations: no engine keeps a stream as weights",
    ),
    "MaxPool, three axes": Case(
        op("MaxPool", kernel_shape=[1, 2, 2], before=lambda net, x: net.op("Unsqueeze", x, ints(1))),
        refused=r"\(Pool\) must slide over one or two axes, not 3\. Fold an axis into the channels",
    ),
    "Gemm": Case(op("Gemm", weights(3, 24), F([1, 2, 3]), transB=1, before=flat)),
    "QuantizeLinear": Case(lambda net, x, domain: net.pair(x, 0.75, np.int8(2))),
    "DequantizeLinear": Case(lambda net, x, domain: net.pair(x, [0.5, 2], np.array([0, 1], np.int8), axis=1)),
    "DynamicQuantizeLinear": Case(
        cast(lambda net, x, domain: net.ops("DynamicQuantizeLinear", x, outputs=3)[0]),
        refused=r"its scale depends on the data of each sample\. Quantize statically",
    ),
    "QLinearConv": Case(
        codes(lambda net, q, s, z: net.op("QLinearConv", q, s, z, weights(3, 2, 2, 2, kind=np.int8), *BOTH, s, z))
    ),
    "QLinearMatMul": Case(
        codes(lambda net, q, s, z: net.op("QLinearMatMul", q, s, z, weights(4, 3, kind=np.int8), *BOTH, s, z))
    ),
    "MatMulInteger": Case(
        lambda net, x, domain: net.op(
            "Cast",
            net.op("MatMulInteger", net.quantized(x, 1, np.int8(0)), weights(4, 3, kind=np.int8)),
            to=TensorProto.FLOAT,
        )
    ),
    "ConvInteger": Case(
        lambda net, x, domain: net.op(
            "Cast",
            net.op("ConvInteger", net.quantized(x, 1, np.int8(0)), weights(3, 2, 2, 2, kind=np.int8)),
            to=TensorProto.FLOAT,
        )
    ),
    "RequantShift": Case(
        lambda net, x, domain: net.op(
            "RequantShift", net.op("MatMul", x, weights(4, 3)), F(5), F(3), domain=domain,
            div=4.0, n_levels_out=16.0, signed=1.0,
        )
    ),
}  # fmt: skip

QONNX_CASES: dict[str, Case] = {
    **{
        name: Case(op(name, F(0.5), F(0), F(3), signed=1, narrow=0, rounding_mode="ROUND"))
        for name in ("Quant", "IntQuant")
    },
    "BipolarQuant": Case(op("BipolarQuant", F(1))),
    "MultiThreshold": Case(op("MultiThreshold", np.sort(weights(2, 3)), out_dtype="UINT2")),
    "Im2Col": Case(
        op("Im2Col", kernel_size=[2, 2], stride=[1, 1], input_shape="(1,3,4,2)", pad_amount=[0, 0, 0, 0], before=last)
    ),
    "Trunc": Case(op("Trunc", F(1), F(0), F(4), F(3), rounding_mode="FLOOR")),
    "XnorPopcountMatMul": Case(
        op(
            "XnorPopcountMatMul",
            np.abs(weights(4, 3)).clip(0, 1),
            before=lambda net, x: net.op("MultiThreshold", x, F([[0]]), domain=QONNX, out_dtype="BINARY"),
        )
    ),
    "QuantAvgPool2d": Case(op("QuantAvgPool2d", kernel=2, stride=1, ibits=4, obits=4, signed=1)),
    "MaxPoolNHWC": Case(op("MaxPoolNHWC", kernel_shape=[2, 2], before=last)),
}
LAST_CASES: dict[str, Case] = {
    "Conv": Case(op("Conv", weights(3, 2, 2, 2), before=last)),
    "MaxPool": Case(op("MaxPool", kernel_shape=[2, 2], before=last)),
    "BatchNormalization": Case(op("BatchNormalization", F([2, 3]), F([1, 0]), F([0, 1]), F([1, 4]), before=last)),
}


def microsoft(name: str, *others: Any, **attributes: Any) -> Case:
    """On codes, their grid and constants; to the same grid."""

    def build(net: Net, q: str, scale: Any, zero: Any) -> str:
        return net.op(name, q, scale, zero, *others, scale, zero, domain=MICROSOFT, **attributes)

    return Case(codes(build))


MICROSOFT_CASES: dict[str, Case] = {
    "QGemm": Case(
        codes(
            lambda net, q, s, z: net.op(
                "QGemm", flat(net, q), s, z, weights(24, 3, kind=np.int8), F(0.5), np.int8(0), "", s, z,
                domain=MICROSOFT,
            )
        )
    ),
    "MatMulIntegerToFloat": Case(
        lambda net, x, domain: net.op(
            "MatMulIntegerToFloat", net.quantized(x, 1, np.int8(0)), weights(4, 3, kind=np.int8), F(1), F(0.5),
            domain=domain,
        )
    ),
    **{
        name: Case(
            codes(lambda net, q, s, z, name=name: net.op(name, q, s, z, q, s, z, s, z, domain=MICROSOFT))
        )
        for name in ("QLinearAdd", "QLinearMul")
    },
    "QLinearSigmoid": microsoft("QLinearSigmoid"),
    "QLinearLeakyRelu": microsoft("QLinearLeakyRelu", alpha=0.5),
    "QLinearConcat": Case(
        codes(
            lambda net, q, s, z: net.op(
                "QLinearConcat", s, z, q, s, z, net.quantized(net.op("Relu", net.real(q, s, z)), *BOTH), *BOTH,
                domain=MICROSOFT, axis=1,
            )
        )
    ),
    "QLinearAveragePool": microsoft("QLinearAveragePool", kernel_shape=[2, 2]),
    "QLinearGlobalAveragePool": microsoft("QLinearGlobalAveragePool"),
    "QLinearSoftmax": Case(microsoft("QLinearSoftmax").build, refused=f"{BETWEEN} Let it be the last operator"),
    "QLinearReduceMean": Case(
        microsoft("QLinearReduceMean", axes=[2], keepdims=1).build,
        refused=r"has no kernel for it, .*\. Write it as DequantizeLinear, ReduceMean and QuantizeLinear",
    ),
    "QLinearWhere": Case(
        lambda net, x, domain: net.op(
            "QLinearWhere", net.op("Greater", x, F(0)), net.quantized(x, *BOTH), *BOTH, np.int8(3), *BOTH, *BOTH,
            domain=domain,
        ),
        refused=f"{BETWEEN} Write it as DequantizeLinear, Where and QuantizeLinear",
    ),
}  # fmt: skip


def networks() -> dict[tuple[str, str], Case]:
    """By domain and operator, some with a remark behind it."""
    found = {("", name): case for name, case in CASES.items()} | {("PACTOps", "RequantShift"): CASES["RequantShift"]}
    for domains, cases in ((QONNX_DOMAINS, QONNX_CASES), (CHANNELS_LAST, LAST_CASES), ((MICROSOFT,), MICROSOFT_CASES)):
        found |= {(domain, name): case for domain in domains for name, case in cases.items()}
    return found
