"""Which variables name a Redis that is only a cache, and how they would name another one; the password they log in with. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbooks.compose.model import Service, Stack, Variable
from runbooks.model import Facts, Kept
from runbooks.steps import asked, images, pooling, templates
from runbooks.steps.pooling import Pointer

_URL = re.compile(r"(?P<scheme>rediss?)://(?:(?P<user>[^:@/\s]*)(?::(?P<password>[^@\s]*))?@)?(?P<host>[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?(?:/(?P<db>\d{1,3}))?(?=[/?#]|\Z)")  # fmt: skip
_CACHE = re.compile(r"(?i)(?:^|_)CACHE(?:S)?(?:_|$)")
_KEEPS = re.compile(r"(?i)SESS|QUEUE|BROKER|CELERY|SIDEKIQ|RESQUE|BULL|JOB|LOCK|STREAM|PUBSUB|CHANNEL|CABLE|RESULT|LIMIT|THROTTLE|TOKEN|STATE")  # fmt: skip
"""What must not be evicted, by the names of its variables; one that says CACHE besides is still none to move unasked."""
_HOST = re.compile(r"(?i)^(?P<prefix>.*?)_?(?:HOST|HOSTNAME|SERVER|ADDR|ADDRESS)$")
_SECRET_IN_RAW = re.compile(r"://[^:@/$]*:(?P<password>(?:\$\{[^{}]*\}|\$[A-Za-z_]\w*)+)@")
USUAL = 6379


@dataclass(frozen=True)
class Client:
    """One variable that is to name the cache: `db` the number that it uses, `password` how it logs in (a secret).

    `template`: the password as the Compose file may have it again, by reference; None where it cannot. `secret`: the
    variable in which it stands.
    """

    pointers: tuple[Pointer, ...]
    db: int
    password: str
    template: str | None
    problem: str = ""
    secret: str = ""

    @property
    def service(self) -> str:
        return self.pointers[0].service


def find(stack: Stack, facts: Facts, cache: str, named: Mapping[str, Any], kept: list[Kept]) -> Iterator[Client]:
    """Every client that moves, and into `kept` what looks like one and stays. `named`: service -> its variables, or skip."""
    for service in stack.services.values():
        if not service.active or images.added(service) or named.get(service.name) == "skip":
            continue
        if images.is_one_shot(stack, service, facts) and service.name not in named:
            continue
        wanted: Sequence[str] = named.get(service.name, ())
        for variable in service.environment.values():
            client = _client(stack, service, variable, cache)
            if client is None:
                continue
            host = (variable.value or "")[client.pointers[0].start :].partition(":")[0].partition("/")[0]
            if variable.name in wanted or (not wanted and _CACHE.search(variable.name) and not _KEEPS.search(variable.name)):  # fmt: skip
                if host == cache:
                    continue
                yield client
            elif host != cache:
                kept.append(Kept(service.name, "cache", f"{variable.name} may hold what must not be evicted (sessions, queues, locks): "
                                 "name it in cache_consumers where it is only a cache", True))  # fmt: skip


def _client(stack: Stack, service: Service, variable: Variable, cache: str) -> Client | None:
    match = _URL.match(variable.value or "")
    if match:
        return _by_url(stack, service, variable, match, cache)
    return _by_host(stack, service, variable, cache)


def _by_url(stack: Stack, service: Service, variable: Variable, match: re.Match[str], cache: str) -> Client:
    port = match["port"]
    text = f"{cache}:{USUAL}" if port and port != str(USUAL) else cache
    end = match.end("port") if port and port != str(USUAL) else match.end("host")
    pointer = Pointer(service.name, variable.name, match.start("host"), end, text, None)
    problem = ""
    if match["scheme"] == "rediss":
        problem = "it insists on TLS, which the cache does not speak"
    elif match["user"] not in (None, "", "default"):
        problem = f"it logs in as the user {match['user']}, whom the cache would not know"
    elif match["host"] not in stack.services and match["host"] not in _names(stack):
        problem = f"{match['host']} is no service of this stack"
    password = match["password"] or ""
    own = _SECRET_IN_RAW.search(variable.raw)
    template = own["password"] if own and variable.source == "environment" else None
    return Client((pointer,), int(match["db"] or 0), password, template or _by_server(stack, match["host"], password), problem, variable.name)  # fmt: skip


def _by_host(stack: Stack, service: Service, variable: Variable, cache: str) -> Client | None:
    """CACHE_HOST and its like whose whole value is a Redis, with port, number and password beside it."""
    match, value = _HOST.match(variable.name), variable.value or ""
    if not match or not _is_redis(stack, value) or variable.source != "environment":
        return None
    prefix = match["prefix"]
    pointers = [Pointer(service.name, variable.name, 0, len(value), cache, None)]
    port = service.environment.get(f"{prefix}_PORT")
    if port is not None and port.value and port.value != str(USUAL):
        pointers.append(Pointer(service.name, port.name, 0, len(port.value), str(USUAL), None))
    secret = templates.first(service, (f"{prefix}_PASSWORD", f"{prefix}_PASS"))
    number = service.environment.get(f"{prefix}_DB")
    password = secret.value or "" if secret else ""
    db = int(number.value) if number and number.value and number.value.isdigit() else 0
    return Client(tuple(pointers), db, password, templates.by_reference(secret, password) or _by_server(stack, value, password), "", secret.name if secret else "")  # fmt: skip


def _by_server(stack: Stack, host: str, password: str) -> str | None:
    """The password as the Redis itself has it by reference, if it is the same."""
    for _, secret in servers(stack, password):
        return templates.by_reference(secret, password)
    return None


def servers(stack: Stack, password: str) -> Iterator[tuple[str, Variable]]:
    """Each Redis that has this password in a variable of its own, and that variable."""
    for service in stack.services.values():
        if asked.REDIS.fullmatch(images.repository(service.image)):
            secret = templates.first(service, asked.CACHE_PASSWORDS)
            if secret and secret.value == password:
                yield service.name, secret


def _is_redis(stack: Stack, host: str) -> bool:
    """Whether a name is a Redis of the stack, or a breaker that may stand before one."""
    for service in stack.services.values():
        if host in pooling.names_of(service):
            return bool(asked.REDIS.fullmatch(images.repository(service.image))) or bool(images.added(service))
    return False


def _names(stack: Stack) -> frozenset[str]:
    return frozenset(name for service in stack.services.values() for name in pooling.names_of(service))
