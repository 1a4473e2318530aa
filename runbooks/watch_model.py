"""What a watch knows: how each service of each host is, since when, how the last rounds went, and what turned. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, Literal

from checks import health as healths
from checks.model import Probe, Sample
from inventory.secrets import Mask
from inventory.values import frozen

Status = Literal["healthy", "unhealthy", "unknown", "connecting", "no answer"]
ROUNDS = 60
"""Rounds that are remembered of a service: five minutes at the usual interval."""
TURNS = 200


@frozen
class Mark:
    """One round of one service. `latency_s` is its slowest probe's; None: nothing was timed."""

    status: Status
    latency_s: float | None = None


@frozen
class Turn:
    """A status that changed. `service` is empty where it is the host's own."""

    at: datetime
    host: str
    service: str
    before: Status
    after: Status
    why: str = ""


@dataclass
class Watched:
    """One service, or a host as a whole (`name` empty)."""

    name: str
    status: Status
    since: datetime
    why: str = ""
    figures: str = ""
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=ROUNDS))


@dataclass
class WatchedHost:
    """One host. `found` is its last round in the shape of `health --json`."""

    own: Watched
    services: dict[str, Watched] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 0


class Board:
    """The state of a watch. Safe between threads; whoever reads it holds `lock`."""

    def __init__(self, environment: str, hosts: Iterable[str], at: datetime, mask: Mask) -> None:
        self.environment, self.lock, self._mask = environment, Lock(), mask
        self.hosts = {name: WatchedHost(Watched("", "connecting", at)) for name in hosts}
        self.turns: deque[Turn] = deque(maxlen=TURNS)
        self.changes = 0

    def seen(self, host: str, probes: Sequence[Probe], samples: Sequence[Sample], at: datetime) -> None:
        """Takes in one round of a host. Services that are gone from its probes are no longer shown."""
        found = self._mask.hide_in(healths.aggregate(probes, samples))
        slowest = _slowest(probes, samples)
        with self.lock:
            its = self.hosts[host]
            its.found, its.rounds = found, its.rounds + 1
            its.services = {name: each for name, each in its.services.items() if name in found["services"]}
            for name, entry in found["services"].items():
                service = its.services.setdefault(name, Watched(name, entry["status"], at))
                why = entry.get("reason", "")
                service.figures = " ".join(
                    f"{value} {key}" for key, value in entry.items() if key not in ("status", "reason", "latency")
                )
                self._turn(host, service, entry["status"], why, at)
                service.marks.append(Mark(entry["status"], slowest.get(name)))
            self._turn(host, its.own, found["status"], "", at)

    def lost(self, host: str, why: str, at: datetime) -> None:
        """A host did not answer: what its services do is not known."""
        why = self._mask.hide(why)
        with self.lock:
            its = self.hosts[host]
            its.found = {"status": "unknown", "services": {}, "reason": why}
            self._turn(host, its.own, "no answer", why, at)
            for service in its.services.values():
                service.marks.append(Mark("no answer"))
                service.status, service.since = "unknown", service.since if service.status == "unknown" else at
                service.why, service.figures = "the host does not answer", ""

    def documents(self) -> dict[str, Any]:
        """Each host's last round, as `health --json` has it."""
        with self.lock:
            return {name: dict(its.found) for name, its in self.hosts.items() if its.found}

    def counts(self) -> dict[Status, int]:
        """How many services are how; the caller holds the lock."""
        found: dict[Status, int] = {}
        for its in self.hosts.values():
            for service in its.services.values():
                found[service.status] = found.get(service.status, 0) + 1
        return found

    def _turn(self, host: str, what: Watched, after: Status, why: str, at: datetime) -> None:
        before, what.why = what.status, why
        if after == before:
            return
        what.status, what.since = after, at
        # What services of a host do tells it already; its own turns are those to and from silence.
        if what.name or "no answer" in (before, after):
            self.turns.append(Turn(at, host, what.name, before, after, why))
            self.changes += 1


def _slowest(probes: Sequence[Probe], samples: Sequence[Sample]) -> dict[str, float]:
    """service -> seconds of its slowest answer; the engine's own view takes no time of the service."""
    kinds = {probe.name: probe for probe in probes}
    found: dict[str, float] = {}
    for sample in samples:
        probe = kinds.get(sample.probe)
        if probe and probe.kind != "container" and sample.latency_s is not None:
            found[probe.service] = max(found.get(probe.service, 0.0), sample.latency_s)
    return found
