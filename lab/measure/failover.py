"""A drill of failover: the master of a Redis with a replica is killed under load, and what its clients lose is counted."""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import HostFailed
from inventory.link import Link, Reply
from lab.measure.gaps import START
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "writer.py"
CLIENTS, CALM_S, SECONDS = 4, 4.0, 25.0
"""So many clients write one after another, without a disturbance at first, and in all."""
KILL = 'docker kill "$(cd "$1" && docker compose ps -q "$2")" >/dev/null'
"""The engine does not start again what it killed itself, so the failover is not overtaken by the restart."""


@dataclass(frozen=True)
class Failover:
    """What clients saw: writes acknowledged and refused, acknowledged and lost, the longest time (s) without one, the last key."""

    acknowledged: int
    refused: int
    lost: int
    away_s: float
    last: str


def run(link: Link, password: str, *, master: str = "redis", front: str = "redis-front", port: int = 6379) -> Failover:
    """Kills the master while clients write through the front. Raises HostFailed where there are no figures."""
    words = (f"runbook-writer-{secrets.token_hex(4)}", front, str(port), str(CLIENTS), str(SECONDS))
    data = f"PASSWORD = {password!r}\n".encode() + PROGRAM.read_bytes()
    replies: list[Reply] = []

    def load() -> None:
        replies.append(link.run(START, PROJECT_DIR, *words, data=data, timeout_s=SECONDS + 180))

    thread = threading.Thread(target=load, name="writers", daemon=True)
    thread.start()
    time.sleep(CALM_S)
    if link.run(KILL, PROJECT_DIR, master, timeout_s=60).exit != 0:
        raise HostFailed(f"{master} cannot be killed", host=link.host.name)
    thread.join(SECONDS + 180)
    try:
        return Failover(**json.loads(replies[0].text.strip().splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        raise HostFailed("the drill gave no figures", host=link.host.name) from None
