"""The plan space of folded layers."""

from __future__ import annotations

from lutwright.errors import PlanError
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import Folding

MOST_LANES = 16384
MOST_FOLDINGS = 400


def foldings(node: Dense) -> tuple[Folding, ...]:
    """The plan space of a layer, whose groups are computed one after the other or several at once."""
    rows, columns = (size // node.groups for size in node.weight.shape)
    if node.groups == 1:
        return useful_foldings(rows, columns)
    one = [folding for folding in useful_foldings(rows, columns) if rows % folding.pe == columns % folding.simd == 0]
    several = [
        Folding(count * rows, count * columns) for count in range(2, node.groups + 1) if node.groups % count == 0
    ]
    return (*one, *(folding for folding in several if folding.pe * columns <= MOST_LANES))


def groups_at_once(node: Dense, folding: Folding) -> int:
    """How many groups of a layer a folding computes in the same cycle. PlanError if it does not divide them."""
    rows, columns = len(node.own) // node.groups, node.own.shape[1]
    if node.groups == 1:
        return 1
    count: int = max(1, folding.simd // columns)
    whole = node.groups % count == 0 and (folding.pe, folding.simd) == (count * rows, count * columns)
    if not whole and (count > 1 or rows % folding.pe or columns % folding.simd):
        raise PlanError(
            f"the folding of '{node.name}', {node.groups} groups of {rows}x{columns}, must divide a group or be a "
            f"number of them, not {folding}"
        )
    return count


def useful_parts(size: int) -> list[int]:
    """The lane counts that no smaller one equals in folds: the least for every ceil(size / lanes), ascending."""
    return sorted({-(-size // folds) for folds in (-(-size // lanes) for lanes in range(1, size + 1))})


def useful_foldings(rows: int, columns: int) -> tuple[Folding, ...]:
    """Foldings than which no other is as fast with fewer lanes, those with the fewest lanes first.

    At most MOST_LANES = PE * SIMD. If there are more than MOST_FOLDINGS, those without padding come before others.
    """
    pairs = [(pe, simd) for pe in useful_parts(rows) for simd in useful_parts(columns) if pe * simd <= MOST_LANES]
    pairs.sort(key=lambda pair: (pair[0] * pair[1], -(-rows // pair[0]) * -(-columns // pair[1]), pair))
    useful: list[tuple[int, int]] = []
    fastest, lanes_there = rows * columns + 1, 0
    for pe, simd in pairs:
        cycles, lanes = -(-rows // pe) * -(-columns // simd), pe * simd
        if cycles < fastest or (cycles == fastest and lanes == lanes_there):
            useful.append((pe, simd))
            fastest, lanes_there = cycles, lanes
    whole = [pair for pair in useful if rows % pair[0] == 0 and columns % pair[1] == 0]
    kept = set(_thinned(whole, MOST_FOLDINGS))
    kept |= set(_thinned([pair for pair in useful if pair not in kept], MOST_FOLDINGS - len(kept)))
    return tuple(Folding(pe, simd) for pe, simd in useful if (pe, simd) in kept)


def _thinned(pairs: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most so many of the pairs, evenly chosen, the first and the last among them."""
    if len(pairs) <= most:
        return pairs
    return [pairs[index * (len(pairs) - 1) // max(1, most - 1)] for index in range(most)]
