"""Limits and reservations of a service: how they are written, where a Compose file has them, what is wrong with one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from runbooks.compose import units
from runbooks.compose.model import Service

Key = tuple[str, str]
KEYS: tuple[Key, ...] = (("limits", "cpus"), ("limits", "memory"), ("reservations", "cpus"), ("reservations", "memory"))
LEGACY: Mapping[Key, str] = {
    ("limits", "cpus"): "cpus", ("limits", "memory"): "mem_limit", ("reservations", "memory"): "mem_reservation",
}  # fmt: skip
"""What the same is called outside `deploy`; Compose refuses a service that has both with different values."""
LEAST = 6 << 20
"""Bytes: the engine refuses a memory limit below 6 MiB."""


def amount(key: Key, text: str) -> float | None:
    """CPUs or bytes; None for what is neither."""
    if key[1] == "memory":
        return units.size(text)
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 < found < 1e6 else None


def parse(given: Mapping[str, Any]) -> dict[Key, str]:
    """A checked mapping of limits and reservations by key, as text."""
    return {(section, name): str(value) for section, below in given.items() for name, value in below.items()}


def problem(where: str, given: Any) -> tuple[str, str] | None:
    """What is wrong with a mapping of limits and reservations, and the mend."""
    if not isinstance(given, Mapping):
        return f"{where} is no mapping", "write limits: {cpus: '1.0', memory: 1G}"
    for section, below in given.items():
        if section not in ("limits", "reservations"):
            return f"{where}.{section} is unknown", near(section, ("limits", "reservations"))
        if not isinstance(below, Mapping):
            return f"{where}.{section} is no mapping", "write cpus: '1.0' and memory: 1G below it"
        for name, value in below.items():
            at = f"{where}.{section}.{name}"
            if name not in ("cpus", "memory"):
                return f"{at} is unknown", near(name, ("cpus", "memory"))
            found = amount((section, name), str(value))
            if isinstance(value, bool) or found is None:
                what = "a size" if name == "memory" else "a number of CPUs"
                return f"{at}: {str(value)[:40]!r} is not {what}", f"write {'512M' if name == 'memory' else '0.5'}"
            if name == "memory" and found < LEAST:
                return f"{at}: {value} is less than the engine takes", "write 6M or more"
    made = parse(given)
    for name in ("cpus", "memory"):
        limit, reserved = made.get(("limits", name)), made.get(("reservations", name))
        if limit and reserved and (amount(("", name), reserved) or 0) > (amount(("", name), limit) or 0):
            return f"{where}: {reserved} {name} reserved are more than the limit of {limit}", "lower the reservation"
    return None


def near(word: Any, known: tuple[str, ...]) -> str:
    found = get_close_matches(str(word), known, n=1)
    if not found and not known:
        return "there is none: leave it out"
    return f"did you mean {found[0]}?" if found else f"write {' or '.join(known)}"


def path(service: Service, key: Key) -> tuple[str, ...]:
    """Where a service has a bound, or would get it."""
    old = LEGACY.get(key)
    if old and service.value.get(old) is not None and current(service, key, deploy=True) is None:
        return (old,)
    return ("deploy", "resources", *key)


def current(service: Service, key: Key, *, deploy: bool = False) -> str | None:
    """A bound as the service has it; None for none. `deploy`: only where Compose has it today."""
    found: Any = service.value
    for word in ("deploy", "resources", *key):
        found = found.get(word) if isinstance(found, Mapping) else None
    if found is None and not deploy and key in LEGACY:
        found = service.value.get(LEGACY[key])
    return None if found is None or str(found) in ("0", "") else str(found)


def shown(size: float) -> str:
    """Bytes in MiB, rounded down, as a Compose file may have them."""
    return f"{int(size) >> 20}M"
