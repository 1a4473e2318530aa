"""Database addresses inside texts: where host and port stand in a URL or DSN of any common form. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

SCHEME = re.compile(
    r"(?:jdbc:|r2dbc:(?:pool:)?)?(?:postgres(?:ql)?|pgsql|psql|postgis|ecto|timescaledb?|pg)(?:\+[A-Za-z0-9_]+)?(?:://)",
    re.IGNORECASE,
)
"""PostgreSQL's own scheme, and those of drivers and frameworks on top of it (SQLAlchemy, Django, JDBC, Ecto, Laravel)."""
_WORD = r"(?:\"[^\"]*\"|'[^']*'|[^\s;\"']+)"
_KEY = re.compile(
    rf"(?i)(?:^|(?<=[\s;]))(host|server|data source|port|user|user id|username|uid|password|pwd|dbname|database)\s*=\s*({_WORD})"
)
_TLS = re.compile(r"(?i)\bssl[ _]?(?:mode)?\s*=\s*['\"]?(?:require|verify|true|on)")
_HOSTS = re.compile(r"(\[[^\]]*\]|[^,:/?#\s]*)(?::(\d*))?(?:,|\Z)")


@dataclass(frozen=True)
class Address:
    """One host in a text. `start:end` covers host and port as written; `port` is None where none is."""

    start: int
    end: int
    host: str
    port: int | None


@dataclass(frozen=True)
class Login:
    """Who logs in where: decoded. An empty `database` means the user's name, as libpq has it. `tls`: only encrypted."""

    user: str
    password: str
    database: str
    tls: bool = False


@dataclass(frozen=True)
class Target:
    """A database that a text points at: its addresses (several: libpq tries them in order), and the login it carries.

    `apart`: the port does not stand right after the host, as in a DSN or in a URL's query.
    """

    addresses: tuple[Address, ...]
    login: Login
    apart: bool = False


def target(text: str) -> Target | None:
    """The PostgreSQL database that a text points at; None when it points at none."""
    found: Target | None = None
    match = SCHEME.match(text.strip())
    if match:
        offset = len(text) - len(text.lstrip())
        found = _url(text, offset + match.end())
    elif re.search(r"(?i)(?:^|[\s;])(?:host|server|data source)\s*=", text) and "://" not in text:
        found = _pairs(text)
    return replace(found, login=replace(found.login, tls=True)) if found and _TLS.search(text) else found


def _url(text: str, begin: int) -> Target | None:
    """A URL, from after its `//`. What stands before the last `@` is the login, however it is written."""
    end = next(
        (at for at in range(begin, len(text)) if text[at] in "/?#" and "@" not in _authority(text, at)), len(text)
    )
    authority = text[begin:end]
    login, at, _ = authority.rpartition("@")
    start = begin + len(login) + len(at)
    addresses = []
    for found in _HOSTS.finditer(text[start:end]):
        if found[1]:
            finish = found.start() + len(found[0].rstrip(","))
            port = int(found[2]) if found[2] else None
            addresses.append(Address(start + found.start(), start + finish, found[1].strip("[]"), port))
    user, _, password = login.partition(":")
    path, _, query = text[end:].partition("?")
    fields = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
    apart = not addresses and bool(fields.get("host"))
    if apart:
        if fields["host"].startswith(("/", "%2F", "%2f")):
            return None  # a socket: nothing on the network to move
        begin = len(text) - len(query) + f"&{query}".index(f"&host={fields['host']}") + len("host=")
        own = fields.get("port", "")
        addresses.append(
            Address(begin, begin + len(fields["host"]), fields["host"], int(own) if own.isdigit() else None)
        )
    database = unquote(path.strip("/").split("/")[0]) if path.startswith("/") else ""
    return Target(
        tuple(addresses),
        Login(unquote(user or fields.get("user", "")), unquote(password or fields.get("password", "")), database),
        apart,
    )


def _authority(text: str, at: int) -> str:
    """What follows up to the next blank: an unencoded `/` or `?` may stand in a password before the `@`."""
    rest = text[at:]
    stop = min((rest.find(char) for char in " \t\n" if char in rest), default=len(rest))
    found = rest[:stop]
    # An `@` in a query's value, such as an application's name, is no login's end.
    return "" if re.match(r"[/?#][^@]*[?&=][^@]*@", found) else found


def _pairs(text: str) -> Target | None:
    """A key-value DSN of libpq (`host=a port=5432`), .NET or ODBC (`Host=a;Port=5432`)."""
    found: dict[str, re.Match[str]] = {}
    names = {
        "server": "host",
        "data source": "host",
        "user id": "user",
        "username": "user",
        "uid": "user",
        "pwd": "password",
        "database": "dbname",
    }
    for match in _KEY.finditer(text):
        key = match[1].lower()
        found.setdefault(names.get(key, key), match)
    host = found.get("host")
    if host is None:
        return None
    start, end = host.span(2)
    name = host[2].strip("'\"")
    if name.startswith("/"):
        return None
    port = found["port"][2].strip("'\"") if "port" in found else ""

    def value(key: str) -> str:
        return found[key][2].strip("'\"") if key in found else ""

    if host[2][0] in "'\"":
        start, end = start + 1, end - 1
    return Target(
        (Address(start, end, name, int(port) if port.isdigit() else None),),
        Login(value("user"), value("password"), value("dbname")),
        apart=True,
    )
