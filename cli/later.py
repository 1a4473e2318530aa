"""Modules that Invoke names at its start and seldom needs: they are loaded when something of them is asked for.

A double for tests, with which come asyncio, TLS and unittest, and a reader of YAML for settings of one's own: together
a third of what loading Invoke takes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

READER = "invoke.vendor.yaml"
DOUBLES = "unittest.mock"


class Later(ModuleType):
    """A module that is loaded when a name of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks about the module itself
            raise AttributeError(name)
        return getattr(loaded(self), name)


def stand_in() -> None:
    """Loads Invoke, with stand-ins for those modules where they are not loaded yet."""
    doubles, reader = Later(DOUBLES), Later(READER)
    # Invoke takes this name out of its module at once, so that it is a function which asks when it is called.
    doubles.Mock = lambda *given, **named: loaded(doubles).Mock(*given, **named)  # type: ignore[attr-defined]
    for each in (doubles, reader):
        sys.modules.setdefault(each.__name__, each)
    import_module("invoke")
    if sys.modules[DOUBLES] is doubles:
        del sys.modules[DOUBLES]  # for others it is the module itself


def loaded(stand: ModuleType) -> ModuleType:
    """The module that a stand-in is for."""
    if sys.modules.get(stand.__name__) is stand:
        del sys.modules[stand.__name__]
    return import_module(stand.__name__)
