"""The proposal's five metrics and its five dashboards, in one table: from it come the rules of Prometheus and the dashboards.

A metric that is renamed here is renamed in all of them; tests hold the files in `monitoring/` to what this makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.values import frozen

METRICS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "runbook_probe_ok": ("gauge", "1: the newest sample of a probe was good, 0: it was bad. Absent: not known.", ("host", "service", "probe", "kind")),
    "runbook_probe_samples_total": ("counter", "Samples of a probe, by result: good, bad or unknown.", ("host", "service", "probe", "kind", "result")),
    "runbook_probe_latency_seconds": ("gauge", "Answering times of a probe over the soak, by percentile.", ("host", "service", "probe", "percentile")),
    "runbook_soak_success_ratio": ("gauge", "Share of good health samples over the soak.", ()),
    "runbook_soak_success_lower_ratio": ("gauge", "One-sided 95 % lower bound of that share.", ()),
    "runbook_soak_target_ratio": ("gauge", "Share of good samples that the soak must be shown to exceed.", ()),
    "runbook_soak_coverage_ratio": ("gauge", "Share of the health samples that should have been measured and were.", ()),
    "runbook_soak_ticks_total": ("counter", "Ticks of the soak, by result: made or missed.", ("result",)),
    "runbook_soak_running": ("gauge", "1 while the soak runs.", ()),
    "runbook_soak_outcome": ("gauge", "1 for the verdict so far: pass, fail or inconclusive.", ("outcome",)),
    "runbook_soak_last_tick_timestamp_seconds": ("gauge", "When the newest tick was made.", ()),
    "runbook_startup_seconds": ("gauge", "Seconds from a container's start to its first passed check, as last seen.", ("host", "service")),
    "runbook_run_startup_seconds": ("gauge", "Seconds in which the last run brought a service up.", ("host", "service")),
    "runbook_pool_utilisation_ratio": ("gauge", "Share of the pooler's server connections in use.", ("host", "service")),
    "runbook_resource_utilisation_ratio": ("gauge", "Share of its limit that a service uses.", ("host", "service", "resource")),
    "runbook_cache_hit_ratio": ("gauge", "Share of the reads of a shared cache that hit, within the minute before the newest tick.", ("host", "service")),
    "runbook_cache_invalidation_seconds": ("gauge", "How long the newest invalidation of a shared cache took to arrive.", ("host", "service")),
    "runbook_breaker_trips_total": ("counter", "How often a circuit breaker has opened.", ("host", "service")),
}  # fmt: skip
"""name -> (type, help, labels beside environment and soak)."""


@frozen
class Panel:
    """One panel: `exprs` maps a legend to PromQL. `unit` is Grafana's; `low` and `high` bound the target."""

    title: str
    exprs: Mapping[str, str]
    kind: str = "timeseries"
    unit: str = "short"
    low: float | None = None
    high: float | None = None
    wide: int = 12


@frozen
class Alert:
    """One alerting rule. `patience_s`: how long it must hold."""

    name: str
    expr: str
    patience_s: float
    severity: str
    summary: str


@frozen
class Monitor:
    """One of the five: its recording rules (name -> PromQL), its alerts, and its dashboard's panels."""

    uid: str
    title: str
    records: Mapping[str, str]
    alerts: tuple[Alert, ...]
    panels: tuple[Panel, ...]


