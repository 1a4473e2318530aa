"""Probes, samples, gates and verdicts: the values of checking. Times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from inventory.values import frozen

Outcome = Literal["pass", "fail", "inconclusive"]


@frozen
class Probe:
    """One kind of health check. `kind` is a line of the table in `checks.probes`; `settings` are that kind's own."""

    kind: str
    name: str
    service: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 5.0


@frozen
class Sample:
    """One measured answer. `ok` is None when nothing could be measured (the prober was cut off). `at` is UTC, RFC 3339.

    `latency_s` is the service's own answering time; `value` what the probe counts (connections, bytes), if anything.
    """

    probe: str
    host: str
    at: str
    ok: bool | None
    latency_s: float | None = None
    value: float | None = None
    detail: str = ""


@frozen
class Gate:
    """Probes repeated over a window. Words as in Argo Rollouts' analysis.

    `min_success` is a share of what was measured; `failure_limit` failures of one probe end the gate early (None:
    never); `min_samples` is per probe; `consecutive` good rounds must stand at the end.
    """

    window_s: float = 30.0
    interval_s: float = 2.0
    initial_delay_s: float = 0.0
    min_success: float = 0.999
    failure_limit: int | None = 1
    min_samples: int = 3
    consecutive: int = 1
    on_failure: Literal["rollback", "pause"] = "rollback"
    rollback_scope: Literal["step", "run"] = "step"


@frozen
class ProbeResult:
    """What a gate measured of one probe on one host."""

    probe: Probe
    host: str
    ok: int
    failed: int
    unknown: int
    latency_p50_s: float | None
    latency_p99_s: float | None
    last_failure: str = ""


@frozen
class Verdict:
    """How a gate ended. `reason` is one line; `seconds` how long it measured."""

    outcome: Outcome
    reason: str
    rounds: int
    seconds: float
    results: tuple[ProbeResult, ...]
