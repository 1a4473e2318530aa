"""A run as a value while it goes: who takes part, how it is carried out, how each host ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event as Flag

from inventory import fleet
from inventory.errors import RunbookError
from inventory.hooks import Hook
from inventory.values import frozen
from runbooks import batches, events
from runbooks.hostrun import HostRun
from runbooks.plan_model import Plan

FAILED, REFUSED, ROLLED_BACK, NOT_ROLLED_BACK, PAUSED, INTERRUPTED = 5, 4, 3, 6, 7, 130


@frozen
class Options:
    """How a plan is carried out. `max_fail_percentage` None: other hosts go on whatever fails (Ansible's default).

    `forks`: hosts that are worked on, and connected, at once; a batch is never larger.
    """

    serial: tuple[str, ...] = batches.DEFAULT
    max_fail_percentage: float | None = None
    gate: Mapping[str, object] = field(default_factory=dict)
    override: str = ""
    forks: int = fleet.LIMIT


@dataclass
class Run:
    """A run as it goes: who takes part, how each host ended, and when it was asked to stop.

    `closed(host)` says why a host may not be changed now (its window is over); `secrets` are what hooks are given.
    """

    id: str
    who: str
    plan: Plan
    hosts: Mapping[str, HostRun]
    options: Options
    emit: events.Sink
    stop: Flag
    endings: dict[str, events.Ending] = field(default_factory=dict)
    errors: dict[str, RunbookError] = field(default_factory=dict)
    closed: Callable[[str], RunbookError | None] = lambda _name: None
    secrets: Mapping[Hook, Mapping[str, str]] = field(default_factory=dict, repr=False)
    begun: float = field(default_factory=time.monotonic)


@frozen
class End:
    """How a batch ended the run. `code` 0: it did not."""

    outcome: events.RunOutcome
    code: int
    message: str = ""
    mend: str = ""


GOES_ON = End("done", 0)
