"""What a plan is: for each node with hardware, the engine and its folding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lutwright.frontend.device import Device
from lutwright.hdl.engines.base import Folding


@dataclass(frozen=True)
class Fps:
    """The smallest plan that reaches so many frames a second at the planned clock."""

    frames_per_second: float


@dataclass(frozen=True)
class Latency:
    """The lowest latency of a frame that fits the device, which is not always the shortest interval."""


@dataclass(frozen=True)
class Smallest:
    """The fewest resources; among equals the fewest cycles."""


Goal = Fps | Latency | Smallest


@dataclass(frozen=True)
class NodePlan:
    """`folding.simd` lanes in, `folding.pe` lanes out; elementwise nodes have as many out as in.

    Of a depthwise Conv by an engine, `folding.simd` counts places under the kernel (`lutwright.hdl.depthwise`).
    """

    engine: str
    folding: Folding


@dataclass(frozen=True)
class Plan:
    """`nodes` names every node but Input and Reshape; `explanation` says line by line why these foldings.

    `queues`: beats, by `node:input`, that wait before nodes, all where streams meet among them; 0 is no queue
    (`lutwright.hdl.sizing`).
    """

    device: Device
    nodes: Mapping[str, NodePlan]
    explanation: tuple[str, ...] = ()
    queues: Mapping[str, int] = field(default_factory=dict)
