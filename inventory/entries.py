"""The entries of the inventory's own lists of mappings: which keys they may have, with "did you mean"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from inventory.errors import InputError


def fields(
    entry: Any, known: Sequence[str], needed: Sequence[str], key: str, path: str = "", line: int | None = None
) -> dict[str, Any]:
    """One entry's keys and values, without those that are empty. Raises InputError for an unknown or a missing key."""
    if not isinstance(entry, Mapping):
        raise InputError("must be a mapping", path=path, line=line, key=key, mend=f"it has {', '.join(known)}")
    for name in entry:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            mend = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise InputError("unknown key", path=path, line=line, key=f"{key}.{name}", mend=mend)
    found = {str(name): value for name, value in entry.items() if value is not None}
    for name in needed:
        if name not in found:
            raise InputError(f"has no {name}", path=path, line=line, key=key, mend=f"write {name}:")
    return found


def chosen(value: Any, among: Sequence[str], key: str, path: str = "", line: int | None = None) -> str:
    """A value that must be one of a few words. Raises InputError, with "did you mean"."""
    if value in among:
        return str(value)
    near = get_close_matches(str(value), among, n=1)
    mend = f"did you mean {near[0]}?" if near else f"write {' or '.join(among)}"
    raise InputError(f"{str(value)[:60]!r} is not known", path=path, line=line, key=key, mend=mend)
