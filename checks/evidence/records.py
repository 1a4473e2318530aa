"""What the store holds of runs: one row each. Times are UTC, RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.values import frozen


@frozen
class RunRecord:
    """One run. `ended` None: it was cut off, or goes on. `override`: why it went on without the soak that it needed."""

    id: str
    kind: str
    environment: str
    phase: str
    who: str
    fingerprint: str
    promotion_key: str
    started: str
    ended: str | None
    outcome: str
    code: int | None
    message: str
    hosts: Mapping[str, str]
    undoes: str
    steps: str = ""
    override: str = ""


@frozen
class GateRecord:
    """One gate of a run. `side` is `change` or `undo`; counts are of samples, over all hosts and rounds."""

    run: str
    at: str
    steps: str
    side: str
    outcome: str
    reason: str
    ok: int
    failed: int
    unknown: int
    seconds: float


@frozen
class StepRecord:
    """Steps that a run applied on a host (`done`), undid (`undone`), or could not undo (`stands`)."""

    run: str
    at: str
    host: str
    steps: str
    outcome: str
    seconds: float
    detail: str = ""


@frozen
class UpRecord:
    """A service that a run brought up: seconds from the order to its first healthy answer, or until it was given up."""

    run: str
    at: str
    host: str
    service: str
    ok: bool
    seconds: float
