"""A drawn model through the importer: the golden model against the reference, element by element."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from lutwright.errors import GraphError, ImportRefused, LutwrightError, Mismatch
from lutwright.frontend.model import Model, Tensor, compare_reference, compare_tensor, load

from .net import Case
from .reference import Values, run
from .ties import Tie, Ties

STRICT = ("integer", "qoperator")  # no floating-point sums, so nothing to excuse, but for:
FLOAT_SUMS = ("QLinearAveragePool",)


@dataclass
class Outcome:
    """What became of a case. `unrunnable`: its reference executor fails on it, and how. `refusals` (operator, reason):
    why it was not imported. `crash`: the traceback of what is no typed error. `differences`: golden against reference,
    without those shown to be float32 `ties`."""

    case: Case
    compared: int = 0
    unrunnable: str = ""
    refusals: list[tuple[str, str]] = field(default_factory=list)
    crash: str = ""
    differences: list[Mismatch] = field(default_factory=list)
    ties: list[tuple[Mismatch, Tie]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        if self.unrunnable:
            return "unrunnable"
        if self.crash:
            return "crashed"
        if self.refusals:
            return "refused"
        return "different" if self.differences else "tie" if self.ties else "equal"

    def __str__(self) -> str:
        lines = [text for text in (self.crash, self.unrunnable) if text]
        lines += [f"{operator}: {reason}" for operator, reason in self.refusals]
        return "\n".join([self.kind, *lines, *map(str, self.differences), *(f"{a}; {b}" for a, b in self.ties)])


def check(case: Case, folder: Path) -> Outcome:
    """Runs the reference, imports, compares. Writes the model into the folder."""
    try:
        values = run(case)
    except Exception as error:  # of onnxruntime, whose exceptions have no common type: its optimizer has bugs too
        return Outcome(case, unrunnable=str(error))
    return imported(case, values, folder)


def imported(case: Case, values: Values, folder: Path) -> Outcome:
    """The comparison with given values of the reference."""
    outcome, path = Outcome(case), folder / "model.onnx"
    onnx.save(case.model, path)
    try:
        model = load(path, case.grid)
        trace = model.trace_imported(case.samples)
        golden = model.graph.evaluate(model.encode(case.samples))
        if not np.array_equal(model.arranged(trace[model.imported.output]), golden):
            raise GraphError("the passes changed what the graph computes")
        compare(outcome, model, trace, values)
    except ImportRefused as error:
        outcome.refusals = [(refusal.operator, refusal.reason) for refusal in error.refusals]
    except GraphError:
        outcome.crash = traceback.format_exc()
    except LutwrightError as error:
        outcome.refusals = [("model", str(error))]
    except Exception:
        outcome.crash = traceback.format_exc()
    return outcome


def compare(outcome: Outcome, model: Model, trace: dict[str, np.ndarray], values: Values) -> None:
    case = outcome.case
    allowed = not case.exact and case.dialect not in STRICT
    ties, flipped = Ties(case, values), set[tuple[str, int]]()
    order = {name: index for index, node in enumerate(case.model.graph.node) for name in node.output}
    for name in sorted(model.tensors, key=lambda item: order.get(item, -1)):
        if name not in values:
            continue
        tensor, q = model.tensors[name], trace[model.tensors[name].node]
        outcome.compared += q.size
        for sample in range(len(q)):
            found = _differences(tensor, q[sample : sample + 1], values[name][sample : sample + 1], sample)
            if found and any((before, sample) in flipped for before in ancestors(ties, name)):
                flipped.add((name, sample))
                continue
            for item in found:
                may = allowed or (not case.exact and ties.makers[name].op_type in FLOAT_SUMS)
                tie = ties.explain(name, sample, item.index, item.found, item.expected) if may else None
                if tie is None:
                    outcome.differences.append(item)
                else:
                    outcome.ties.append((item, tie))
                    flipped.add((name, sample))
    output, reference = model.output_names[0], values[model.output_names[0]]
    ours = model.arranged(trace[model.imported.output])
    outcome.compared += reference.size
    for sample in range(len(case.samples)):
        q, wanted = ours[sample : sample + 1], reference[sample : sample + 1]
        _, item = compare_reference(model, q, wanted)
        if item is None or any(number == sample for _, number in flipped):
            continue
        item = Mismatch(item.where, sample, item.index, item.expected, item.found)
        tie = None
        if allowed and reference.dtype.kind == "f":
            tie = ties.rounding(output, sample, item.index, model.decode(q)[output], wanted)
        if tie is None:
            outcome.differences.append(item)
        else:
            outcome.ties.append((item, tie))


def _differences(tensor: Tensor, q: np.ndarray, reference: np.ndarray, sample: int) -> list[Mismatch]:
    """Every differing element of one sample."""
    reference = reference.reshape(q.shape)
    if not compare_tensor(tensor, q, reference)[0]:
        return []
    real = tensor.real(q)
    places = [tuple(int(i) for i in place) for place in np.argwhere(np.abs(real - reference) > 1e-6)]
    return [Mismatch(f"tensor '{tensor.name}'", sample, place[1:], reference[place], real[place]) for place in places]


def ancestors(ties: Ties, name: str) -> set[str]:
    """The tensors that a tensor is computed from."""
    found, stack = set[str](), [name]
    while stack:
        node = ties.makers.get(stack.pop())
        for item in node.input if node is not None else ():
            if item not in found:
                found.add(item)
                stack.append(item)
    return found
