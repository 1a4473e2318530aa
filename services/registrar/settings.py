"""What is registered where, from the environment: `REGISTRY_URL`, `HEALTH_URL`, `INSTANCE`, `LEASE_S`, and `PLACE_<service>` = HOST:PORT."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LEASE_S = 15
"""Seconds that an entry lives without being renewed: three rounds."""
_URL = re.compile(r"https?://[A-Za-z0-9_.-]+(?::\d{1,5})?(?:/[^\s@]*)?")
_PLACE = re.compile(r"([A-Za-z0-9_.-]+):(\d{1,5})")
_INSTANCE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Wrong(Exception):
    """The environment asks for something that cannot be: one line."""


@dataclass(frozen=True)
class Settings:
    """`places`: service -> (address, port). `instance` tells this stack's entries from another's of the same service."""

    registry: str
    health: str
    instance: str
    places: Mapping[str, tuple[str, int]]
    lease_s: int = LEASE_S


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for. Raises Wrong."""
    urls = {}
    for name in ("REGISTRY_URL", "HEALTH_URL"):
        urls[name] = environment.get(name, "").rstrip("/")
        if not _URL.fullmatch(urls[name]):
            raise Wrong(f"{name} is no address: write http://HOST:PORT")
    lease = environment.get("LEASE_S", str(LEASE_S))
    if not lease.isdigit() or not 3 <= int(lease) <= 3600:
        raise Wrong("LEASE_S must be a number of seconds, from 3 to 3600")
    instance = environment.get("INSTANCE", "stack")
    if not _INSTANCE.fullmatch(instance):
        raise Wrong("INSTANCE must be letters, digits, - . and _")
    places: dict[str, tuple[str, int]] = {}
    for name, given in environment.items():
        if name.startswith("PLACE_"):
            match = _PLACE.fullmatch(given)
            if not match or not 1 <= int(match[2]) <= 65535:
                raise Wrong(f"{name} is no place: write HOST:PORT")
            places[name.removeprefix("PLACE_")] = (match[1], int(match[2]))
    if not places:
        raise Wrong("nothing is to be registered: set PLACE_<service> to HOST:PORT")
    return Settings(urls["REGISTRY_URL"], urls["HEALTH_URL"], instance, places, int(lease))
