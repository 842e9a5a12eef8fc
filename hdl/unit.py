"""The stream components that no engine makes."""

from __future__ import annotations

from lutwright.frontend.device import Device
from lutwright.hdl.engines.base import Cost, StreamComponent


class Unit(StreamComponent):
    """A component that predicts its own cost; subclasses define `elaborate`, `control` and `cost`."""

    def cost(self, device: Device) -> Cost:
        """Predicted resources; LUTs count carry cells too. `cycles`: a frame's, when nothing stalls it."""
        raise TypeError(f"{type(self).__name__} must define cost")
