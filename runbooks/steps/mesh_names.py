"""Who names whom in a stack, and at which port: in variables, in commands, and by `depends_on`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from runbooks.compose.model import Service
from runbooks.steps import asked, pooling

_HOST = re.compile(r"(?i)(?:^|_)(?:HOSTS?|HOSTNAME|SERVERS?|ADDR|ADDRESS|ENDPOINTS?|UPSTREAM|BROKERS?|NODES?)$")
_AUTHORITY = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[^@/\s]*@)?(?:[^/\s]*,)?$")
"""What stands before a host in a URL; several hosts are parted by commas."""
_USUAL = {
    "http": 80, "https": 443, "ws": 80, "wss": 443, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "mongodb": 27017,
    "mysql": 3306, "postgres": 5432, "postgresql": 5432, "nats": 4222,
}  # fmt: skip
PLAIN_HTTP = ("http", "ws")


class Named(NamedTuple):
    """One way in which a service is named. No port: nothing says which. `http`: it is spoken to in plain HTTP."""

    port: int | None
    http: bool


def names(service: Service, other: Service) -> Iterator[Named]:
    """Every way in which a service's variables and command name another one."""
    for name in pooling.names_of(other):
        pattern = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])(?::(\d{{1,5}}))?")
        for variable in service.environment.values():
            value = variable.value or ""
            if name in value:
                yield from _in(pattern, value, whole=bool(_HOST.search(variable.name)))
        for word in service.command or ():
            if name in word:
                yield from _in(pattern, word, whole=False)


def _in(pattern: re.Pattern[str], text: str, *, whole: bool) -> Iterator[Named]:
    for match in pattern.finditer(text):
        scheme = _AUTHORITY.search(text[: match.start()])
        if "@" in re.split(r"[/?#\s]", text[match.end() :], maxsplit=1)[0]:
            continue  # a login, which may be called as a service is
        if scheme:
            kind = scheme[1].split("+")[0]
            yield Named(int(match[1]) if match[1] else _USUAL.get(kind), kind in PLAIN_HTTP)
        elif match[1] and text[: match.start()][-1:] in ("", ",", " ", "@", "=", "("):
            yield Named(int(match[1]), False)
        elif whole and match.start() == 0 and match.end() == len(text):
            yield Named(None, False)


def calls(service: Service, other: Service) -> bool:
    """Whether a service may call another one: it names it, or waits for it."""
    return other.name in service.edges or any(True for _ in names(service, other))


def ports(service: Service, other: Service) -> set[int] | None:
    """The ports at which a service names another one; None: it does not. Empty: it does, and nothing says where."""
    found = [each.port for each in names(service, other)]
    if not found:
        return None
    known = {port for port in found if port}
    usual = asked.port_of(other)
    return known or ({usual} if usual else set())
