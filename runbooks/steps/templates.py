"""Texts of a Compose file that hold secrets only by reference, to be used again elsewhere in the same file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runbooks.compose.model import Service, Variable

_REFERENCE = re.compile(r"\$\{[^{}]*\}|\$[A-Za-z_]\w*")


def by_reference(variable: Variable | None, secret: str) -> str | None:
    """A variable's text as the file has it; None where that would say the secret again, or where another file holds it."""
    if variable is None or variable.value is None or variable.source != "environment":
        return None
    bare = _REFERENCE.sub("", variable.raw)
    return None if secret and secret in bare.replace("$$", "$") else variable.raw


def first(service: Service, names: Iterable[str]) -> Variable | None:
    """The first of some variables that a service has."""
    return next((found for name in names if (found := service.environment.get(name)) and found.value), None)
