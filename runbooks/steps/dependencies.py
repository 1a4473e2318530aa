"""Where services name what they depend on: URLs and host variables of databases, caches and HTTP services. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from runbooks.compose.model import Service, Stack, Variable
from runbooks.model import Facts
from runbooks.steps import asked, images, pooling
from runbooks.steps.asked import Asked
from runbooks.steps.pooling import Pointer, Pooler

_URL = re.compile(r"(?P<scheme>https?|rediss?)://(?:[^@/\s]*@)?(?P<host>[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?(?=[/?#]|\Z)")  # fmt: skip
_HOST = re.compile(r"(?i)(?:^|_)(?:HOST|HOSTNAME|SERVER|ADDR)$")
USUAL = {"http": 80, "redis": 6379}


@dataclass(frozen=True)
class Dependency:
    """A service that others name, how they speak to it, at which port."""

    asked: Asked
    port: int
    http: bool
    pooler: Pooler | None = None

    @property
    def name(self) -> str:
        return self.asked.service.name


def of(stack: Stack, each: Asked) -> Dependency:
    """How a service that can be asked for its health is spoken to by those who need it."""
    pooler, _ = pooling.find(stack)
    host_port = each.shown.partition("://")[2].partition("/")[0]
    port = int(host_port.rpartition(":")[2]) if ":" in host_port else USUAL["http"]
    if each.url.startswith(("postgres://", "postgresql://")):
        if pooler is not None and pooler.service.name == each.service.name:
            front = replace(pooler, database=pooler.service, database_port=pooler.port)
        else:
            front = Pooler(each.service, port, each.service, port, {})
        return Dependency(each, front.database_port, False, front)
    if asked.REDIS.fullmatch(images.repository(each.service.image)):
        return Dependency(each, port, False)
    # A service may be checked at one port and serve at another: the port that others name is what counts.
    named = _named_port(stack, each.service)
    return Dependency(each, named or port, named is not None)


def _named_port(stack: Stack, service: Service) -> int | None:
    """The port at which others name a service in an HTTP address."""
    names = pooling.names_of(service)
    for other in stack.services.values():
        for variable in other.environment.values() if other.active and not images.added(other) else ():
            match = _URL.match(variable.value or "")
            if match and match["scheme"] == "http" and match["host"] in names and other.name != service.name:
                return int(match["port"] or USUAL["http"])
    return None


def pointers(stack: Stack, dependency: Dependency, front: str, listen: int, facts: Facts) -> Iterator[Pointer]:
    """Every place where another service names a dependency, with the text that names the breaker at its port instead."""
    for service in stack.services.values():
        if not service.active or service.name == dependency.name or images.added(service):
            continue
        if images.is_one_shot(stack, service, facts):
            continue  # a job is better told that it failed
        if dependency.pooler is not None:
            if pooling.why_direct(stack, service, facts, frozenset()) or _is_pooler(service):
                continue
            breaker = replace(dependency.asked.service, name=front)
            moved = replace(dependency.pooler, service=breaker, port=listen)
            yield from pooling.pointers(service, moved)
        else:
            for variable in service.environment.values():
                yield from _named(service, variable, dependency, front, listen)


def _is_pooler(service: Service) -> bool:
    return "pgbouncer" in images.repository(service.image)


def _named(service: Service, variable: Variable, dependency: Dependency, front: str, listen: int) -> Iterator[Pointer]:
    value = variable.value or ""
    names = pooling.names_of(dependency.asked.service)
    match = _URL.match(value)
    if match and match["host"] in names:
        http = match["scheme"] == "http"
        port = int(match["port"] or USUAL["http" if http else "redis"])
        if port != dependency.port or http != dependency.http or match["scheme"] in ("https", "rediss"):
            return
        text = f"{front}:{listen}" if match["port"] or listen != USUAL["http" if http else "redis"] else front
        end = match.end("port") if match["port"] else match.end("host")
        yield Pointer(service.name, variable.name, match.start("host"), end, text, None)
    elif value in names and _HOST.search(variable.name) and not dependency.http:
        problem = "" if listen == dependency.port else f"its port would have to become {listen}: change it by hand"
        yield Pointer(service.name, variable.name, 0, len(value), front, None, problem)
