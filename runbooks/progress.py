"""How far a run is, host by host and group by group, kept from its events: what the live screen shows. Pure but for its lock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from inventory.secrets import Mask
from runbooks import events

State = Literal["waiting", "working", "written", "gated", "done", "failed"]
"""`written`: its files are, its services are being brought up; `gated`: its gate passed; `done`: as the run leaves it, and well."""
WELL = ("changed", "unchanged", "skipped")
ALONE = "ungrouped"


@dataclass
class HostProgress:
    """One host: where it stands, since when it is worked on (seconds of the run's clock), and what it does or died of."""

    name: str
    group: str
    state: State = "waiting"
    since: float = 0.0
    what: str = ""


@dataclass
class Progress:
    """A run as it goes. `groups` names each host's group. Every text in it is masked."""

    mask: Mask
    groups: Mapping[str, str] = field(default_factory=dict)
    hosts: dict[str, HostProgress] = field(default_factory=dict)
    title: str = ""
    batch: str = ""
    gate: str = ""
    begun: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _nothing: set[str] = field(default_factory=set)

    def reading(self, names: Sequence[str], title: str, now: float) -> None:
        """The hosts are read and planned from now on; each that was is done until the run itself begins."""
        with self.lock:
            self.title, self.begun = title, now
            self.hosts = {name: self._host(name) for name in names}

    def take(self, event: events.Event, now: float) -> None:
        """Takes an event in, at `now` seconds of a clock that only goes forward."""
        with self.lock:
            match event:
                case events.RunStarted():
                    what = f"phase {event.phase}" if event.kind == "migrate" else event.phase
                    self.title, self.begun, self.gate = f"{event.kind} {what} on {event.environment}", now, ""
                    self.hosts = {name: self._host(name) for batch in event.batches for name in batch}
                case events.BatchStarted():
                    self.batch, self.gate = f"batch {event.number} of {event.of}", ""
                    for name in self._nothing & set(event.hosts):
                        self._set(name, "done", now, "unchanged")
                case events.HostSurveyed():
                    if not event.files:
                        self._nothing.add(event.host)
                    self._set(event.host, "done", now, "read")
                case events.StepStarted():
                    self._set(event.host, "working", now, f"{event.number}/{event.of} {', '.join(event.steps)}")
                case events.FilesWritten():
                    self._set(event.host, "written", now, "written")
                case events.ServiceUp():
                    word = "" if event.ok else ": did not get healthy"
                    self._set(event.host, "written", now, f"[{event.number}/{event.of}] {event.service}{word}")
                case events.GateStarted():
                    self.gate = f"gate: {event.probes} probes for {event.gate.window_s:g} s"
                case events.GateRound():
                    told = [f"{event.ok} good", f"{event.failed} failed" if event.failed else "",
                            f"{event.unknown} unknown" if event.unknown else ""]  # fmt: skip
                    counts = ", ".join(part for part in told if part)
                    self.gate = f"gate: {min(event.elapsed_s, event.window_s):.0f} of {event.window_s:g} s, {counts}"
                case events.GateEnded():
                    self.gate = f"gate: {event.verdict.outcome}"
                case events.StepDone():
                    self._set(event.host, "gated", now, "gate passed")
                case events.StepUndone():
                    self._set(event.host, "failed" if not event.ok else "written", now, f"undone: {event.why}")
                case events.HostFailed():
                    self._set(event.host, "failed", now, event.error)
                case events.HostEnded():
                    if event.ending in WELL or not self.failed(event.host):
                        well = event.ending in WELL or (event.ending == "undone" and self.title.startswith("rollback"))
                        self._set(event.host, "done" if well else "failed", now, event.ending)

    def failed(self, name: str) -> bool:
        """Whether it is told already why a host failed."""
        return name in self.hosts and self.hosts[name].state == "failed"

    def _host(self, name: str) -> HostProgress:
        return HostProgress(name, self.groups.get(name, ALONE))

    def _set(self, name: str, state: State, now: float, what: str) -> None:
        host = self.hosts.setdefault(name, self._host(name))
        if host.state == "waiting":
            host.since = now
        host.state, host.what = state, " ".join(self.mask.hide(what).split())

    def counts(self, group: str | None = None) -> Counter[State]:
        """Hosts by their state: all, or those of a group."""
        return Counter(host.state for host in self.hosts.values() if group is None or host.group == group)

    def left_s(self, now: float) -> float | None:
        """Seconds until the last host is done, if the others take as long as those did that are. None before there are any."""
        counts = self.counts()
        over = counts["done"] + counts["failed"]
        left = len(self.hosts) - over
        return (now - self.begun) * left / over if over and left else None


def grouped(hosts: Iterable[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """For each host the smallest of its groups that has more than one host. `hosts`: (name, its groups)."""
    every = list(hosts)
    sizes = Counter(group for _, groups in every for group in groups)
    return {
        name: min(
            (group for group in groups if sizes[group] > 1), key=lambda group: (sizes[group], group), default=ALONE
        )
        for name, groups in every
    }
