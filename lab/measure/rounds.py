"""A health round: all probes of a host at once in one exchange, against the same probes one after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from checks.model import Probe
from checks.probes import round_
from inventory.link import Link

TIMES = 3


@dataclass(frozen=True)
class Rounds:
    """Seconds for one round of `probes` probes, the median of a few; exchanges that a round needs."""

    probes: int
    serial_s: float
    parallel_s: float
    serial_exchanges: int
    parallel_exchanges: int


def measure(link: Link, probes: Sequence[Probe], project: str, times: int = TIMES) -> Rounds:
    """Measures both ways in turns, so that whatever else the host does falls on both."""
    serial, parallel = [], []
    counts = [0, 0]
    for _ in range(times):
        before, begin = link.exchanges, time.monotonic()
        for probe in probes:
            round_(link, [probe], project)
        serial.append(time.monotonic() - begin)
        counts[0] = link.exchanges - before
        before, begin = link.exchanges, time.monotonic()
        round_(link, probes, project)
        parallel.append(time.monotonic() - begin)
        counts[1] = link.exchanges - before
    return Rounds(len(probes), median(serial), median(parallel), *counts)
