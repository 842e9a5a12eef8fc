"""Which engines there are, and what happens to one that does not load."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from lutwright.errors import OptionError
from lutwright.hdl.engines import registry


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points as if packages had brought them."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry for entry in found if entry.group == group])
    registry.engines.cache_clear()
    yield found
    registry.engines.cache_clear()


def test_own_engines_in_order_of_preference() -> None:
    assert list(registry.engines()) == ["xnor", "addsub", "bitserial", "shift", "multiply_dsp", "multiply", "spatial"]


def test_a_plugin_brings_an_engine(plugins: list[EntryPoint]) -> None:
    plugins.append(EntryPoint("spatial", "lutwright.hdl.engines.addsub:AddSub", "lutwright.engines"))
    assert list(registry.engines()).count("addsub") == 1


@pytest.mark.parametrize("value", ["no_such_package:Engine", "lutwright.hdl.engines.addsub:NoSuchEngine"])
def test_a_plugin_that_does_not_load_is_named(plugins: list[EntryPoint], value: str) -> None:
    plugins.append(EntryPoint("fast", value, "lutwright.engines"))
    with pytest.raises(OptionError, match=f"'fast' of entry point '{value}' must load.*Mend or uninstall"):
        registry.engines()
