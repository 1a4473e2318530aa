"""Many clients at once: how many the database (or its pooler) serves, and how long they wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checks.statistics import percentile
from inventory.errors import HostFailed
from inventory.link import Link
from lab.state import PROJECT_DIR

COUNT, TRANSACTIONS, LIMIT_S = 500, 10, 180.0
PROGRAM = Path(__file__).parent / "programs" / "clients.py"
RUN = 'cd "$1" && exec docker compose exec -T backend python3 - "$2" "$3"'


@dataclass(frozen=True)
class Clients:
    """`served`: clients that ran all their transactions. `p99_s`: of a transaction, the connection included in the first.

    `connected_before`: server connections that others held already.
    """

    clients: int
    served: int
    p99_s: float | None
    seconds: float
    connected_before: int
    refusals: Mapping[str, int]

    @property
    def share(self) -> float:
        """The share of the clients that were served."""
        return self.served / self.clients


def measure(link: Link, count: int = COUNT, transactions: int = TRANSACTIONS) -> Clients:
    """Lets `count` clients use the backend's own DATABASE_URL at the same moment. Raises HostFailed."""
    reply = link.run(
        RUN, PROJECT_DIR, str(count), str(transactions), data=PROGRAM.read_bytes(), timeout_s=LIMIT_S
    )  # fmt: skip
    try:
        found = json.loads(reply.text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise HostFailed(f"the clients gave no figures: {reply.complaint}", host=link.host.name) from None
    return Clients(
        int(found["clients"]), int(found["served"]), percentile(found["latencies"], 0.99), float(found["seconds"]),
        int(found["connected_before"]), {str(reason): int(n) for reason, n in found["refusals"].items()},
    )  # fmt: skip
