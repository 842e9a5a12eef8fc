"""Passes: functions Graph -> Graph. PASSES is their one order; `verify` runs after each.

A pass keeps what the graph computes, and what every surviving node computes: a name never changes its meaning.
"""

from __future__ import annotations

from lutwright.frontend.ir import Graph, verify
from lutwright.frontend.passes.channels import drop_channels
from lutwright.frontend.passes.constants import fold_constants
from lutwright.frontend.passes.dead import drop_dead, merge_identical, narrow
from lutwright.frontend.passes.moves import absorb_moves, sink_moves
from lutwright.frontend.passes.picks import simplify_picks
from lutwright.frontend.passes.rewrite import Pass, same
from lutwright.frontend.passes.staircases import fuse_thresholds, simplify_clamps, simplify_thresholds, trim_tables
from lutwright.frontend.passes.sums import absorb_scales, fold_scales, simplify_adds

__all__ = ["PASSES", "drop_dead", "run_passes"]

PASSES: tuple[Pass, ...] = (
    drop_dead,
    narrow,
    merge_identical,
    sink_moves,
    absorb_moves,
    simplify_picks,
    fold_constants,
    simplify_adds,
    fold_scales,
    drop_dead,
    absorb_scales,
    simplify_clamps,
    simplify_thresholds,
    fuse_thresholds,
    trim_tables,
    drop_dead,
    drop_channels,
    narrow,
)


def run_passes(graph: Graph) -> Graph:
    """All passes in order, each verified, again and again until none finds anything to do."""
    while True:
        before = graph
        for apply in PASSES:
            graph = verify(apply(graph))
        if same(before, graph):
            return graph
