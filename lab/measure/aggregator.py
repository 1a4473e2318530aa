"""The health of all through the aggregator: its checks one by one against all of them at once, and its slowest check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from inventory.errors import HostFailed
from inventory.link import Link
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "asker.py"
TIMES = 5
RUN = 'cd "$1" && exec docker compose exec -T health-aggregator python3 - "$2"'


@dataclass(frozen=True)
class Together:
    """Medians of a few rounds, in seconds: every service asked one after another, all at once, and the slowest check of
    the latter. `times`: the answer of all as a multiple of its slowest check."""

    serial_s: float
    together_s: float
    slowest_s: float
    times: float


def measure(link: Link, times: int = TIMES) -> Together:
    """Measures both ways in turns, inside the aggregator's own container. Raises HostFailed."""
    reply = link.run(RUN, PROJECT_DIR, str(times), data=PROGRAM.read_bytes(), timeout_s=600.0)
    try:
        found = [tuple(map(float, each)) for each in json.loads(reply.text.strip().splitlines()[-1])]
        serial, together, slowest = (median(each) for each in zip(*found, strict=True))
    except (IndexError, ValueError):
        raise HostFailed(f"the aggregator gave no figures: {reply.complaint}", host=link.host.name) from None  # fmt: skip
    return Together(serial, together, slowest, median(each[1] / each[2] for each in found))
