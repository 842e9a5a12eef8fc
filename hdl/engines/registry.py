"""The engines there are: ours, in order of preference, and those of other packages by entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from lutwright.errors import OptionError
from lutwright.hdl.engines.addsub import AddSub
from lutwright.hdl.engines.base import Engine
from lutwright.hdl.engines.bitserial import BitSerial
from lutwright.hdl.engines.multiply import Multiply, MultiplyDsp
from lutwright.hdl.engines.shift import Shift
from lutwright.hdl.engines.spatial import Spatial
from lutwright.hdl.engines.xnor import Xnor


@cache
def engines() -> dict[str, Engine]:
    """Every engine by name; OptionError names a plug-in that can't be loaded."""
    found: dict[str, Engine] = {
        engine.name: engine for engine in (Xnor(), AddSub(), BitSerial(), Shift(), MultiplyDsp(), Multiply(), Spatial())
    }
    for entry in entry_points(group="lutwright.engines"):
        try:
            engine: Engine = entry.load()()
        except Exception as error:  # whatever a foreign package raises while it is imported
            raise OptionError(
                f"the engine '{entry.name}' of entry point '{entry.value}' must load: {error!r}. "
                "Mend or uninstall the package that brings it."
            ) from error
        found[engine.name] = engine
    return found
