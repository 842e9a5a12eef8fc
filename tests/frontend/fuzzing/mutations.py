"""From a valid model and a generator to a damaged file: structural mutators on the protobuf, then bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from . import attributes, graphs, operators, tensors
from .registry import MUTATORS, Unsuitable, pick

REGISTERED = (attributes, graphs, operators, tensors)  # importing them fills MUTATORS
Bytes = Callable[[np.random.Generator, bytearray, onnx.ModelProto], None]


def mutated(rng: np.random.Generator, model: bytes) -> tuple[bytes, str]:
    """The content of a damaged file, and the names of the mutators that made it."""
    damaged, names = onnx.ModelProto.FromString(model), list[str]()
    count = int(rng.choice([0, 1, 1, 1, 1, 2, 2, 3]))
    while len(names) < count:
        change = pick(rng, MUTATORS)
        try:
            change(rng, damaged)
            names.append(change.__name__)
        except Unsuitable:
            continue
    content = bytearray(damaged.SerializeToString())
    if count == 0 or rng.random() < 0.05:
        for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
            harm = pick(rng, BYTES)
            harm(rng, content, damaged)
            names.append(harm.__name__)
    return bytes(content), ", ".join(names)


def place(rng: np.random.Generator, content: bytearray) -> int:
    """A position, more often near one of the ends: there is the structure, in between are the weights."""
    size = len(content)
    near = int(rng.integers(min(size, 2000))) if size else 0
    return int(pick(rng, [near, size - 1 - near, int(rng.integers(max(size, 1)))]))


def flip_bits(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    for _ in range(int(rng.integers(1, 9))):
        if content:
            content[place(rng, content)] ^= 1 << int(rng.integers(8))


def overwrite(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    start, size = place(rng, content), int(rng.integers(1, 40))
    content[start : start + size] = rng.bytes(size) if rng.random() < 0.5 else bytes([int(rng.choice([0, 255]))]) * size


def insert_bytes(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    start = place(rng, content)
    content[start:start] = rng.bytes(int(rng.integers(1, 40)))


def delete_bytes(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    start = place(rng, content)
    del content[start : start + int(rng.integers(1, 40))]


def repeat_bytes(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    start, size = place(rng, content), int(rng.integers(1, 400))
    content[start:start] = content[start : start + size]


def truncate(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    del content[place(rng, content) :]


def repeat_file(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    """Protobuf merges messages that follow each other: every node and initializer is there twice."""
    content.extend(bytes(content))


def invalid_text(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    """A name, in all its places or the first, becomes bytes that are no UTF-8, or control characters."""
    names = [name for node in model.graph.node for name in (node.name, node.op_type, *node.output) if name]
    old = pick(rng, names or ["g"]).encode()
    new = pick(rng, [b"\xff", b"\xc3", b"\x00", b"\n", b"\x1b", b"\xed\xa0\x80"])
    new = (new * len(old))[: len(old)]
    content[:] = content.replace(old, new, -1 if rng.random() < 0.5 else 1)


def lengthen(rng: np.random.Generator, content: bytearray, model: onnx.ModelProto) -> None:
    """A varint with ten bytes where a length or a value was."""
    start = place(rng, content)
    content[start : start + 1] = b"\xff" * int(rng.integers(1, 10)) + bytes([int(rng.integers(128))])


BYTES: list[Bytes] = [
    *(flip_bits, overwrite, insert_bytes, delete_bytes, repeat_bytes, truncate, repeat_file, invalid_text, lengthen)
]
