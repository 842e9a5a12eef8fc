"""When the beats of a buffer are given: what each of a frame needs, row by row, where rows are much alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lutwright.frontend.ir import Array

NO_NEED = -(2**31)  # of a beat that comes from nowhere: a number below all, also with any base


@dataclass(frozen=True, eq=False)
class Timetable:
    """The beats that a buffer gives in a frame: of row r, the j-th one needs bases[r] + needs[kinds[r], j] beats.

    So many must have come in of those that the frame has; those from bases[r] + lowers[kinds[r], j] on are kept.
    """

    bases: Array
    kinds: Array
    needs: Array
    lowers: Array

    @classmethod
    def row(cls, needs: Array, lowers: Array) -> Timetable:
        """One row with these numbers."""
        zero = np.zeros(1, np.int64)
        return cls(zero, zero, needs[np.newaxis], lowers[np.newaxis])

    @property
    def flat(self) -> tuple[Array, Array]:
        """What each beat of a frame needs, and from which on they are kept."""
        needs, lowers = (self.bases[:, np.newaxis] + part[self.kinds] for part in (self.needs, self.lowers))
        return needs.ravel(), lowers.ravel()

    def certain(self, depth: int, frame: int) -> Timetable:
        """With the room that a buffer of `depth` beats has for certain, in frames of `frame` beats.

        Where lowers go back, its room shrinks: only a fast source fills it before. What never shrinks is the room that
        is left at all later beats, and that for what has been needed so far.
        """
        first, last = (self.bases + self.lowers[self.kinds, end] for end in (0, -1))
        if (np.diff(self.lowers) >= 0).all() and (np.append(first[1:], first[0] + frame) >= last).all():
            return self
        needs, lowers = self.flat
        left = np.minimum.accumulate(np.append(lowers, lowers + frame)[::-1])[::-1][: len(lowers)]
        return Timetable.row(needs, np.maximum(left, np.maximum.accumulate(needs) - depth))

    @property
    def words(self) -> Array:
        """For `lutwright.hdl.steps`: the bases, by row the place of its needs, then needs and lowers kind by kind."""
        rows, length = len(self.bases), self.needs.shape[1]
        places = 2 * rows + self.kinds * 2 * length
        both = np.stack([self.needs, self.lowers], axis=1)
        return np.concatenate([self.bases, places, both.ravel()]).astype(np.int64)
