"""What happens in a run, as values: the runner emits them, and sinks (screen, JSON lines, journal, store) take them.

An event says what happened, never how it is shown. Every text in it may hold a secret until a sink has passed it
through the Mask. Times: `at` is UTC in RFC 3339, everything else in seconds.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Literal

from checks.model import Gate, Outcome, Verdict
from inventory.values import frozen

RunKind = Literal["migrate", "rollback", "check"]
RunOutcome = Literal["done", "nothing", "gate failed", "rollback failed", "inconclusive", "refused", "failed", "interrupted"]  # fmt: skip
Ending = Literal["changed", "unchanged", "undone", "failed", "paused", "skipped", "stands"]
"""How a run left a host. `stands`: what was written could not be undone, and stands as the message says."""


def now() -> str:
    """The time as events carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@frozen(kw_only=True)
class Event:
    """What every event has: when it happened, by the controller's clock."""

    at: str = field(default_factory=now)


Sink = Callable[[Event], None]
"""Takes each event of a run, in order. May be called from several threads."""


@frozen(kw_only=True)
class RunStarted(Event):
    """`batches` are the hosts' names in the order in which they are worked on.

    `override`: the reason for which the operator passed over what the inventory asks for (windows, soaks).
    """

    run: str
    kind: RunKind
    environment: str
    who: str
    batches: tuple[tuple[str, ...], ...]
    phase: str = ""
    steps: tuple[str, ...] = ()
    fingerprint: str = ""
    promotion_key: str = ""
    override: str = ""


@frozen(kw_only=True)
class BatchStarted(Event):
    """`number` counts from 1."""

    number: int
    of: int
    hosts: tuple[str, ...]


@frozen(kw_only=True)
class HostEvent(Event):
    """An event of one host."""

    host: str


@frozen(kw_only=True)
class HostSurveyed(HostEvent):
    """A host was read, and what there is to do on it: files that change, services that are brought up again."""

    project: str
    services: int
    files: tuple[str, ...]
    restarts: tuple[str, ...]
    seconds: float
    exchanges: int


@frozen(kw_only=True)
class Noted(HostEvent):
    """Something that an operator should know; `attention`: must read."""

    text: str
    attention: bool = False


@frozen(kw_only=True)
class HookRan(HostEvent):
    """A hook of the inventory ran, before or after a batch. `detail`: why it failed; `stops`: that ends the run.

    `host` is "the controller" for one that ran there.
    """

    when: str
    name: str
    command: str
    ok: bool
    seconds: float
    detail: str = ""
    output: str = ""
    stops: bool = True


@frozen(kw_only=True)
class StepStarted(HostEvent):
    """Steps that stand together begin on a host. `number` counts from 1; `services` are brought up in this order."""

    steps: tuple[str, ...]
    number: int
    of: int
    risk: str
    files: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    expected_s: float = 0.0


@frozen(kw_only=True)
class FilesWritten(HostEvent):
    """A transaction was committed; `snapshot` brings back what was there before."""

    steps: tuple[str, ...]
    snapshot: str
    paths: tuple[str, ...]
    seconds: float


@frozen(kw_only=True)
class ServiceUp(HostEvent):
    """One service was brought up, or not. `number` of `of` counts from 1; `output` is Compose's own words when it failed."""

    service: str
    number: int
    of: int
    ok: bool
    seconds: float
    expected_s: float = 0.0
    output: str = ""


@frozen(kw_only=True)
class GateStarted(Event):
    """A gate begins over the hosts of a batch. `probes` counts all of them, over all hosts."""

    steps: tuple[str, ...]
    hosts: tuple[str, ...]
    gate: Gate
    probes: int
    after: Literal["change", "undo"] = "change"


@frozen
class Failing:
    """A probe that failed in a round, or could not be measured (`unknown`)."""

    host: str
    probe: str
    detail: str
    unknown: bool = False


@frozen(kw_only=True)
class GateRound(Event):
    """One round of all probes. `number` counts from 1; `elapsed_s` since the gate began."""

    steps: tuple[str, ...]
    number: int
    elapsed_s: float
    window_s: float
    ok: int
    failed: int
    unknown: int
    failing: tuple[Failing, ...] = ()


@frozen
class Symptom:
    """What a failing service itself says: its health log's last entries, its last log lines, its state."""

    host: str
    service: str
    state: str = ""
    health_log: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


@frozen(kw_only=True)
class GateEnded(Event):
    """A gate's verdict, with the symptoms of what failed."""

    steps: tuple[str, ...]
    hosts: tuple[str, ...]
    verdict: Verdict
    symptoms: tuple[Symptom, ...] = ()
    after: Literal["change", "undo"] = "change"


@frozen(kw_only=True)
class StepDone(HostEvent):
    """Steps were applied on a host and their gate passed."""

    steps: tuple[str, ...]
    seconds: float


@frozen(kw_only=True)
class StepUndone(HostEvent):
    """Steps were undone on a host, or could not be (`ok` False, `detail` says what stands where)."""

    steps: tuple[str, ...]
    snapshot: str
    paths: tuple[str, ...]
    why: str
    ok: bool
    seconds: float
    detail: str = ""


@frozen(kw_only=True)
class HostFailed(HostEvent):
    """A host drops out of the run: unreachable, refused, or a program on it failed. `code` as in the error tree."""

    error: str
    mend: str = ""
    code: int = 5
    steps: tuple[str, ...] = ()


@frozen(kw_only=True)
class HostEnded(HostEvent):
    """How the run left a host. `head` is the hash of the last line of its project's journal, where it could be had."""

    ending: Ending
    seconds: float
    detail: str = ""
    project: str = ""
    head: str = ""


@frozen(kw_only=True)
class RunEnded(Event):
    """The end of a run. `hosts` says how each was left; `code` is the exit code; `mend` what to do next."""

    run: str
    outcome: RunOutcome
    code: int
    hosts: Mapping[str, Ending]
    seconds: float
    message: str = ""
    mend: str = ""


@frozen(kw_only=True)
class SoakEnded(Event):
    """A soak has its verdict. `run` is the run whose changes it watched; `details` are lines of what stood out."""

    soak: str
    environment: str
    outcome: Outcome
    reason: str
    run: str = ""
    phase: str = ""
    details: tuple[str, ...] = ()


def fan_out(*sinks: Sink) -> Sink:
    """A sink that hands each event to several, in their order."""

    def hand(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return hand


def name(event: Event) -> str:
    """The event's name in JSON: `service_up` for ServiceUp."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def as_json(event: Event) -> dict[str, Any]:
    """The event as plain data, its name first. Not masked: a sink does that to the text that it writes."""
    return {"event": name(event), **dataclasses.asdict(event)}
