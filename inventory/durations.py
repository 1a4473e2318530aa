"""Durations as people write them."""

from __future__ import annotations

import re
from typing import Any

from inventory.errors import InputError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?\Z")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def duration(value: Any, path: str = "", line: int | None = None, key: str = "") -> float:
    """Seconds of `30`, `30s`, `500ms`, `2m` or `48h`. Raises InputError for anything else."""
    match = _DURATION.match(str(value).strip()) if not isinstance(value, bool) else None
    if not match:
        raise InputError(f"{value!r} is not a duration", path=path, line=line, key=key, mend="write 30s, 2m or 500ms")
    return float(match[1]) * _UNIT[match[2]]
