"""The shared cache at work: invalidations that arrive, keys that are warm, and who finds what he reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from checks.probes.cache import ASK, URL
from inventory.errors import HostFailed
from inventory.link import Link, Reply
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "reader.py"
KEEPER = 'cd "$1" && exec docker compose exec -T cache-keeper python3 -c "$2" "$3"'
READ = 'cd "$1" && shift && exec docker compose exec -T backend python3 - "$@"'
TIMES = 20
"""Invalidations that are measured, one after another."""


@dataclass(frozen=True)
class Reads:
    """What a service found of the keys that it read. `median_s`: seconds that a read took."""

    reads: int
    hits: int
    median_s: float

    @property
    def ratio(self) -> float:
        return self.hits / max(1, self.reads)


@dataclass(frozen=True)
class Cache:
    """What the keeper says. `invalidations_s`: seconds until each event arrived; `lost`: those that did not. `ratio`: the share of
    reads within the last minute that hit, None where nobody read."""

    invalidations_s: tuple[float, ...]
    lost: int
    warm: int
    wanted: int
    ratio: float | None


def reads(link: Link, prefix: str, count: int, times: int) -> Reads:
    """Reads keys as the backend does, from wherever its REDIS_URL leads. Raises HostFailed."""
    words = (prefix, str(count), str(times))
    found = document(link, link.run(READ, PROJECT_DIR, *words, data=PROGRAM.read_bytes(), timeout_s=120.0), "reads")
    return Reads(int(found["reads"]), int(found["hits"]), median(map(float, found["seconds"])))


def kept(link: Link, times: int = TIMES) -> Cache:
    """Asks the keeper again and again: each answer is an invalidation of its own. Raises HostFailed."""
    found = [document(link, link.run(KEEPER, PROJECT_DIR, ASK, URL, timeout_s=90.0), "invalidation_ms") for _ in range(times)]  # fmt: skip
    arrived = tuple(each["invalidation_ms"] / 1000 for each in found if each["invalidation_ms"] is not None)
    warmed = found[-1]["warmed"]
    return Cache(arrived, len(found) - len(arrived), int(warmed["present"]), int(warmed["wanted"]), found[-1]["hit_ratio"])  # fmt: skip


def document(link: Link, reply: Reply, key: str) -> Any:
    """The JSON document that a program printed last, which must have a key. Raises HostFailed."""
    try:
        found = json.loads(reply.text.strip().splitlines()[-1])
        if key in found:
            return found
    except (IndexError, TypeError, ValueError):
        pass
    said = (reply.err or reply.out).decode("utf-8", "replace").strip().splitlines()
    raise HostFailed(f"there are no figures: {said[-1] if said else f'exit {reply.exit}'}", host=link.host.name)
