"""What is said of operators that have no integer meaning here: the reason, and the step that the user can take."""

from __future__ import annotations

import onnx

from lutwright.errors import Refusal
from lutwright.frontend.onnx_import.state import Refused

SPLIT = "let the host run it (cut the model there, and import the part after it as a model of its own)"
RECURRENT = (
    "recurrent layers are not supported yet; dense, convolutional and elementwise layers are",
    "Use a convolutional model (Conv over time), write the time steps out as MatMul, Sigmoid, Tanh and Mul with "
    f"quantizers between them, or {SPLIT}",
)
CONTROL = (
    "control flow has no fixed hardware",
    "Export the model with fixed shapes and without branches, for example with torch.onnx.export on an example input, "
    "or fold it with onnxsim",
)
ATTENTION = (
    "attention as one operator is not supported",
    "Export it as MatMul, Mul and Softmax, and put a quantizer after each; Softmax between layers must be replaced, "
    "for example by Relu",
)
REASONS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), CONTROL),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "GroupQueryAttention", "RotaryEmbedding"), ATTENTION),
    "Einsum": (
        "sums in Einstein notation are not supported",
        "Write it as MatMul, with Transpose and Reshape around it",
    ),
    "DeformConv": (
        "its weights meet positions that depend on the data",
        "Use Conv instead",
    ),
    "FloatQuant": (
        "it quantizes to floating point (minifloat), and the hardware computes in integers",
        "Export the model with Quant (fixed point) of the same number of bits",
    ),
    "GenericPartition": (
        "it stands for a model in another file",
        "Export the model before FINN partitions it, or import the partition's own file",
    ),
    "DebugMarker": ("it is a marker of QONNX's own tools", "Export the model without markers"),
    **dict.fromkeys(
        ("RequantizedConv", "RequantizedGemm", "RequantizedMatMul", "RequantizedAdd", "RequantizediHardswish"),
        (
            "Deeploy's fused operators are not supported",
            "Give the graph as it is before Deeploy fuses it: Conv, MatMul or Add with a RequantShift after it",
        ),
    ),
    **dict.fromkeys(
        ("iSoftmax", "iLayerNorm", "iRMSNorm", "iGELU", "iHardswish", "ITAMax", "IntegerDiv", "IntegerMean"),
        (
            "Deeploy's integer approximations of transcendental functions are not supported",
            "Write it in ONNX's own operators with a quantizer after it: it becomes a table",
        ),
    ),
}


def refused(node: onnx.NodeProto) -> Refused:
    """Why the operator cannot be imported at all."""
    if node.op_type in REASONS:
        return Refused(*REASONS[node.op_type])
    if not node.domain and not onnx.defs.has(node.op_type):
        return Refused(
            f"'{node.op_type}' is no operator of ONNX",
            "Check its domain, or replace it by ONNX's or QONNX's operators",
        )
    where = f" of domain '{node.domain}'" if node.domain else ""
    return Refused(
        f"the operator{where} is not supported", f"Replace it by ONNX's or QONNX's own operators, or {SPLIT}"
    )


NORMALIZATIONS = ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LRN")
BETWEEN: dict[str, str] = {
    "QLinearWhere": "Write it as DequantizeLinear, Where and QuantizeLinear, which become one table",
    **dict.fromkeys(
        NORMALIZATIONS, "Use BatchNormalization, whose statistics are constants and which becomes part of the quantizer"
    ),
    **dict.fromkeys(
        ("Softmax", "LogSoftmax", "Hardmax", "QLinearSoftmax"),
        "Let it be the last operator, which the host runs, or replace it by Relu or HardSigmoid and a quantizer",
    ),
    **dict.fromkeys(
        ("NonZero", "NonMaxSuppression", "Unique", "Compress", "RoiAlign", "MaxRoiPool", "GridSample"),
        "Its result's shape or its indices depend on the data: let it follow the last layer, where the host runs it",
    ),
}


def between_layers(node: onnx.NodeProto) -> Refusal:
    """Why an operator that the host can run cannot stand between integer layers."""
    return Refusal(
        node.name,
        node.op_type,
        "it stands between integer layers, and only the host can run it",
        BETWEEN.get(
            node.op_type,
            "Move it behind the last layer or before the first quantizer, or replace it by a Relu or another "
            "elementwise function, which becomes part of the next quantizer",
        ),
    )
