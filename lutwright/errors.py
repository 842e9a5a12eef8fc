"""The typed errors of the package. Each message names the place, what must hold, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LutwrightError(Exception):
    """A user's error: bad input, an impossible option, a missing tool. The command line exits with 2."""


class OptionError(LutwrightError):
    """An option or argument has a value that cannot be."""


class ModelError(LutwrightError):
    """The model file cannot be read, or is not a valid ONNX model."""


@dataclass(frozen=True)
class Refusal:
    """One ONNX node that has no integer meaning here: which, why, and what to do."""

    node: str
    operator: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.operator} '{self.node}': {self.reason}. {self.fix}"


class ImportRefused(ModelError):
    """The model holds nodes that cannot be imported; `refusals` lists all of them."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join(str(refusal) for refusal in self.refusals))


class GraphError(LutwrightError):
    """The integer graph breaks a rule of the IR; raised by `verify`."""


class PlanError(LutwrightError):
    """No plan meets the goal on the device, or a pinned engine or folding is impossible."""


class DataError(LutwrightError):
    """Input data has the wrong shape, type, range or file format."""


class ToolError(LutwrightError):
    """An external tool is missing, failed, or did not reach what was asked (timing, size)."""


class LinkError(LutwrightError):
    """The board's host link failed: no answer, or an error frame."""


class Mismatch(Exception):
    """Two executions that must be equal are not. The command line exits with 1.

    Names the tensor, the sample, the index in the sample, and both values.
    """

    def __init__(self, where: str, sample: int, index: tuple[int, ...], expected: object, found: object) -> None:
        self.where, self.sample, self.index = where, sample, index
        self.expected, self.found = expected, found
        super().__init__(f"mismatch at {where}, sample {sample}, index {index}: expected {expected}, found {found}")
