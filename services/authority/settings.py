"""Whom to make certificates for, from the environment: `DOMAIN`, `MEMBERS`, `DAYS`, `RENEW_S`, `ROOT_DAYS`, and `ASK_<service>` = SIDECAR:PORT SERVICE:PORT."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PLACE = re.compile(r"([A-Za-z0-9_.-]+):(\d{1,5})")


class Wrong(Exception):
    """The environment asks for something that cannot be: one line."""


@dataclass(frozen=True)
class Asked:
    """A meshed service: its sidecar's listener, and where it listens itself."""

    sidecar: tuple[str, int]
    direct: tuple[str, int]


@dataclass(frozen=True)
class Settings:
    """`members` get a certificate of `days`, another one every `renew_s` seconds; the authority's own is good for `root_days`.

    `asks`: service -> what is tried of it.
    """

    domain: str
    members: tuple[str, ...]
    days: int
    renew_s: float
    asks: Mapping[str, tuple[Asked, ...]]
    root_days: int = 365


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for. Raises Wrong."""
    domain, members = environment.get("DOMAIN", ""), environment.get("MEMBERS", "").split()
    for name in (domain, *members):
        if not _NAME.fullmatch(name):
            raise Wrong("DOMAIN and MEMBERS are names: write letters, digits, - . and _")
    if not members:
        raise Wrong("nobody needs a certificate: set MEMBERS")
    days = environment.get("DAYS", "7")
    if not days.isdigit() or not 1 <= int(days) <= 90:
        raise Wrong("DAYS must be a number of days, from 1 to 90")
    renew = environment.get("RENEW_S", str(int(days) * 86400 // 7))
    if not renew.isdigit() or not 1 <= int(renew) <= int(days) * 43200:
        raise Wrong("RENEW_S must be a number of seconds, at most half of DAYS")
    root = environment.get("ROOT_DAYS", "365")
    if not root.isdigit() or not 4 * int(days) <= int(root) <= 3650:
        raise Wrong("ROOT_DAYS must be a number of days, from four times DAYS to 3650")
    asks = {name.removeprefix("ASK_"): _asked(name, given) for name, given in environment.items() if name.startswith("ASK_")}  # fmt: skip
    return Settings(domain, tuple(members), int(days), float(renew), asks, int(root))


def _asked(name: str, given: str) -> tuple[Asked, ...]:
    places = [_PLACE.fullmatch(each) for each in given.split()]
    found = [(match[1], int(match[2])) for match in places if match]
    if not found or len(found) != len(places) or len(found) % 2:
        raise Wrong(f"{name} is no pair of places: write SIDECAR:PORT SERVICE:PORT")
    return tuple(Asked(*pair) for pair in zip(found[::2], found[1::2], strict=True))