BY_HOST = "{{host}} {{service}}"
_E = '{environment=~"$environment"}'
MONITORS: tuple[Monitor, ...] = (
    Monitor(
        "runbook-health", "Service health overview",
        {"runbook:health_success:ratio_1h": 'sum by (environment) (increase(runbook_probe_samples_total{result="good"}[1h])) / sum by (environment) (increase(runbook_probe_samples_total{result=~"good|bad"}[1h]))',
         "runbook:services_down:count": "count by (environment) (min by (environment, host, service) (runbook_probe_ok) == 0) or 0 * count by (environment) (runbook_probe_ok)"},
        (Alert("RunbookServiceDown", "min by (environment, host, service) (runbook_probe_ok) == 0", 60, "critical", "{{ $labels.service }} on {{ $labels.host }} fails its probes"),
         Alert("RunbookHealthBelowTarget", "runbook:health_success:ratio_1h < 0.999", 300, "warning", "under 99.9 % of the last hour's samples of {{ $labels.environment }} are good"),
         Alert("RunbookSoakFailing", 'runbook_soak_outcome{outcome="fail"} == 1', 0, "critical", "the soak of {{ $labels.environment }} fails"),
         Alert("RunbookSoakNotTicked", "runbook_soak_running == 1 and time() - runbook_soak_last_tick_timestamp_seconds > 900", 300, "warning", "nothing has ticked the soak of {{ $labels.environment }} for 15 minutes")),
        (Panel("Services down", {"{{environment}}": f"runbook:services_down:count{_E}"}, "stat", wide=4, high=0.5),
         Panel("Success over the soak", {"{{environment}}": f"runbook_soak_success_ratio{_E}"}, "stat", "percentunit", 0.999, wide=4),
         Panel("Coverage", {"{{environment}}": f"runbook_soak_coverage_ratio{_E}"}, "stat", "percentunit", 0.9, wide=4),
         Panel("Success of the last hour", {"{{environment}}": f"runbook:health_success:ratio_1h{_E}"}, unit="percentunit", low=0.999),
         Panel("Services", {BY_HOST: f"min by (host, service) (runbook_probe_ok{_E})"}, "state-timeline"),
         Panel("Answering times, 95th percentile", {BY_HOST: 'runbook_probe_latency_seconds{environment=~"$environment", percentile="95"}'}, unit="s", wide=24)),
    ),
    Monitor(
        "runbook-resources", "Resource utilization",
        {"runbook:resource_utilisation:ratio": "avg by (environment, resource) (runbook_resource_utilisation_ratio)"},
        (Alert("RunbookResourceNearLimit", "runbook_resource_utilisation_ratio > 0.95", 600, "warning", "{{ $labels.service }} on {{ $labels.host }} uses over 95 % of its {{ $labels.resource }} limit"),),
        (Panel("All services", {"{{resource}}": f"runbook:resource_utilisation:ratio{_E}"}, unit="percentunit", low=0.6, high=0.8),
         Panel("CPU, by service", {BY_HOST: 'runbook_resource_utilisation_ratio{environment=~"$environment", resource="cpu"}'}, unit="percentunit", low=0.6, high=0.8),
         Panel("Memory, by service", {BY_HOST: 'runbook_resource_utilisation_ratio{environment=~"$environment", resource="memory"}'}, unit="percentunit", low=0.6, high=0.8),
         Panel("Shared cache, reads that hit", {BY_HOST: f"runbook_cache_hit_ratio{_E}"}, unit="percentunit"),
         Panel("Shared cache, time of an invalidation", {BY_HOST: f"runbook_cache_invalidation_seconds{_E}"}, unit="s", wide=24)),
    ),
    Monitor(
        "runbook-pools", "Connection pool metrics",
        {"runbook:pool_utilisation:ratio": "avg by (environment) (runbook_pool_utilisation_ratio)"},
        (Alert("RunbookPoolExhausted", "runbook_pool_utilisation_ratio >= 1", 120, "critical", "the pool of {{ $labels.service }} on {{ $labels.host }} is used up: clients wait"),
         Alert("RunbookPoolAboveTarget", "runbook:pool_utilisation:ratio > 0.8", 900, "warning", "the pools of {{ $labels.environment }} are used above 80 %")),
        (Panel("Utilisation", {"{{environment}}": f"runbook:pool_utilisation:ratio{_E}"}, unit="percentunit", low=0.6, high=0.8),
         Panel("By pooler", {BY_HOST: f"runbook_pool_utilisation_ratio{_E}"}, unit="percentunit", low=0.6, high=0.8),
         Panel("Poolers that answer", {BY_HOST: 'runbook_probe_ok{environment=~"$environment", kind="pgbouncer"}'}, "state-timeline", wide=24)),
    ),
    Monitor(
        "runbook-breakers", "Circuit breaker status",
        {"runbook:breaker_trips:increase_1d": "sum by (environment) (increase(runbook_breaker_trips_total[1d]))"},
        (Alert("RunbookBreakerTripped", "increase(runbook_breaker_trips_total[10m]) > 0", 0, "warning", "a circuit breaker of {{ $labels.service }} on {{ $labels.host }} has opened"),
         Alert("RunbookBreakerTripsAboveTarget", "runbook:breaker_trips:increase_1d >= 1", 0, "warning", "circuit breakers of {{ $labels.environment }} opened once or more in a day")),
        (Panel("Trips of the last day", {"{{environment}}": f"runbook:breaker_trips:increase_1d{_E}"}, "stat", high=1.0, wide=6),
         Panel("Trips", {BY_HOST: f"runbook_breaker_trips_total{_E}"}, wide=18)),
    ),
    Monitor(
        "runbook-startup", "Startup time trends",
        {"runbook:startup:seconds_max": "max by (environment) (runbook_startup_seconds or runbook_run_startup_seconds)"},
        (Alert("RunbookStartupSlow", "runbook:startup:seconds_max >= 300", 0, "warning", "a service of {{ $labels.environment }} took 5 minutes or more to start"),),
        (Panel("The slowest start", {"{{environment}}": f"runbook:startup:seconds_max{_E}"}, unit="s", high=300.0),
         Panel("By service, as last seen", {BY_HOST: f"runbook_startup_seconds{_E}"}, unit="s", high=300.0),
         Panel("By service, in the last run", {BY_HOST: f"runbook_run_startup_seconds{_E}"}, "bargauge", "s", high=300.0, wide=24)),
    ),
)  # fmt: skip
"""The proposal's five dashboards, in its order."""


