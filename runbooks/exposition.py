"""What the store holds of each environment's newest soak, as metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from checks import soak as soaks
from checks.assess import Assessment
from checks.evidence import Soaks, Store
from checks.evidence.latest import latest
from checks.probes import KINDS
from checks.soak import Soak
from inventory.secrets import Mask
from runbooks import soaking
from runbooks.monitors import METRICS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

Row = tuple[str, Mapping[str, str], float]
"""A metric's name, its labels, its value."""
PERCENTILES = (("50", "p50_s"), ("95", "p95_s"), ("99", "p99_s"))


class Exposition:
    """A collector: every scrape reads the store, which `opened` gives, anew."""

    def __init__(self, opened: Callable[[], Store], mask: Mask) -> None:
        self._opened, self._mask = opened, mask

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, (kind, text, labels) in METRICS.items():
            family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            families[name] = family(name, text, labels=["environment", "soak", *labels])
        store = self._opened()
        try:
            for name, own, value in rows(store):
                names = ("environment", "soak", *METRICS[name][2])
                families[name].add_metric([self._mask.hide(own[each]) for each in names], value)
        finally:
            store.close()
        yield from families.values()


def registry(opened: Callable[[], Store], mask: Mask) -> CollectorRegistry:
    """A registry of these metrics alone: nothing about this program itself."""
    from prometheus_client import CollectorRegistry

    made = CollectorRegistry(auto_describe=False)
    made.register(Exposition(opened, mask))
    return made


def rows(store: Store) -> Iterator[Row]:
    """Every metric of the newest soak of each environment."""
    newest: dict[str, Soak] = {}
    for soak in Soaks(store).all():
        newest.setdefault(soak.environment, soak)
    for soak in newest.values():
        # A scrape only reads: whose time is over is ended, and told of, by whoever ticks or asks.
        found = soaking.assessed(store, soak, soak.ended_at or min(soaks.now(), soak.end))
        common = {"environment": soak.environment, "soak": soak.id}
        for name, labels, value in [*_soak(store, found), *_probes(store, found), *_starts(store, soak)]:
            yield name, {**common, **labels}, value


def _soak(store: Store, found: Assessment) -> Iterator[Row]:
    soak = found.soak
    if found.success is not None:
        yield "runbook_soak_success_ratio", {}, found.success
        yield "runbook_soak_success_lower_ratio", {}, found.lower
    yield "runbook_soak_target_ratio", {}, soak.target
    yield "runbook_soak_coverage_ratio", {}, found.coverage
    yield "runbook_soak_ticks_total", {"result": "made"}, found.made
    yield "runbook_soak_ticks_total", {"result": "missed"}, found.missed
    yield "runbook_soak_running", {}, float(soak.state == "running")
    for outcome in ("pass", "fail", "inconclusive"):
        yield "runbook_soak_outcome", {"outcome": outcome}, float(found.outcome == outcome)
    made = [tick.made for tick in Soaks(store).ticks(soak.id, newest=3) if tick.made]
    if made:
        yield "runbook_soak_last_tick_timestamp_seconds", {}, datetime.fromisoformat(made[-1]).timestamp()


def _probes(store: Store, found: Assessment) -> Iterator[Row]:
    now = latest(store, [row.series for row in found.probes])
    for row in found.probes:
        series, probe, last = row.series, row.series.probe, now.get(row.series.id)
        place = {"host": series.host, "service": probe.service}
        own = {**place, "probe": probe.name}
        value = last.value if last else None
        if not KINDS[probe.kind].measures:
            if last and last.ok is not None:
                yield "runbook_probe_ok", {**own, "kind": probe.kind}, float(last.ok)
            for result, count in (("good", row.tally.ok), ("bad", row.tally.failed), ("unknown", row.tally.unknown)):
                yield "runbook_probe_samples_total", {**own, "kind": probe.kind, "result": result}, count
            for percentile, name in PERCENTILES:
                if (seconds := getattr(row, name)) is not None:
                    yield "runbook_probe_latency_seconds", {**own, "percentile": percentile}, seconds
        if value is None:
            continue
        if probe.kind == "startup":
            yield "runbook_startup_seconds", place, value
        elif probe.kind == "resources":
            resource = str(probe.settings.get("of", "cpu"))
            yield "runbook_resource_utilisation_ratio", {**place, "resource": resource}, value / 100
        elif probe.kind == "cache" and probe.settings.get("of") == "hits":
            yield "runbook_cache_hit_ratio", place, value / 100
        elif probe.kind == "cache" and probe.settings.get("of") == "invalidation":
            yield "runbook_cache_invalidation_seconds", place, value / 1000
        elif probe.kind == "breaker":
            yield "runbook_breaker_trips_total", place, row.tally.rises
        elif probe.kind == "pgbouncer" and probe.settings.get("pool"):
            yield "runbook_pool_utilisation_ratio", place, value / 100


def _starts(store: Store, soak: Soak) -> Iterator[Row]:
    """How long services took when the environment's newest run brought them up."""
    for run in store.runs(environment=soak.environment, limit=20):
        ups = {(up.host, up.service): up.seconds for up in store.ups(run.id) if up.ok}
        if ups:
            for (host, service), seconds in ups.items():
                yield "runbook_run_startup_seconds", {"host": host, "service": service}, seconds
            return
