"""Staircases as a multiplication, an addition and a shift, with corrections where these come too early: exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Threshold

SLACKS = range(5)  # how many integers before a threshold the uncorrected form may pass it
SHIFTS = range(4, 41)
LARGEST = 2**61  # of a product with its term
_FAR = 2**62  # beyond all terms
LEAST_LEVELS = 8  # fewer thresholds are cheaper searched


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """With s = x * factor[c] + term[c] and u = s >> shift: y = clip(u, 0, top) + lo, corrected.

    factor, term: int64 [C], or [1] for all channels alike. late: int64 [C or 1, top + 1], how many of the integers of x
    that have u belong to the level below: the first ones on the way up, which have (s mod 2**shift) < late * |factor|.
    """

    factor: Array
    term: Array
    shift: int
    lo: int
    top: int
    late: Array

    @property
    def slack(self) -> int:
        return int(self.late.max())

    def evaluate(self, x: Array) -> Array:
        s = x * self.factor + self.term
        level = s >> self.shift
        shown = np.clip(level, 0, self.top)
        rows = np.broadcast_to(np.arange(len(self.late)), x.shape)
        early = (s & ((1 << self.shift) - 1)) < self.late[rows, shown] * np.abs(self.factor)
        return np.asarray(shown - (early & (level <= self.top)) + self.lo)


@lru_cache(4096)
def fixed_point(node: Threshold, x: Type) -> FixedPoint | None:
    """The form with the least slack, then the least shift, that equals the node on every integer of x; None without.

    Exact: an uncorrected row passes a level at its threshold or at most `slack` integers before, and not before the
    threshold below, which is checked for each of them; the corrections make up for the difference.
    """
    reached = (node.thresholds > x.lo) & (node.thresholds <= x.hi)
    if reached.sum(axis=1).max(initial=0) < LEAST_LEVELS:
        return None
    rows = [_Row(node, x, row) for row in range(len(node.base))]
    lo, hi = min(row.first for row in rows), max(row.last for row in rows)
    for slack in SLACKS:
        for shift in SHIFTS:
            if fitted := _fit(rows, slack, shift, lo, hi):
                factors, terms, late = zip(*fitted, strict=True)
                late = late[:1] if all((row == late[0]).all() for row in late) else late
                return FixedPoint(np.array(factors), np.array(terms), shift, lo, hi - lo, np.array(late))
    return None


def _fit(rows: list[_Row], slack: int, shift: int, lo: int, hi: int) -> list[tuple[int, int, Array]]:
    """Factor, term and corrections of each row; nothing if one has none."""
    if (hi - lo + 2) << shift > LARGEST:
        return []
    fitted = []
    for row in rows:
        solved = row.solve(slack, shift, lo, hi)
        late = row.late(*solved, slack, shift, lo, hi) if solved else None
        if solved is None or late is None:
            return []
        fitted.append((row.sign * solved[0], solved[1], late))
    return fitted


class _Row:
    """One channel's staircase over sign * x, so that it rises: at `points` to `levels`, from `first` to `last`."""

    def __init__(self, node: Threshold, x: Type, row: int) -> None:
        thresholds, self.sign = node.thresholds[row], int(node.step[row])
        below = int((thresholds <= x.lo).sum())
        points = thresholds[(thresholds > x.lo) & (thresholds <= x.hi)]
        start = int(node.base[row]) + self.sign * below
        if self.sign > 0:
            self.points, self.low, self.high, self.first = points, x.lo, x.hi, start
        else:
            self.points, self.low, self.high, self.first = (1 - points)[::-1], -x.hi, -x.lo, start - len(points)
        self.last = self.first + len(points)
        self.levels = self.first + 1 + np.arange(len(points))

    def solve(self, slack: int, shift: int, lo: int, hi: int) -> tuple[int, int] | None:
        """Factor and term that pass each level at its point, or at most `slack` before, if there are any.

        The sum is of levels that count from `lo`.
        """
        highest = 0
        if len(self.points):
            steep = 2.0**shift * (len(self.points) + 2) / max(1, int(self.points[-1] - self.points[0]))
            highest = int(steep) + 2
        if highest * max(abs(self.low), abs(self.high), 1) > LARGEST:
            return None
        least = _corners(self.levels - lo, self.points, [(self.first - lo, self.low)] * (self.first > lo))
        ends = [(self.last - lo + 1, self.high)] * (self.last < hi)
        most = _corners(self.levels - lo, self.points - 1 - slack, ends)
        room, factor, term = _roomiest(least, most, shift, highest)
        return (factor, term) if room >= 0 else None

    def late(self, factor: int, term: int, slack: int, shift: int, lo: int, hi: int) -> Array | None:
        """By level from `lo`: how many integers before its point the sum passes it; None if the form is not exact."""
        late = np.zeros(hi - lo + 1, np.int64)
        if factor == 0:
            return late if not len(self.points) else None
        bounds = np.arange(self.levels[0], self.last + 2) - lo << shift
        passed = -((term - bounds) // factor)  # the first integers that reach the bounds
        ahead = self.points - passed[:-1]
        if (ahead < 0).any() or (ahead > slack).any() or (self.points > passed[1:]).any():
            return None
        late[self.levels - lo] = ahead
        return late


def _corners(levels: Array, points: Array, ends: list[tuple[int, int]]) -> Array:
    """[2, ...]: levels and the points that belong to them, and those of the ends."""
    return np.concatenate([[levels, points], np.array(ends, np.int64).reshape(-1, 2).T], axis=1)


@njit(cache=True)
def _room(least: Any, most: Any, shift: int, factor: int) -> tuple[int, int]:
    """The greatest term less the least one, and the least.

    term >= level * 2**shift - factor * point for those of `least`, and less for those of `most`.
    """
    low, high = -_FAR, _FAR
    for k in range(least.shape[1]):
        low = max(low, (least[0, k] << shift) - factor * least[1, k])
    for k in range(most.shape[1]):
        high = min(high, (most[0, k] << shift) - factor * most[1, k] - 1)
    if low == -_FAR:
        low = 0 if high == _FAR else high
    return (0 if high == _FAR else high - low), low


@njit(cache=True)
def _roomiest(least: Any, most: Any, shift: int, highest: int) -> tuple[int, int, int]:
    """The room, the factor from 0 to `highest` that leaves the most, and its least term."""
    low, high = 0, highest
    while low < high:  # the room is concave in the factor
        middle = (low + high) // 2
        if _room(least, most, shift, middle)[0] < _room(least, most, shift, middle + 1)[0]:
            low = middle + 1
        else:
            high = middle
    room, term = _room(least, most, shift, low)
    return room, low, term
