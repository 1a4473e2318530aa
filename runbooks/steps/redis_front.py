"""The configurations of a Redis with a replica: of its Sentinels, and of the HAProxy front that follows the master. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks.steps import haproxy

SENTINEL_PORT = 26379
QUORUM = 2
"""Of three Sentinels: as many must find the master down, and as many are believed about who it is."""
SENTINELS = 3


@dataclass(frozen=True)
class Set:
    """The names of a set: `master` is the Redis that was there, and what the Sentinels call the set. `locked`: with a password."""

    master: str
    port: int
    locked: bool

    @property
    def replica(self) -> str:
        return f"{self.master}-replica"

    @property
    def front(self) -> str:
        return f"{self.master}-front"

    @property
    def nodes(self) -> tuple[str, str]:
        return self.master, self.replica

    @property
    def sentinels(self) -> tuple[str, ...]:
        return tuple(f"{self.master}-sentinel-{number}" for number in range(1, SENTINELS + 1))

    @property
    def added(self) -> tuple[str, ...]:
        """The services that make it one, in the order in which they are written."""
        return (*self.sentinels, self.replica, self.front)


def sentinel(each: Set, down_ms: int) -> str:
    """What a Sentinel starts from. It writes its own copy anew with what it finds out, so this one is only read."""
    return f"""\
# A Sentinel of {each.master}. Written by the step redis_sentinel of Compose Runbook; docs/redis.md there says what each line does.
port {SENTINEL_PORT}
dir /data
# Names, not addresses: a container that is made anew has another address.
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor {each.master} {each.master} {each.port} {QUORUM}
sentinel down-after-milliseconds {each.master} {down_ms}
sentinel failover-timeout {each.master} 10000
sentinel parallel-syncs {each.master} 1
"""


def front(each: Set) -> str:
    """The front's file: connections go to the node that says it is the master, unless two Sentinels hold the other for it."""
    other = {each.master: each.replica, each.replica: each.master}
    rules = [
        f"    use_backend {node} if {{ nbsrv({node}) gt 0 }} !{{ nbsrv(_held_{other[node]}) ge {QUORUM} }}"
        for node in each.nodes
    ]
    return "\n".join([
        _head(), f"frontend {each.front}", f"    bind :{each.port}", *rules, "    default_backend _nobody", "",
        "# While there is no master clients are told so at once: the connection is closed.", "backend _nobody", "",
        *(line for node in each.nodes for line in (*_node(each, node), "", *_held(each, node, each.sentinels), "")),
    ])  # fmt: skip


def _head() -> str:
    return f"""\
# Follows the master of a Redis with a replica, for clients that cannot speak Sentinel. Written by the step redis_sentinel of
# Compose Runbook; docs/redis.md there says how it decides.
global
    log stdout format raw local0 notice
    maxconn 4096

defaults
    log global
    mode tcp
    timeout connect 2s
    timeout client 12h
    timeout server 12h
    timeout queue 2s
    timeout check 2s
    retries 1
    option clitcpka
    option srvtcpka

{haproxy.RESOLVERS}
frontend _statistics
    mode http
    bind :{haproxy.STATS}
    timeout client 10s
    monitor-uri /ready
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
"""


_AUTH = (
    # The password is the front's own variable, sent with its length: it may hold any character.
    r'    tcp-check send-lf "*2\r\n\$4\r\nAUTH\r\n\$%[env(REDIS_PASSWORD),length]\r\n%[env(REDIS_PASSWORD)]\r\n"',
    "    tcp-check expect string +OK",
)


def _node(each: Set, node: str) -> list[str]:
    return [
        f"backend {node}",
        "    option tcp-check",
        "    tcp-check connect",
        *(_AUTH if each.locked else ()),
        r'    tcp-check send "info replication\r\n"',
        "    tcp-check expect string role:master",
        f"    server {node} {node}:{each.port} check inter 1s fastinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions resolvers engine init-addr last,libc,none",
    ]


def _held(each: Set, node: str, sentinels: Sequence[str]) -> list[str]:
    return [
        f"# Serves nobody: its servers that are up are the Sentinels that hold {node} for the master.",
        f"backend _held_{node}",
        "    option tcp-check",
        "    tcp-check connect",
        *(_AUTH if each.locked else ()),
        rf'    tcp-check send "sentinel get-master-addr-by-name {each.master}\r\n"',
        rf'    tcp-check expect string "\r\n{node}\r\n"',
        *(
            f"    server {name} {name}:{SENTINEL_PORT} check inter 1s fall 1 rise 1 resolvers engine init-addr last,libc,none"
            for name in sentinels
        ),
    ]
