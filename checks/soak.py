"""Soaks: gates of hours or days, fed by ticks. What they are, which tick is due when, and what was tallied. Pure.

A tick has a number, its slot: the how-manieth interval since the soak began, by UTC. So whatever starts ticks, and
however often, a slot is filled once or missed; a clock that jumps, a machine that slept and a time zone change nothing
of what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Literal

from checks.model import Outcome, Probe
from inventory.values import frozen

State = Literal["running", "ended", "stopped"]
"""`ended`: its time was over and it was judged. `stopped`: an operator, or another run on its hosts, ended it before."""
MEASURED_EACH_S = 30.0
"""Seconds at least between two measurements (resources, start-up, breakers): asking an engine for those costs it seconds."""


@frozen
class Soak:
    """One soak. `seconds` is how long it was to take, `every_s` its interval, `target` the share of good samples.

    `run` is the run whose changes it watches, with that run's phase and promotion key; empty: none stood. `folder` is
    the inventory's and `declared` the variables that steps take, so that a tick reads no runbook. `outcome` is empty
    while it runs. Times are UTC, RFC 3339.
    """

    id: str
    environment: str
    folder: str
    declared: tuple[str, ...]
    phase: str
    run: str
    promotion_key: str
    who: str
    started: str
    seconds: float
    every_s: float
    target: float = 0.999
    state: State = "running"
    outcome: Outcome | Literal[""] = ""
    reason: str = ""
    ended: str | None = None

    @property
    def begin(self) -> datetime:
        return datetime.fromisoformat(self.started)

    @property
    def end(self) -> datetime:
        """When its time is over."""
        return self.begin + timedelta(seconds=self.seconds)

    @property
    def ticks(self) -> int:
        """How many ticks it is to have."""
        return max(1, ceil(self.seconds / self.every_s - 1e-9))

    def slot(self, at: datetime) -> float:
        """Where a time lies: 2.25 is a quarter into the slot of tick 2."""
        return (at - self.begin).total_seconds() / self.every_s

    def time_of(self, tick: int) -> datetime:
        """When a tick's slot begins."""
        return self.begin + timedelta(seconds=tick * self.every_s)

    def expected(self, at: datetime) -> int:
        """Ticks that should have been made by a time: those whose slots are over, and no more than it is to have."""
        over = self.ended_at or at
        return max(0, min(self.ticks, int(self.slot(over))))

    @property
    def ended_at(self) -> datetime | None:
        return datetime.fromisoformat(self.ended) if self.ended else None

    @property
    def measured_each(self) -> int:
        """A probe that measures is asked in each so-manieth tick."""
        return max(1, ceil(MEASURED_EACH_S / self.every_s - 1e-9))


@frozen
class Series:
    """One probe on one host in one soak. `id` is the store's."""

    id: int
    soak: str
    host: str
    project: str
    probe: Probe


@frozen
class Tick:
    """One round over all hosts. `made` None: it was begun, and never ended (killed), so nothing of it counts."""

    soak: str
    number: int
    began: str
    made: str | None
    by: str = ""


@frozen
class Tally:
    """What one series came to. `latencies` is microseconds -> how many good or bad answers took that long.

    `valued`, `total`, `lowest`, `highest`, `last` are of the values that it measured; `rises` is by how much a counter
    rose in all, whatever restarted it meanwhile.
    """

    ok: int = 0
    failed: int = 0
    unknown: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)
    valued: int = 0
    total: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    last: float | None = None
    rises: float = 0.0

    @property
    def measured(self) -> int:
        return self.ok + self.failed

    @property
    def mean(self) -> float | None:
        return self.total / self.valued if self.valued else None


@frozen
class Incident:
    """A run of failed samples of one series, by tick numbers: the first and last failed, and the first good one after.

    Missed ticks and unknown samples neither end it nor make it longer. `good` None: it goes on.
    """

    series: int
    first: int
    last: int
    failures: int
    good: int | None = None
    detail: str = ""


def due(soak: Soak, at: datetime, taken: frozenset[int], last_began: datetime | None) -> int | None:
    """The slot that a tick at a time fills; None: none is due.

    The slot of its time; where that one is `taken` and the time is within its last quarter, the next; where the one
    before is free and the time is within the first quarter, that one. So a timer that ticks now a little early, now a
    little late leaves no slot empty. A tick that begins within half an interval of the last one is none: that is the
    same tick started twice, or a clock that was set back.
    """
    place = soak.slot(at)
    number, part = int(place // 1), place % 1
    if at < soak.begin - timedelta(seconds=soak.every_s) or number > soak.ticks:
        return None
    if last_began is not None and (at - last_began).total_seconds() < soak.every_s / 2:
        return None
    if part < 0.25 and number - 1 >= 0 and number - 1 not in taken and number - 1 < soak.ticks:
        return number - 1
    if number not in taken and 0 <= number < soak.ticks:
        return number
    if part > 0.75 and 0 <= number + 1 < soak.ticks and number + 1 not in taken:
        return number + 1
    return None


def now() -> datetime:
    """The time as soaks count it."""
    return datetime.now(UTC)
