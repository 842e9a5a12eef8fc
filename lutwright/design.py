"""A model with a plan and its hardware, for the options that a user gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from lutwright.boards.base import Board, board
from lutwright.boards.pll import pll
from lutwright.errors import OptionError
from lutwright.files import load_samples
from lutwright.frontend.bounds import bounded
from lutwright.frontend.device import Device, device
from lutwright.frontend.lowering import lower
from lutwright.frontend.model import Model, load
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Goal, Plan
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.hdl.timing import Course, Timing

Progress = Callable[..., None]


@dataclass(frozen=True)
class Options:
    """The planning options: where the network goes, what for, and what is pinned.

    `bound`: samples whose sums the accumulators hold, and no more.
    """

    grid: str | None = None
    device: str | None = None
    board: str | None = None
    goal: Goal | None = None
    engines: Mapping[str, str] = field(default_factory=dict)
    folds: Mapping[str, Folding] = field(default_factory=dict)
    clock_mhz: float | None = None
    bound: Path | None = None


@dataclass(frozen=True)
class Design:
    """A model with its plan and its hardware."""

    model: Model
    board: Board | None
    plan: Plan
    clock_mhz: float | None

    @cached_property
    def network(self) -> Network:
        """A fresh component: one elaboration each."""
        return Network(self.model.graph, self.plan)

    @property
    def course(self) -> Course:
        """When the frames leave, exactly."""
        return self.network.course

    @property
    def timing(self) -> Timing:
        return self.network.timing()

    @property
    def device(self) -> Device:
        return self.plan.device


def target(options: Options, default_device: str | None = None) -> tuple[Device, Board | None, float | None]:
    """The device, the board and the clock that the options name; on a board the clock that its PLL makes."""
    place = board(options.board) if options.board else None
    if place and options.device and options.device != place.device:
        raise OptionError(
            f"--device must be the board's, {place.device} for {place.name}, not '{options.device}'. Leave it out."
        )
    name = options.device or (place.device if place else default_device)
    if name is None:
        raise OptionError("--device or --board must be given, for the plan depends on what it has to fit.")
    if options.clock_mhz is not None and not 0 < options.clock_mhz <= 1000:
        raise OptionError(f"--clock must lie above 0 and up to 1000 MHz, not {options.clock_mhz:g}.")
    if place is None:
        return device(name), None, options.clock_mhz
    made = pll(device(name).family, place.input_mhz, options.clock_mhz or place.clock_mhz, place.baud)
    return device(name), place, made.mhz if made else place.input_mhz


def design(path: Path, options: Options, progress: Progress, default_device: str | None = None) -> Design:
    """Import and plan."""
    chip, place, clock = target(options, default_device)
    progress("import")
    model = load(path, options.grid)
    if options.bound is not None:
        progress("bound the accumulators")
        samples = load_samples(options.bound)
        model = replace(model, graph=bounded(lower(model.graph, options.engines), model.encode(samples.inputs)))
    progress("plan")
    chosen = plan(
        model.graph, chip, options.goal, engines=options.engines, folds=options.folds, clock_mhz=clock,
        board=place is not None,
    )  # fmt: skip
    names = {name: node.engine for name, node in chosen.nodes.items()}
    return Design(replace(model, graph=lower(model.graph, names)), place, chosen, clock)
