"""What an engine is.

A compute node says what; an engine says how. Third parties add engines through the entry-point group
`lutwright.engines`, each entry an object that satisfies `Engine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from amaranth.lib import wiring

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.beats import Beats
from lutwright.hdl.tokens import Stages, Tokens


@dataclass(frozen=True)
class Folding:
    """How far a layer is unrolled: `pe` output channels and `simd` input channels at once.

    Neither has to divide the layer's channels: what is left over is padded with zeros.
    """

    pe: int
    simd: int

    def __str__(self) -> str:
        return f"{self.pe}x{self.simd}"


@dataclass(frozen=True)
class Cost:
    """Predicted resources and time of a component. `cycles`: a frame's, when nothing stalls it."""

    luts: int
    ffs: int
    brams: int
    dsps: int
    cycles: int

    def __add__(self, other: Cost) -> Cost:
        """Side by side in a pipeline: resources add up, the slowest sets the cycles."""
        return Cost(
            self.luts + other.luts,
            self.ffs + other.ffs,
            self.brams + other.brams,
            self.dsps + other.dsps,
            max(self.cycles, other.cycles),
        )


class StreamComponent(wiring.Component):
    """What every part of a network is: stream ports `i` and `o`, described by Beats, and a token model.

    Subclasses define `elaborate` and `control`.
    """

    # One that only gives its token model, for the timing of a plan, is used well: no UnusedElaboratable.
    _MustUse__silence = True

    # Whether `i.ready` depends on state alone. Where it does not, a network has to cut long paths of `ready`.
    cuts_ready = False

    # Whether it takes beats only if it has room for what they give, so that `o.ready` need not reach its registers.
    free = False

    def __init__(self, i_beats: Beats, o_beats: Beats) -> None:
        self.i_beats, self.o_beats = i_beats, o_beats
        self._has_ports = False

    def __getattr__(self, name: str) -> Any:
        # Ports are made when they are first asked for: plans cost and time thousands of components, and build a few.
        if name.startswith("_") or self._has_ports or (name != "signature" and name not in self.ports):
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        self._has_ports = True
        super().__init__(self.ports)
        return getattr(self, name)

    @property
    def ports(self) -> dict[str, wiring.Flow]:
        """The stream ports by name."""
        return {"i": wiring.In(self.i_beats.signature), "o": wiring.Out(self.o_beats.signature)}

    def tokens(self) -> Tokens:
        """The token model of a component with one input and one output."""
        return Tokens.row(self.control())

    def control(self) -> Stages:
        """What the component does to beats, for `lutwright.hdl.timing`: the stages of its token model."""
        raise TypeError(f"{type(self).__name__} must define control")


class Engine(Protocol):
    """One way to build a compute node."""

    name: str

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        """None, or the reason why the node with input Type `x` can't be built this way."""

    def foldings(self, node: Dense, x: Type) -> Iterable[Folding]:
        """The plan space, smallest first."""

    def cost(self, node: Dense, x: Type, folding: Folding, device: Device) -> Cost:
        """Predicted resources and cycles."""

    def build(self, node: Dense, x: Type, folding: Folding, device: Device) -> StreamComponent:
        """The hardware: `i` takes Beats(x, folding.simd), `o` gives Beats(node.type, folding.pe)."""
