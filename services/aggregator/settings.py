"""What is asked, from the environment: `CHECK_<service>` a URL, `LOGIN_` and `PASSWORD_<service>` beside it, `OPTIONAL`, `LIMIT_S`.

Passwords stand in variables of their own where the URL cannot hold them as they are; none is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

KINDS = {
    "http": "http",
    "https": "http",
    "tcp": "tcp",
    "postgres": "postgres",
    "postgresql": "postgres",
    "redis": "redis",
    "rediss": "redis",
}
"""A URL's scheme -> how it is asked."""
PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432, "redis": 6379, "rediss": 6379}
LIMIT_S = 3.0
"""Seconds that a service has for its answer."""


class Wrong(Exception):
    """The environment asks for something that cannot be: one line, without a secret."""


@dataclass(frozen=True)
class Check:
    """One service and how it is asked. `url` and `password` are secrets; `place` (host:port) is what may be shown."""

    service: str
    kind: str
    url: str = field(repr=False)
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    optional: bool = False

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """All checks in their order, and the time limit (s) of each."""

    checks: tuple[Check, ...]
    limit_s: float = LIMIT_S


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for. Raises Wrong."""
    optional = set(environment.get("OPTIONAL", "").split())
    names = [name.removeprefix("CHECK_") for name in environment if name.startswith("CHECK_")]
    if not names:
        raise Wrong("nothing is to be checked: set CHECK_<service> to a URL")
    unknown = optional - set(names)
    if unknown:
        raise Wrong(f"OPTIONAL names {sorted(unknown)[0]}, which has no CHECK_")
    limit = environment.get("LIMIT_S", f"{LIMIT_S:g}")
    if not re.fullmatch(r"\d+(?:\.\d+)?", limit) or not 0 < float(limit) <= 60:
        raise Wrong("LIMIT_S must be a number of seconds, at most 60")
    return Settings(tuple(check(name, environment, name in optional) for name in names), float(limit))


def check(service: str, environment: Mapping[str, str], optional: bool) -> Check:
    """One service's check. Raises Wrong, which never shows the URL."""
    url = environment[f"CHECK_{service}"].strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Wrong(f"CHECK_{service} is no URL") from None
    if parts.scheme not in KINDS:
        raise Wrong(f"CHECK_{service} begins with none of {', '.join(f'{scheme}://' for scheme in KINDS)}")
    if not parts.hostname:
        raise Wrong(f"CHECK_{service} names no host")
    port = port or PORTS.get(parts.scheme)
    if port is None:
        raise Wrong(f"CHECK_{service} names no port")
    user, password = _login(service, parts, environment)
    return Check(
        service, KINDS[parts.scheme], url, parts.hostname, port, user, password, unquote(parts.path.strip("/")), optional
    )  # fmt: skip


def _login(service: str, parts: SplitResult, environment: Mapping[str, str]) -> tuple[str, str]:
    user = environment.get(f"LOGIN_{service}") or unquote(parts.username or "")
    return user, environment.get(f"PASSWORD_{service}") or unquote(parts.password or "")
