"""One round of all probes in the shape of the proposal's health endpoint (section 7.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from checks.model import Probe, Sample

COUNTED = {"postgres": "connections", "redis": "memory"}
"""kind -> the proposal's word for what it counts."""


def aggregate(probes: Sequence[Probe], samples: Sequence[Sample]) -> dict[str, Any]:
    """`{"status", "services": {name: {"status", "latency" ...}}, "timestamp"}` of one host.

    A service is unhealthy when any of its probes failed, unknown when none could be measured.
    """
    by_name = {sample.probe: sample for sample in samples}
    services: dict[str, dict[str, Any]] = {}
    for probe in probes:
        sample = by_name.get(probe.name)
        entry = services.setdefault(probe.service, {"status": "unknown"})
        if sample is None or sample.ok is None:
            continue
        if not sample.ok:
            entry["status"] = "unhealthy"
            entry["reason"] = sample.detail
        elif entry["status"] == "unknown":
            entry["status"] = "healthy"
        if sample.latency_s is not None and probe.kind != "container":
            entry["latency"] = f"{sample.latency_s * 1000:.0f}ms"
        if sample.value is not None and probe.kind in COUNTED:
            memory = COUNTED[probe.kind] == "memory"
            entry[COUNTED[probe.kind]] = f"{sample.value / (1 << 20):.0f}MB" if memory else int(sample.value)
    states = {entry["status"] for entry in services.values()}
    status = "unhealthy" if "unhealthy" in states else "unknown" if "unknown" in states or not states else "healthy"
    return {
        "status": status,
        "services": services,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def unwell(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any host's aggregate is not healthy."""
    return any(entry["status"] != "healthy" for entry in found.values())
