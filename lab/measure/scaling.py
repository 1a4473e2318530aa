"""Replicas that follow their use, under load through an HAProxy that finds them by the service's name. Every request is counted."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inventory.errors import HostFailed
from inventory.link import Link, Reply
from lab.measure.cache import document
from lab.measure.gaps import STOP
from lab.state import PROJECT_DIR
from runbooks.scaler import Scaled
from runbooks.scaling import WINDOW_S
from runbooks.steps.circuit_breakers import SETTINGS
from runbooks.steps.haproxy import RESOLVERS

PROGRAM = Path(__file__).parent / "programs" / "presser.py"
PRESSING = 'until docker logs "$1" 2>/dev/null | grep -q pressing; do sleep 0.2; done'
SERVES = 'until docker exec "$1" curl -fs -o /dev/null "http://127.0.0.1:$2$3"; do sleep 0.2; done'
IMAGE: str = SETTINGS["breaker_image"][1]
PORT = 8080
LIMIT_S = 600.0
HARD, SOFT = ("16", "0"), ("2", "0.05")
"""(callers, seconds that each waits between an answer and the next question): as much as the service gives, and hardly any use."""
ROUND_S = 30.0
"""What the timer of soaks waits between two rounds."""
ROUNDS = 8
"""Rounds under the hard load, at most."""
NETWORK = """
cd "$1" || exit 1
backend=$(docker compose ps -q backend) && name=$2 && shift 2
network=$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$backend")
"""
# $1 project folder, $2 container, $3 HAProxy's image, $4 its configuration.
PROXY = (
    NETWORK
    + """exec docker run -d --rm --name "$name" --network "$network" --entrypoint sh "$1" \\
    -c 'printf %s "$0" >/tmp/haproxy.cfg && exec haproxy -db -f /tmp/haproxy.cfg' "$2"
"""
)
# $1 project folder, $2 container, then the words of the program, which comes on standard input.
START = (
    NETWORK
    + """image=$(docker inspect -f '{{.Image}}' "$backend")
exec docker run --rm -i --name "$name" --network "$network" --entrypoint python3 "$image" - "$@"
"""
)
REMOVE = 'docker rm -f "$1" >/dev/null 2>&1'


@dataclass
class Load:
    """What callers got; filled when the load is over. `failed`: by kind, every request that was not answered with 200."""

    asked: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0


@dataclass(frozen=True)
class Scaling:
    """How many replicas there were, one number a round, and each round's use in percent of the limit; first under the hard load, then
    after it. `asked`, `failed`, `slowest_s`: of all requests meanwhile."""

    up: tuple[int, ...]
    down: tuple[int, ...]
    cpu: tuple[float, ...]
    asked: int
    failed: int
    slowest_s: float
    why: Mapping[str, int] = field(default_factory=dict)


def measure(link: Link, service: str, port: int, path: str, most: int, scale: Callable[[float], Scaled]) -> Scaling:
    """Presses until there are more replicas, lets go until there are fewer. `scale`: one round at a time of the clock (epoch, s).

    The rounds under the hard load are real; the five minutes after it, in which a lower number must have been enough, are not waited
    for: the rounds that the timer would make in them are made one after another. Raises HostFailed.
    """
    proxy = f"runbook-proxy-{secrets.token_hex(4)}"
    text = configuration(service, port, path, most)
    if (reply := link.run(PROXY, PROJECT_DIR, proxy, IMAGE, text, timeout_s=60.0)).exit != 0:
        raise HostFailed(f"HAProxy does not start: {reply.err.decode('utf-8', 'replace').strip()[-200:]}", host=link.host.name)  # fmt: skip
    try:
        link.run(SERVES, proxy, str(PORT), path, timeout_s=60.0)
        with pressed(link, proxy, path, SOFT) as soft:
            with pressed(link, proxy, path, HARD) as hard:
                up: list[Scaled] = []
                while len(up) < ROUNDS and not (up and up[-1].after > up[0].before and up[-1].after == up[-1].before):
                    up.append(scale(time.time()))
            at, down = time.time(), list[Scaled]()
            while len(down) < 2 * WINDOW_S / ROUND_S and not (down and down[-1].after < up[-1].after):
                at += ROUND_S
                down.append(scale(at))
    finally:
        link.run(REMOVE, proxy, timeout_s=60.0)
    rounds = [*up, *down]
    if bad := next((each for each in rounds if each.failed or each.cpu is None), None):
        raise HostFailed(
            f"a round of scaling failed: {bad.note or 'its use could not be measured'}", host=link.host.name
        )
    why = {kind: soft.failed.get(kind, 0) + hard.failed.get(kind, 0) for kind in {*soft.failed, *hard.failed}}
    return Scaling(
        (up[0].before, *(each.after for each in up)), tuple(each.after for each in down), tuple(each.cpu or 0.0 for each in rounds),
        soft.asked + hard.asked, sum(why.values()), max(soft.slowest_s, hard.slowest_s), why,
    )  # fmt: skip


def configuration(service: str, port: int, path: str, most: int) -> str:
    """An HAProxy before all replicas of a service: whoever appears under its name gets requests once its check is well, and one that
    goes while it answers has its request repeated by another."""
    return f"""\
global
    log stdout format raw local0 notice

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 30s
    timeout queue 5s
    retries 5
    option redispatch 1
    option http-server-close
    retry-on all-retryable-errors

{RESOLVERS}
listen replicas
    bind :{PORT}
    balance leastconn
    option httpchk GET {path}
    default-server inter 1s fall 2 rise 1 resolvers engine init-addr none
    server-template replica {most} {service}:{port} check
"""


@contextmanager
def pressed(link: Link, host: str, path: str, how: tuple[str, str]) -> Iterator[Load]:
    """While the body runs, callers ask. Raises HostFailed where no figures come of it."""
    name = f"runbook-presser-{secrets.token_hex(4)}"
    words = (name, host, str(PORT), path, *how, str(LIMIT_S))
    replies: list[Reply] = []

    def run() -> None:
        replies.append(link.run(START, PROJECT_DIR, *words, data=PROGRAM.read_bytes(), timeout_s=LIMIT_S + 60))

    found = Load()
    thread = threading.Thread(target=run, name="presser", daemon=True)
    thread.start()
    try:
        link.run(PRESSING, name, timeout_s=60.0)
        yield found
    finally:
        link.run(STOP, name)
        thread.join(60.0)
    if not replies:
        raise HostFailed("the load gave no answer", host=link.host.name)
    told: Any = document(link, replies[0], "asked")
    found.asked, found.failed, found.slowest_s = int(told["asked"]), dict(told["failed"]), float(told["slowest_s"])
