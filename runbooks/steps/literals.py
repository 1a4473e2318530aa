"""Where a service's own environment names other services and passwords: which characters of which variable. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inventory.secrets import NAMES, SHORTEST
from runbooks.compose.model import Service, Stack, Variable

_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,40}://(?:[^\s:/?#@\"']*:(?P<password>[^\s/?#\"']*(?=@)|[^\s/@\"']*)@|[^\s/?#\"']*@)?(?P<hosts>[A-Za-z0-9_.-]+(?::\d+)?(?:,[A-Za-z0-9_.-]+(?::\d+)?(?![:\w.-]))*)"
)
"""A URL's login ends at the last `@` before its path, or else at the first: people forget to encode what they hold."""
_BARE = re.compile(r"[A-Za-z0-9_.-]+(?::\d+)?(?:,[A-Za-z0-9_.-]+(?::\d+)?)*")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_NAMES_HOST = re.compile(r"(?i)(?:^|_|PG)(?:HOST|HOSTS|HOSTNAME|SERVER|SERVERS|ADDR|ADDRESS|ADDRESSES|ENDPOINT|ENDPOINTS|BROKERS?|NODES?|URLS?|URIS?)$")  # fmt: skip
_NAMES_FILE = re.compile(r"(?i)_(?:FILE|PATH|URL|URI)$")
_COUNT = re.compile(r"[0-9.]{1,7}[a-zA-Z]{0,2}")
_ORDINARY = frozenset(("true", "false", "none", "null", "auto", "enabled", "disabled", "required", "optional", "trust"))


@dataclass(frozen=True)
class Found:
    """Characters `start:end` of a variable's value. `target`: the service that a host is, or that a password is for."""

    kind: Literal["service_host", "secret"]
    service: str
    variable: str
    start: int
    end: int
    text: str
    target: str


def find(stack: Stack, service: Service) -> Iterator[Found]:
    """Every host of another service, and every password, in the order of the variables; wherever they come from."""
    for variable in service.environment.values():
        if variable.value:
            yield from _in(stack, service, variable, variable.value)


def _in(stack: Stack, service: Service, variable: Variable, value: str) -> Iterator[Found]:
    secret = NAMES.search(variable.name) and not _NAMES_FILE.search(variable.name)
    if secret and "://" not in value and _hidden(value):
        yield Found("secret", service.name, variable.name, 0, len(value), value, service.name)
        return
    for url in _URL.finditer(value):
        hosts = list(_hosts(stack, service, variable.name, url["hosts"], url.start("hosts")))
        if url["password"]:
            first = _HOST.match(url["hosts"])
            target = first[0] if first and first[0] in stack.services else service.name
            yield Found("secret", service.name, variable.name, *url.span("password"), url["password"], target)
        yield from hosts
    if _NAMES_HOST.search(variable.name) and _BARE.fullmatch(value):
        yield from _hosts(stack, service, variable.name, value, 0)


def _hosts(stack: Stack, service: Service, variable: str, text: str, at: int) -> Iterator[Found]:
    """The hosts of a list that are other services: what a service calls itself is what it tells others, not a place."""
    begin = 0
    for part in text.split(","):
        host = part.partition(":")[0]
        if host in stack.services and host != service.name:
            yield Found("service_host", service.name, variable, at + begin, at + begin + len(host), host, host)
        begin += len(part) + 1


def _hidden(value: str) -> bool:
    """Whether a value can be a password: not a word of settings, a count, or the path of a file that holds one."""
    if value.lower() in _ORDINARY or len(value) < SHORTEST or value.startswith(("/", "./")):
        return False
    return not _COUNT.fullmatch(value)


def written(variable: Variable, found: Found) -> Literal["literal", "reference", "elsewhere"]:
    """Where characters come from: the Compose file itself, a reference in it, or an env file of the service."""
    if variable.source != "environment":
        return "elsewhere"
    over = [span for span in variable.spans if span.start < found.end and span.end > found.start]
    if not over or any(span.reference for span in over):
        return "reference"
    return "literal"
