"""The configuration of HAProxy as a circuit breaker: one listener for each dependency. Pure.

What the proposal says of a breaker (its section 4), in HAProxy's words: five failures in a row open it (`observe`, `error-limit 5`,
`on-error mark-down`, and a check that fails only after five, two seconds apart), open for 30 s, closed by three good checks (`rise 3`,
two intervals of 15 s apart), and connections that stand are ended (`on-marked-down shutdown-sessions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

STATS, ASKS = 8404, 8405
"""Ports of its own: statistics, metrics and `/ready`; and, on loopback alone, the way to the aggregator."""
FILE = "/usr/local/etc/haproxy/haproxy.cfg"
"""Where HAProxy's own image reads its configuration."""
RESOLVERS = """\
# The engine's own name server: a container that is made anew has another address.
resolvers engine
    nameserver dns 127.0.0.11:53
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 2s
    hold nx 30s
    hold other 30s
    hold refused 30s
    hold timeout 30s
"""


@dataclass(frozen=True)
class Breaker:
    """One dependency behind the breaker. `fallback`: host:port that serves while it is open. HTTP alone can have an answer
    of its own (`status`, `body`), and ends a request after `limit_s`."""

    service: str
    port: int
    listen: int
    http: bool = False
    fallback: str = ""
    status: int = 503
    body: str = ""
    limit_s: float = 60.0


@dataclass(frozen=True)
class Numbers:
    """When all breakers open and close: failures in a row, seconds open, good checks in a row."""

    failures: int = 5
    open_s: float = 30.0
    closes: int = 3
    pause_s: float = 2.0
    """Between the checks that have to fail: a dependency that is only restarted should not be away for half a minute."""

    def slowest_s(self, limit_s: float) -> float:
        """How long a no can take: every one of the checks up to its limit (s), and what lies between them."""
        return self.failures * (limit_s + self.pause_s) + 1

    @property
    def interval_ms(self) -> int:
        """Between checks of an open breaker: so many good ones in a row take one interval less than their number."""
        return round(1000 * self.open_s / max(1, self.closes - 1))


def configuration(breakers: Sequence[Breaker], numbers: Numbers, aggregator: str, port: int, limit_s: float) -> str:
    """The whole file. `aggregator`: who is asked for the health of a service, at `port`, within `limit_s`."""
    return "\n".join([_head(), _asks(numbers, aggregator, port, limit_s), *(_listener(each, numbers, limit_s) for each in breakers)])  # fmt: skip


def _head() -> str:
    return f"""\
# Circuit breakers between services and what they depend on. Written by the step circuit_breakers of Compose Runbook;
# docs/circuit-breakers.md there says what each number does.
global
    log stdout format raw local0 notice
    maxconn 4096

defaults
    log global
    timeout connect 2s
    timeout client 12h
    timeout server 12h
    timeout queue 2s
    retries 1
    option clitcpka
    option srvtcpka

{RESOLVERS}
frontend _statistics
    mode http
    bind :{STATS}
    timeout client 10s
    monitor-uri /ready
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
"""


def _asks(numbers: Numbers, aggregator: str, port: int, limit_s: float) -> str:
    """Each question is asked up to five times before it is answered with no, and only by the aggregator's own word."""
    return f"""\
# Asks the aggregator: a real query to the dependency. Only its own "unhealthy", {numbers.failures} times in a row, opens a
# breaker: an aggregator that is away opens none.
listen _asks
    mode http
    bind 127.0.0.1:{ASKS}
    timeout server {round(1000 * numbers.slowest_s(limit_s))}ms
    retries 0
    server aggregator {aggregator}:{port} resolvers engine init-addr last,libc,none
"""


def _listener(each: Breaker, numbers: Numbers, limit_s: float) -> str:
    open_ms = numbers.interval_ms
    layer = "layer7" if each.http else "layer4"
    lines = [
        f"listen {each.service}",
        f"    mode {'http' if each.http else 'tcp'}",
        f"    bind :{each.listen}",
        f"    timeout check {round(1000 * (numbers.slowest_s(limit_s) + 1))}ms",
        "    option httpchk",
        f"    http-check send meth GET uri /health/{each.service}?failures={numbers.failures}&pause={numbers.pause_s:g} ver HTTP/1.1 hdr Host {each.service}",
        "    http-check expect ! string unhealthy",
    ]
    if each.http:
        lines += [f"    timeout server {round(1000 * each.limit_s)}ms", "    timeout tunnel 12h"]
        if not each.fallback:
            body = each.body or usual_body(each.service)
            lines.append(
                f"    http-request return status {each.status} content-type application/json hdr Retry-After "
                f"{ceil(open_ms * max(1, numbers.closes - 1) / 1000)} hdr X-Circuit open string {quoted(body)} if !{{ nbsrv gt 0 }}"
            )
    lines += [
        f"    default-server inter 2s fastinter {open_ms}ms downinter {open_ms}ms fall 1 rise {numbers.closes} "
        f"observe {layer} error-limit {numbers.failures} on-error mark-down on-marked-down shutdown-sessions",
        f"    server {each.service} {each.service}:{each.port} check addr 127.0.0.1 port {ASKS} resolvers engine init-addr last,libc,none",
    ]
    if each.fallback:
        lines.append(f"    server fallback {each.fallback} backup resolvers engine init-addr last,libc,none")
    return "\n".join(lines) + "\n"


def usual_body(service: str) -> str:
    """What is answered in place of a service where nothing else is said."""
    return f'{{"status": "unavailable", "reason": "the circuit to {service} is open"}}'


def quoted(text: str) -> str:
    """A text as one word of the configuration."""
    return "'" + text.replace("'", "'\\''") + "'"
