"""What the keeper works with, from the environment: `CACHE_URL`, `CACHE_PASSWORD`, `WARM` (a list in JSON), `WARM_LIMIT_S`, and for its
queries `DATABASE_<service>` with `LOGIN_` and `PASSWORD_<service>` beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TTL_S = 300
"""Seconds that a warmed value lives at most: what changed while it was read is wrong no longer than that."""
LIMIT_S = 60.0
"""Seconds that warming may take before traffic is let in without it."""


class Wrong(Exception):
    """The environment asks for something that cannot be: one line, without a secret."""


@dataclass(frozen=True)
class Database:
    """Where queries are asked. `url` and `password` are secrets."""

    url: str = field(repr=False)
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Entry:
    """One line of the list: the body of a `url` under `key`, or the rows of a `query` (key, value) to a database."""

    name: str
    key: str = ""
    url: str = ""
    query: str = ""
    database: Database | None = None
    db: int = 0
    ttl_s: int = TTL_S


@dataclass(frozen=True)
class Settings:
    """The cache, and what is to be in it before traffic."""

    host: str
    port: int
    db: int
    password: str = field(repr=False)
    warm: tuple[Entry, ...] = ()
    limit_s: float = LIMIT_S


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for. Raises Wrong."""
    try:
        parts = urlsplit(environment.get("CACHE_URL", ""))
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        raise Wrong("CACHE_URL is no URL") from None
    if parts.scheme != "redis" or not host or not re.fullmatch(r"/?\d{0,3}", parts.path):
        raise Wrong("CACHE_URL must be redis://HOST:PORT/NUMBER")
    limit = environment.get("WARM_LIMIT_S", f"{LIMIT_S:g}")
    if not re.fullmatch(r"\d{1,4}(?:\.\d+)?", limit):
        raise Wrong("WARM_LIMIT_S must be a number of seconds")
    try:
        given = json.loads(environment.get("WARM", "[]"))
    except ValueError:
        raise Wrong("WARM is no JSON") from None
    if not isinstance(given, list):
        raise Wrong("WARM must be a list")
    db = int(parts.path.strip("/") or 0)
    warm = tuple(entry(number, each, environment, db) for number, each in enumerate(given, 1))
    return Settings(host, port, db, environment.get("CACHE_PASSWORD", ""), warm, float(limit))


def entry(number: int, given: Any, environment: Mapping[str, str], db: int) -> Entry:
    """One line of the list. Raises Wrong."""
    if not isinstance(given, dict) or ("url" in given) == ("query" in given):
        raise Wrong(f"entry {number} of WARM needs a url or a query")
    ttl, into = given.get("ttl_s", TTL_S), given.get("db", db)
    if not isinstance(ttl, int) or not isinstance(into, int) or ttl < 1 or into < 0:
        raise Wrong(f"entry {number} of WARM: ttl_s and db are numbers")
    if "url" in given:
        if not given.get("key"):
            raise Wrong(f"entry {number} of WARM needs a key for its url")
        return Entry(str(given["key"]), str(given["key"]), url=str(given["url"]), db=into, ttl_s=ttl)
    name = str(given.get("from", ""))
    url = environment.get(f"DATABASE_{name}")
    if not url:
        raise Wrong(f"entry {number} of WARM asks {name or 'nobody'}, which has no DATABASE_ variable")
    database = Database(url, environment.get(f"LOGIN_{name}", ""), environment.get(f"PASSWORD_{name}", ""))
    return Entry(f"query {number}", query=str(given["query"]), database=database, db=into, ttl_s=ttl)
