"""The kinds of nodes of the integer graph. `evaluate` is each one's definition; nothing here knows ONNX or hardware."""

from lutwright.frontend.nodes.arithmetic import Add, MatMul, Multiply
from lutwright.frontend.nodes.dense import Dense
from lutwright.frontend.nodes.moves import Concat, Pad, Reshape, Stuff, Take, Transpose
from lutwright.frontend.nodes.staircases import ArgMax, Clamp, Embedding, Table, Threshold
from lutwright.frontend.nodes.windows import Conv, Pool, Unfold

__all__ = [
    "Add",
    "ArgMax",
    "Clamp",
    "Concat",
    "Conv",
    "Dense",
    "Embedding",
    "MatMul",
    "Multiply",
    "Pad",
    "Pool",
    "Reshape",
    "Stuff",
    "Table",
    "Take",
    "Threshold",
    "Transpose",
    "Unfold",
]
