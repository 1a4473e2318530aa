"""Loads Fabric and paramiko without what paramiko loads to ask for its own version alone.

That is Python's reader of packages' descriptions, with which come e-mail, zip and CSV: a tenth of what loading both takes.
"""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

DESCRIPTIONS = "importlib.metadata"
_LOCK = threading.Lock()


class Descriptions(ModuleType):
    """Knows versions of packages; whatever else is asked of it, the module itself is loaded for."""

    def version(self, package: str) -> str:
        """The version that an installed package's description names, as Python's own function finds it."""
        for folder in sys.path:
            found = [line for path in Path(folder).glob(f"{package}-*.dist-info/METADATA") for line in _head(path)]
            if len(found) == 1:
                return found[0]
            if found:
                break
        return str(_loaded(self).version(package))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks about the module itself
            raise AttributeError(name)
        return getattr(_loaded(self), name)


def load() -> None:
    """Loads both, once."""
    with _LOCK:
        if "fabric" in sys.modules:
            return
        stand = Descriptions(DESCRIPTIONS)
        if sys.modules.setdefault(DESCRIPTIONS, stand) is stand:
            importlib.metadata = stand
        try:
            importlib.import_module("fabric")
        finally:
            _away(stand)  # for others it is the module itself


def _head(path: Path) -> list[str]:
    """The versions in the head of a description, which ends at the first empty line."""
    head = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    return [line.removeprefix("Version:").strip() for line in head if line.startswith("Version:")]


def _away(stand: ModuleType) -> None:
    if sys.modules.get(DESCRIPTIONS) is stand:
        del sys.modules[DESCRIPTIONS]
    if vars(importlib).get("metadata") is stand:
        del importlib.metadata


def _loaded(stand: ModuleType) -> ModuleType:
    """The module that a stand-in is for."""
    _away(stand)
    return importlib.import_module(DESCRIPTIONS)
