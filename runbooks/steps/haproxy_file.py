"""Reads the file of circuit breakers back, as `haproxy` writes it: what breakers there are, and with which numbers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.steps import haproxy
from runbooks.steps.haproxy import Breaker, Numbers

_LISTENER = re.compile(r"(?m)^listen (?!_)(\S+)\n((?: +\S.*\n)+)")
_AGGREGATOR = re.compile(r"(?m)^listen _asks\n(?: .*\n)*?    timeout server (?P<ms>\d+)ms\n(?: .*\n)*?    server aggregator (?P<name>\S+):(?P<port>\d+) ")  # fmt: skip
_RULES = re.compile(r" fastinter (?P<ms>\d+)ms .* rise (?P<closes>\d+) .* error-limit (?P<failures>\d+) ")
_ANSWER = re.compile(
    r"(?m)^    http-request return status (?P<status>\d+) .* string (?P<body>'.*') if !\{ nbsrv gt 0 \}$"
)


@dataclass(frozen=True)
class Written:
    """What a file says. `aggregator` is asked at `port`, each of whose checks may take `limit_s`."""

    breakers: tuple[Breaker, ...]
    numbers: Numbers
    aggregator: str
    port: int
    limit_s: float

    def text(self) -> str:
        """The whole file."""
        return haproxy.configuration(self.breakers, self.numbers, self.aggregator, self.port, self.limit_s)


def read(text: str) -> Written | None:
    """What a file says; None for one that would not be written so, as when somebody changed it by hand."""
    asks, rules = _AGGREGATOR.search(text), _RULES.search(text)
    breakers = tuple(_breaker(name, body) for name, body in _LISTENER.findall(text))
    if not asks or not rules or not breakers:
        return None
    failures, closes = int(rules["failures"]), int(rules["closes"])
    numbers = Numbers(failures, int(rules["ms"]) * max(1, closes - 1) / 1000, closes)
    limit_s = _limit_s(int(asks["ms"]), numbers)
    found = Written(tuple(filter(None, breakers)), numbers, asks["name"], int(asks["port"]), limit_s)
    return found if None not in breakers and found.text() == text else None


def _limit_s(slowest_ms: int, numbers: Numbers) -> float:
    """The inverse of `Numbers.slowest_s`, in whole milliseconds of the latter."""
    return (slowest_ms / 1000 - 1) / max(1, numbers.failures) - numbers.pause_s


def _breaker(name: str, body: str) -> Breaker | None:
    server = re.search(rf"(?m)^    server {re.escape(name)} {re.escape(name)}:(\d+) check ", body)
    listen = re.search(r"(?m)^    bind :(\d+)$", body)
    if not server or not listen:
        return None
    made = Breaker(name, int(server[1]), int(listen[1]), "    mode http\n" in body)
    fallback = re.search(r"(?m)^    server fallback (\S+) backup ", body)
    limit = re.search(r"(?m)^    timeout server (\d+)ms$", body)
    answer = _ANSWER.search(body)
    said = answer["body"][1:-1].replace("'\\''", "'") if answer else ""
    return Breaker(
        name, made.port, made.listen, made.http, fallback[1] if fallback else "", int(answer["status"]) if answer else made.status,
        "" if said == haproxy.usual_body(name) else said, int(limit[1]) / 1000 if limit else made.limit_s,
    )  # fmt: skip
