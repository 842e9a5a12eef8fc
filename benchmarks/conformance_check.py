"""One network against its reference: equal, refused, left to the host, or wrong."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lutwright.errors import ImportRefused, LutwrightError
from lutwright.frontend.compare import compare_reference
from lutwright.frontend.ir import Input
from lutwright.frontend.model import Model, load
from lutwright.frontend.onnx_import.executor import session

Array = NDArray[Any]
Run = Callable[[Array], Array]
EQUAL, HOST, REFUSED, WRONG, NONE = "equal", "host only", "refused", "WRONG", "no reference"


@dataclass(frozen=True)
class Network:
    """A model with one input, the grid it is imported with, and whole inputs (the batch included) to run it on.

    `fused` takes onnxruntime's default optimizations, which turn QDQ groups into integer operators, as the reference.
    `only` names the one executor that may be the reference, "onnxruntime" or "onnx"; `reference` replaces both.
    """

    operator: str
    case: str
    variant: str
    model: onnx.ModelProto
    grid: str | None
    inputs: Sequence[Array]
    fused: bool = False
    only: str | None = None
    reference: Run | None = None


@dataclass(frozen=True)
class Outcome:
    """`elements` is how many were compared, `text` the refusal, the place of the mismatch or the exception."""

    kind: str
    elements: int = 0
    text: str = ""


def executor(
    model: onnx.ModelProto, fused: bool = False, only: str | None = None
) -> Callable[[Sequence[Array]], Sequence[Any]]:
    """Runs the model on its inputs: in onnxruntime, or where that cannot, in ONNX's reference evaluator."""
    names = [item.name for item in model.graph.input]
    found: list[Any] = []

    def run(arrays: Sequence[Array]) -> Sequence[Any]:
        feed = dict(zip(names, arrays, strict=True))
        if not found and only != "onnx":
            try:
                runner = session(model, fused)
                outputs = runner.run(None, feed)
                found.append(runner)
                return outputs  # type: ignore[no-any-return]
            except Exception:  # onnxruntime's exceptions have no common type
                if only == "onnxruntime":
                    raise
        if not found:
            found.append(ReferenceEvaluator(model))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return found[0].run(None, feed)  # type: ignore[no-any-return]

    return run


def outputs_of(network: Network) -> list[Array]:
    """The reference's first output for every input; raises what the last executor raises."""
    if network.reference is not None:
        return [network.reference(array) for array in network.inputs]
    run = executor(network.model, network.fused, network.only)
    return [np.asarray(run([array])[0]) for array in network.inputs]


def outcome(network: Network) -> Outcome:
    """Imports the network and compares every element of its output on all inputs."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        path.write_bytes(network.model.SerializeToString())
        try:
            model = load(path, network.grid)
        except ImportRefused as error:
            fixes = all(refusal.fix for refusal in error.refusals)
            return Outcome(REFUSED if fixes else WRONG, text=str(error).replace("\n", " | "))
        except LutwrightError as error:
            return Outcome(REFUSED, text=str(error).replace(str(path), "network.onnx"))
        except Exception as error:
            return Outcome(WRONG, text=_line(error))
        try:
            expected = outputs_of(network)
        except Exception as error:
            return Outcome(NONE, text=_line(error))
        try:
            return compared(model, network.inputs, expected)
        except Exception as error:
            return Outcome(WRONG, text=_line(error))


def compared(model: Model, inputs: Sequence[Array], expected: Sequence[Array]) -> Outcome:
    """Exact equality, or else what `compare_reference` says (it is slow for outputs that are no elementwise functions).

    Where the reference has infinities or NaN, all values must be exactly the reference's.
    """
    x = np.concatenate(inputs) if model.batched else np.stack(inputs)
    along = model.batched and all(part.ndim and len(part) == model.batch for part in expected)
    wanted = np.concatenate(expected) if along else np.stack(expected)
    q = model.graph.evaluate(model.encode(x))
    kind = HOST if all(isinstance(node, Input) for node in model.graph) else EQUAL
    found = model.decode(q)[model.output_names[0]]
    if found.size == wanted.size and _same(found.reshape(wanted.shape), wanted):
        return Outcome(kind, wanted.size)
    if wanted.dtype.kind == "f" and not np.isfinite(wanted).all():
        return Outcome(WRONG, wanted.size, "values differ, infinite ones or NaN among them")
    count, first = compare_reference(model, q, wanted)
    return (
        Outcome(WRONG, wanted.size, f"{count} of {wanted.size} differ: {first}")
        if first
        else Outcome(kind, wanted.size)
    )


def _same(found: Array, wanted: Array) -> bool:
    return np.array_equal(found, wanted, equal_nan=wanted.dtype.kind == "f")


def _line(error: Exception) -> str:
    """Type, first line and place of an exception."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200] if text else ''} ({Path(frame.filename).name}:{frame.lineno})"