def rules(*, patience: float = 1.0) -> dict[str, Any]:
    """The file of rules for Prometheus. `patience` multiplies how long an alert must hold, for who tries them."""
    groups = []
    for monitor in MONITORS:
        records = [{"record": name, "expr": expr} for name, expr in monitor.records.items()]
        alerts = [
            {"alert": each.name, "expr": each.expr, "for": f"{each.patience_s * patience:.0f}s", "labels": {"severity": each.severity},
             "annotations": {"summary": each.summary}}
            for each in monitor.alerts
        ]  # fmt: skip
        groups.append({"name": monitor.uid, "rules": [*records, *alerts]})
    return {"groups": groups}


def dashboard(monitor: Monitor) -> dict[str, Any]:
    """One dashboard, as Grafana 10 and later import it."""
    panels, column, row = [], 0, 0
    for number, panel in enumerate(monitor.panels, 1):
        if column + panel.wide > 24:
            column, row = 0, row + 8
        panels.append(_panel(number, panel, column, row))
        column += panel.wide
    return {
        "uid": monitor.uid, "title": f"Compose Runbook: {monitor.title}", "tags": ["compose-runbook"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-48h", "to": "now"}, "timezone": "utc",
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
            {"name": "environment", "type": "query", "datasource": DATASOURCE, "query": "label_values(runbook_soak_running, environment)",
             "refresh": 2, "includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"}},
        ]},
        "links": [{"type": "dashboards", "tags": ["compose-runbook"], "title": "Compose Runbook", "asDropdown": True}],
        "panels": panels,
    }  # fmt: skip


DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
        for place, (legend, expr) in enumerate(panel.exprs.items())
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": _steps(panel)}}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "thresholdsStyle": {"mode": "area" if panel.low or panel.high else "off"},
            "fillOpacity": 5,
        }
    if panel.kind == "state-timeline":
        words = {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}}
        defaults["mappings"] = [{"type": "value", "options": words}]
    return {
        "id": number, "title": panel.title, "type": panel.kind, "datasource": DATASOURCE, "targets": targets,
        "gridPos": {"x": x, "y": y, "w": panel.wide, "h": 8}, "fieldConfig": {"defaults": defaults, "overrides": []},
    }  # fmt: skip


def _steps(panel: Panel) -> list[dict[str, Any]]:
    """Green within the target, red or yellow beyond it."""
    if panel.low is None and panel.high is None:
        return [{"color": "green", "value": None}]
    band = panel.low is not None and panel.high is not None
    steps: list[dict[str, Any]] = [
        {"color": "yellow" if band else "red" if panel.low is not None else "green", "value": None}
    ]
    if panel.low is not None:
        steps.append({"color": "green", "value": panel.low})
    if panel.high is not None:
        steps.append({"color": "red", "value": panel.high})
    return steps
