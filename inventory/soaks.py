"""The variables `soak` and `requires_soak`: how long an environment is watched, and what must have passed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from inventory.durations import duration
from inventory.errors import InputError
from inventory.values import frozen

HOURS, EVERY_S = 48.0, 30.0
"""The proposal's 48 hours, each half minute."""
HOUR_S = 3600.0
SHORTEST_S = 0.2
LONGEST_HOURS = 10 * 366 * 24.0


@frozen
class Wanted:
    """How long a soak takes and how often it ticks, in seconds."""

    seconds: float
    every_s: float


@frozen
class Requirement:
    """The soak that must have passed: where, and how many seconds long at least."""

    environment: str
    seconds: float


def soak_length(
    given: Mapping[str, Any], path: str = "", line: int | None = None, *, hours: str = "", every: str = ""
) -> Wanted:
    """The variable `soak`; the options `--hours` and `--every` go before it. Raises InputError."""
    _known(given, ("hours", "every"), "soak", path, line)
    place, key = (("", None), "--hours") if hours else ((path, line), "soak.hours")
    seconds = _hours(hours or given.get("hours", HOURS), key, *place)
    place, key = (("", None), "--every") if every else ((path, line), "soak.every")
    every_s = duration(every or given.get("every", EVERY_S), *place, key)
    if every_s < SHORTEST_S:
        raise InputError("is shorter than a tick can take", path=place[0], line=place[1], key=key, mend="write 30s")
    if every_s > seconds:
        raise InputError("is longer than the whole soak", path=place[0], line=place[1], key=key,
                         mend="write a longer soak or a shorter interval")  # fmt: skip
    return Wanted(seconds, every_s)


def requirement(given: Mapping[str, Any], path: str = "", line: int | None = None) -> Requirement:
    """The variable `requires_soak`. Raises InputError."""
    _known(given, ("environment", "hours"), "requires_soak", path, line)
    environment = given.get("environment")
    if not isinstance(environment, str) or not environment:
        raise no_other(path, line)
    return Requirement(environment, _hours(given.get("hours", HOURS), "requires_soak.hours", path, line))


def no_other(path: str, line: int | None = None) -> InputError:
    """A `requires_soak` that names no environment, or its own."""
    key = "requires_soak.environment"
    return InputError("names no other environment", path=path, line=line, key=key, mend="write environment: staging")


def _known(given: Mapping[str, Any], keys: Sequence[str], name: str, path: str, line: int | None) -> None:
    for key in given:
        if key not in keys:
            near = get_close_matches(str(key), keys, n=1)
            mend = f"did you mean {near[0]}?" if near else f"settings: {', '.join(keys)}"
            raise InputError(f"{key} is no setting of it", path=path, line=line, key=name, mend=mend)


def _hours(value: Any, key: str, path: str, line: int | None) -> float:
    """Seconds of so many hours."""
    try:
        hours = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        hours = 0.0
    if not 0 < hours <= LONGEST_HOURS:
        raise InputError(f"{value!r} is no number of hours", path=path, line=line, key=key, mend="write 48")
    return hours * HOUR_S
