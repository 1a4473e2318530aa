"""The numbers and answers of circuit breakers: from the inventory into the file, and what a file that is there says. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from runbooks.compose import units
from runbooks.compose.model import Stack
from runbooks.model import HOST, Facts, Question
from runbooks.steps import haproxy, haproxy_file, health_aggregator
from runbooks.steps.haproxy import Breaker, Numbers
from runbooks.steps.haproxy_file import Written


def file(stack: Stack, breakers: Sequence[Breaker], aggregator: str, settings: Mapping[str, Any]) -> bytes:
    """The configuration's bytes."""
    limit = stack.services[aggregator].environment.get("LIMIT_S")
    numbers = Numbers(settings["breaker_failures"], units.seconds(settings["breaker_open"]) or 30.0, settings["breaker_closes"])  # fmt: skip
    limit_s = float(limit.value) if limit and limit.value else 3.0
    return haproxy.configuration(breakers, numbers, aggregator, health_aggregator.PORT, limit_s).encode()


def digest(data: bytes) -> str:
    """What tells one file from another, in the label of the service that is made with it."""
    return sha256(data).hexdigest()[:12]


def wished(each: Breaker, own: Any) -> Breaker:
    """A breaker as the inventory wishes it. `own`: what stands in `breakers` for it, or nothing."""
    given = own if isinstance(own, Mapping) else {}
    return replace(
        each, fallback=given.get("fallback", ""), status=given.get("status", 503), body=given.get("body", ""),
        limit_s=units.seconds(given.get("limit", "60s")) or 60.0,
    )  # fmt: skip


def asks(stack: Stack, there: str) -> tuple[Question, ...]:
    """What the file of breakers that are there says, as it stands on the host."""
    path = _path(stack, there)
    return (Question(_key(there), HOST, ("cat", path)),) if path else ()


def found(stack: Stack, there: str, facts: Facts) -> tuple[str, Written | None, str]:
    """The file's path, what it says, or why that is not known."""
    path = _path(stack, there)
    if not path:
        return "", None, f"mounts no file of the project at {haproxy.FILE}, so its numbers stay as they are"
    answer = facts.answers.get(_key(there))
    if answer is None or answer.exit != 0:
        said = answer.output.strip().splitlines() if answer else []
        return path, None, f"its numbers stay as they are: {said[-1][:200] if said else f'{path} was not read'}"
    was = haproxy_file.read(answer.output)
    return path, was, "" if was else f"its numbers stay as they are: {path} is not as this version writes it"


def _path(stack: Stack, there: str) -> str:
    """The file that the service mounts, on the host; nothing where it mounts none."""
    for each in stack.services[there].value.get("volumes") or ():
        source, _, target = str(each).removesuffix(":ro").partition(":")
        if target == haproxy.FILE and source.startswith("./"):
            return posixpath.normpath(posixpath.join(stack.spec.directory, source))
    return ""


def _key(there: str) -> str:
    return f"circuit_breakers/{there}/file"


def differences(was: Written, now: Written) -> Iterator[tuple[str, str]]:
    """What one file says and another says instead, in words."""
    for old, new in zip(_words(was), _words(now), strict=True):
        if old != new:
            yield old, new


def _words(each: Written) -> Iterable[str]:
    numbers = each.numbers
    yield f"opens after {numbers.failures} failures, for {numbers.open_s:g} s, until {numbers.closes} good checks"
    yield f"asks {each.aggregator}:{each.port}, each check within {each.limit_s:g} s"
    for breaker in each.breakers:
        instead = f"else {breaker.fallback}" if breaker.fallback else f"else {breaker.status} {breaker.body}".rstrip()
        yield f"{breaker.service}: " + (f"{breaker.limit_s:g} s, {instead}" if breaker.http else instead if breaker.fallback else "no fallback")  # fmt: skip
