"""A drill of failover: the master of a Redis with a replica is killed under load, and what its clients lose is counted."""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import HostFailed
from inventory.link import Link, Reply
from lab.measure.gaps import START
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "writer.py"
CLIENTS, LIMIT_S = 4, 120.0
"""So many clients write one after another, until writes work again, and so long (s) at most."""
WAIT = 'for _ in $(seq 300); do docker logs "$1" 2>/dev/null | grep -q writing && exit; sleep 0.2; done; exit 1'
KILL = 'docker kill "$(cd "$1" && docker compose ps -q "$2")" >/dev/null'
"""The engine does not start again what it killed itself, so the failover is not overtaken by the restart."""


@dataclass(frozen=True)
class Failover:
    """What clients saw: writes acknowledged and refused; acknowledged and lost, and those of them that had a second and more
    to reach the replica (`early`); the longest time (s) without an acknowledged one; the last key."""

    acknowledged: int
    refused: int
    lost: int
    early: int
    away_s: float
    last: str


def run(link: Link, password: str, *, master: str = "redis", front: str = "redis-front", port: int = 6379) -> Failover:
    """Kills the master while clients write through the front. Raises HostFailed where there are no figures."""
    name = f"runbook-writer-{secrets.token_hex(4)}"
    data = f"PASSWORD = {password!r}\n".encode() + PROGRAM.read_bytes()
    replies: list[Reply] = []

    def load() -> None:
        words = (name, front, str(port), str(CLIENTS), str(LIMIT_S))
        replies.append(link.run(START, PROJECT_DIR, *words, data=data, timeout_s=LIMIT_S + 60))

    thread = threading.Thread(target=load, name="writers", daemon=True)
    thread.start()
    written = link.run(WAIT, name, timeout_s=90).exit == 0
    killed = written and link.run(KILL, PROJECT_DIR, master, timeout_s=60).exit == 0
    thread.join(LIMIT_S + 60)
    if not killed:
        raise HostFailed(f"{master} cannot be killed under load", host=link.host.name)
    try:
        return Failover(**json.loads(replies[0].text.strip().splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        raise HostFailed(
            f"the drill gave no figures: {replies[0].complaint if replies else '?'}", host=link.host.name
        ) from None
