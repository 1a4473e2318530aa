"""A large fleet on the screen: failures host by host, all else as counts, a line each tenth of the way. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from runbooks import events

FEW = 12
"""Hosts up to which each is told of by itself."""
WELL = ("changed", "unchanged", "skipped")
QUIET = (events.StepStarted, events.FilesWritten, events.StepDone)


@dataclass
class Folded:
    """What became of a run's hosts so far. `shown`: the tenths that were told of."""

    hosts: int = 0
    read: int = 0
    written: int = 0
    bad: set[str] = field(default_factory=set)
    begun_at: float = 0.0
    shown: int = 0

    def reading(self, hosts: int, now: float) -> None:
        """So many hosts are read from `now` on."""
        self.hosts, self.read, self.begun_at = hosts, 0, now

    def folds(self, event: events.Event) -> bool:
        """Whether an event is one of many like it, that only counts."""
        if self.hosts <= FEW:
            return False
        return isinstance(event, QUIET) or (isinstance(event, events.HostEnded) and event.ending in WELL)

    def line(self, event: events.Event, now: float) -> str:
        """Takes an event in; a line for people where another tenth of the hosts is done, else nothing. `now` in seconds."""
        if isinstance(event, events.RunStarted):
            self.hosts, self.begun_at, self.shown = sum(map(len, event.batches)), now, 0
        elif isinstance(event, events.HostSurveyed):
            self.read += 1
            return self._tenth(self.read, "read", now)
        elif isinstance(event, events.FilesWritten):
            self.written += 1
            return self._tenth(self.written, "written", now)
        elif isinstance(event, events.HostFailed) or (isinstance(event, events.HostEnded) and event.ending not in WELL):
            self.bad.add(event.host)
        return ""

    def _tenth(self, count: int, word: str, now: float) -> str:
        share = 10 * count // max(1, self.hosts)
        if self.hosts <= FEW or share <= self.shown:
            return ""
        self.shown = share
        left = (now - self.begun_at) * (self.hosts - count) / count
        failed = f", {len(self.bad)} failed" if self.bad else ""
        after = f", about {left:.0f} s left" if count < self.hosts else ""
        return f"  {count} of {self.hosts} hosts {word}{failed}{after}"
