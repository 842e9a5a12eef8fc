"""What a user may choose about a quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lutwright.errors import OptionError

LEAST_BITS, MOST_BITS = 2, 8
FORMATS = ("qdq", "qonnx")
METHODS = ("minmax", "percentile", "entropy", "mse")


@dataclass(frozen=True)
class Settings:
    """Bits of weights, of activations and of the network's input and output; how scales are chosen; what is written.

    `method` chooses the range of an activation: all that was seen, 99.999 % of it, least Kullback-Leibler divergence,
    or least squared error, which then holds for weights too. OptionError if a value is impossible.
    """

    weights: int = 8
    activations: int = 8
    input: int = 8
    output: int = 8
    per_channel: bool = True
    power_of_two: bool = False
    bias_correction: bool = True
    format: str = "qdq"
    method: str = "mse"

    def __post_init__(self) -> None:
        widths = {"weights": self.weights, "activations": self.activations}
        for option, bits in (widths | {"input-bits": self.input, "output-bits": self.output}).items():
            if not (isinstance(bits, int) and LEAST_BITS <= bits <= MOST_BITS):
                raise OptionError(f"--{option} must be {LEAST_BITS} to {MOST_BITS} bits, not {bits!r}.")
        _check_choice("format", self.format, FORMATS)
        _check_choice("method", self.method, METHODS)


def _check_choice(option: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"--{option} must be one of {', '.join(choices)}, not {value!r}.")
