"""Running samples through hardware and comparing: the rungs of the ladder that the command line climbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import Mismatch
from lutwright.frontend.ir import Array
from lutwright.hdl.timing import Course
from lutwright.testbenches.runner import Simulation


@dataclass(frozen=True)
class Comparison:
    """How many elements differ, of how many, and the first of them."""

    elements: int
    mismatches: int
    first: Mismatch | None

    @classmethod
    def of(cls, where: str, expected: Array, found: Array) -> Comparison:
        """Compare two integer arrays of one shape, sample first; equality, nothing else."""
        different = np.argwhere(expected != found)
        first = None
        if len(different):
            place = tuple(int(axis) for axis in different[0])
            first = Mismatch(where, place[0], place[1:], int(expected[place]), int(found[place]))
        return cls(expected.size, len(different), first)


def compare_cycles(course: Course, ran: Simulation) -> Comparison:
    """When each frame's last beat left, against the prediction; both after the first beat in of the frame's slice."""
    predicted = np.concatenate([course.last_beats(frames) for frames in ran.slices])
    return Comparison.of("the cycle in which a frame's last beat leaves", predicted, ran.last_beats)


def accuracy(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    """The share of samples whose class is their label.

    The class is the output itself where a sample has one integer, and the index of its largest output elsewhere.
    """
    flat = outputs.reshape(len(outputs), -1)
    single = flat.shape[1] == 1 and np.issubdtype(flat.dtype, np.integer)
    classes = flat[:, 0] if single else flat.argmax(axis=1)
    return float((classes == labels.reshape(len(labels), -1)[:, 0]).mean())
