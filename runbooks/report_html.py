"""A soak's report as one HTML file that needs nothing else: no script, no font, no address. Charts are SVG made here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from checks.assess import Assessment, ProbeRow, percent
from checks.metrics import Metric
from checks.probes import KINDS
from checks.report import Bar, Curve, Report, Span
from inventory.secrets import Mask
from inventory.values import frozen
from runbooks import screen_soak
from runbooks.promotion import moment

WIDTH, HEIGHT = 1000.0, 100.0
"""A chart's own units; the page stretches it to whatever room there is."""
MARKS = 5
FEW = 8
"""Points up to which each is marked: so few make no line."""
WORDS = {"pass": "passed", "fail": "failed", "inconclusive": "is inconclusive"}


@frozen
class Chart:
    """A curve, drawn: paths in the chart's units, its target as a band from `top` down, and what its axis says.

    `held`: from the last point on, where what was measured goes on until something is started anew.
    """

    line: str
    held: str
    area: str
    dots: tuple[tuple[float, float, str, str], ...]
    top: float
    band: float
    highest: str
    lowest: str
    aria: str


def page(report: Report, overrides: screen_soak.Overrides, mask: Mask, *, made: datetime | None = None) -> str:
    """The whole file. Everything in it went through the Mask, and every text through the template's escaping."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = report.found
    soak = found.soak
    content = {
        "verdict": WORDS[found.outcome] if soak.outcome or found.outcome == "fail" else "is running",
        "outcome": found.outcome, "environment": soak.environment, "reason": found.reason, "still": _still(found),
        "facts": _facts(found), "identity": _identity(found, made or datetime.now(UTC)), "overrides": [{"run": run, "reason": reason} for run, reason in overrides],
        "metrics": [_metric(curve, report) for curve in report.curves],
        "lanes": _lanes(report), "marks": _marks(report.begin, report.end, soak.begin), "soak_marks": _marks(0.0, report.end, soak.begin),
        "hosts": _hosts(found), "incidents": _incidents(found), "more_incidents": max(0, len(found.incidents) - LISTED),
        "starts": _starts(report), "confidence": _confidence(found),
    }  # fmt: skip
    return environment.get_template("report.html.j2").render(mask.hide_in(content))


LISTED = 100


def _still(found: Assessment) -> str:
    if found.soak.outcome:
        return ""
    return f"It runs until {moment(found.soak.end)}{screen_soak.outlook(found)}."


def _confidence(found: Assessment) -> str:
    if not found.measured:
        return "Nothing was measured."
    more = (
        f" {found.needed} more good samples are needed to claim more than {percent(found.soak.target)}."
        if found.needed
        else ""
    )
    return (
        f"{found.good} of {found.measured} health samples were good. With 95 % confidence at least {percent(found.lower)} are, "
        f"if samples are independent; failures in a row are listed as incidents below.{more}"
    )


def _facts(found: Assessment) -> list[tuple[str, str]]:
    """What a reader wants to know at once."""
    soak = found.soak
    hosts = {row.series.host for row in found.probes}
    return [
        ("watched from", moment(soak.begin)), ("to", moment(soak.ended_at or soak.end)),
        ("change", f"phase {soak.phase}" if soak.run else "none that was made from here"),
        ("asked", f"{len(found.probes)} probes on {len(hosts)} host(s), each {soak.every_s:g} s"),
        ("ticks", f"{found.made} of {found.expected}, coverage {percent(found.coverage)}"),
        ("incidents", str(len(found.incidents))),
    ]  # fmt: skip


def _identity(found: Assessment, made: datetime) -> list[tuple[str, str]]:
    """By what this soak and its change can be found again."""
    soak = found.soak
    return [
        ("run", soak.run or "-"), ("promotion key", soak.promotion_key[:12] or "-"), ("soak", soak.id), ("started by", soak.who),
        ("this page", f"made {made.astimezone(UTC):%Y-%m-%d %H:%M} UTC"),
    ]  # fmt: skip


def _metric(curve: Curve, report: Report) -> dict[str, Any]:
    metric = curve.metric
    verdict = "advice" if metric.verdict == "missed" and not metric.decides else metric.verdict
    return {
        "title": metric.title, "target": metric.target, "verdict": verdict, "said": metric.said,
        "value": "-" if metric.value is None else _value(metric), "unit": metric.unit if metric.value is not None else "",
        "chart": _chart(curve, report.end) if curve.spans else None,
    }  # fmt: skip


def _value(metric: Metric) -> str:
    """A metric's value, rounded as its words are; a share that is not 100 % is never told as that."""
    value = metric.value or 0.0
    if metric.name == "health":
        return percent(value / 100).removesuffix(" %")
    return f"{value:.0f}" if metric.unit == "%" else _number(value)


def _number(value: float) -> str:
    """As many digits as a reader compares."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _chart(curve: Curve, length: float) -> Chart:
    metric, spans = curve.metric, curve.spans
    low, high = _range(metric, spans)

    def x(at: float) -> float:
        return round(WIDTH * at / length, 1)

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (min(max(value, low), high) - low) / (high - low)), 1)

    line = "M" + " L".join(f"{x(span.at)},{y(span.mid)}" for span in spans)
    upper = [f"{x(span.at)},{y(span.high)}" for span in spans]
    lower = [f"{x(span.at)},{y(span.low)}" for span in reversed(spans)]
    band_high, band_low = (
        y(metric.high if metric.high is not None else high),
        y(metric.low if metric.low is not None else low),
    )
    outside = [span for span in spans if not _within(metric, span.mid)]
    unit = "" if metric.name == "breakers" else f" {metric.unit}"
    dots = tuple(
        (x(span.at), y(span.mid), f"{_number(span.mid)}{unit}", "out" if span in outside else "in")
        for span in (spans if len(spans) < FEW else outside)[:400]
    )
    last = spans[-1]
    held = f"M{x(last.at)},{y(last.mid)} H{WIDTH:g}" if metric.name == "startup" else ""
    return Chart(
        line, held, f"M{' L'.join([*upper, *lower])} Z", dots, band_high, max(0.5, band_low - band_high), f"{_number(high)}{unit}",
        f"{_number(low)}{unit}", f"{metric.title} over time, target {metric.target}: {metric.said}",
    )  # fmt: skip


def _within(metric: Metric, value: float) -> bool:
    return (metric.low is None or value >= metric.low) and (metric.high is None or value <= metric.high)


def _range(metric: Metric, spans: Sequence[Span]) -> tuple[float, float]:
    """What the vertical axis goes from and to."""
    lowest, highest = min(span.low for span in spans), max(span.high for span in spans)
    if metric.name == "health":
        return min(99.5, max(0.0, min(span.mid for span in spans) - 0.5)), 100.0
    if metric.name in ("pool", "resources"):
        return 0.0, max(100.0, highest)
    limit = metric.high or 1.0
    return min(0.0, lowest), 1.15 * max(limit, highest)


def _lanes(report: Report) -> list[dict[str, Any]]:
    """The timeline: runs, their steps and gates, then each host's incidents, then what was not asked."""
    length = max(1e-9, report.end - report.begin)
    order = {"runs": 0, "steps": 1, "gates": 2, "not asked": 9}
    lanes: dict[str, list[Bar]] = {host: [] for host in dict.fromkeys(row.series.host for row in report.found.probes)}
    for bar in report.bars:
        lanes.setdefault(bar.lane, []).append(bar)
    begin = report.found.soak.begin
    return [
        {
            "name": name,
            "bars": [
                {"left": 100 * (bar.begin - report.begin) / length, "width": max(0.0, 100 * (bar.end - bar.begin) / length), "kind": bar.kind,
                 "title": f"{begin + timedelta(seconds=bar.begin):%m-%d %H:%M:%S} {bar.title}"}
                for bar in bars[:1000]
            ],
        }
        for name, bars in sorted(lanes.items(), key=lambda lane: order.get(lane[0], 5))
    ]  # fmt: skip


FORMS = ((4 * 86_400.0, "%m-%d"), (86_400.0, "%a %H:%M"), (600.0, "%H:%M"), (-1.0, "%H:%M:%S"))
"""Seconds that a time axis is longer than, and how it tells its times."""


def _marks(begin: float, end: float, start: datetime) -> list[str]:
    """What a time axis says, at even distances."""
    length = end - begin
    form = next(form for least, form in FORMS if length > least)
    return [f"{start + timedelta(seconds=begin + length * number / (MARKS - 1)):{form}}" for number in range(MARKS)]


def _hosts(found: Assessment) -> list[dict[str, Any]]:
    hosts: dict[str, list[ProbeRow]] = {}
    for row in found.probes:
        hosts.setdefault(row.series.host, []).append(row)
    shown = []
    for name, rows in hosts.items():
        health = [row for row in rows if not KINDS[row.series.probe.kind].measures]
        good, measured = sum(row.tally.ok for row in health), sum(row.tally.measured for row in health)
        ranked = sorted(health, key=lambda row: (not row.under, row.success if row.success is not None else 2.0))
        shown.append({
            "name": name, "under": any(row.under for row in health), "failed": measured - good,
            "said": f"{percent(good / measured)} good, {len(health)} probes" if measured else "nothing was measured",
            "probes": [_probe(row) for row in ranked],
            "measured": [_measure(row) for row in rows if KINDS[row.series.probe.kind].measures and row.tally.mean is not None],
        })  # fmt: skip
    return shown


def _probe(row: ProbeRow) -> dict[str, Any]:
    def time(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"

    state = "bad" if row.under else "note" if row.tally.failed or row.coverage < 0.9 else "good"
    return {
        "name": row.series.probe.name, "state": state, "good": f"{row.tally.ok} of {row.tally.measured}",
        "success": "-" if row.success is None else percent(row.success), "range": f"{percent(row.lower)} to {percent(row.upper)}",
        "coverage": percent(row.coverage), "p50": time(row.p50_s), "p95": time(row.p95_s), "p99": time(row.p99_s),
    }  # fmt: skip


def _measure(row: ProbeRow) -> dict[str, Any]:
    tally = row.tally
    unit = {"startup": " s", "resources": " %", "pgbouncer": " %"}.get(row.series.probe.kind, "")
    figures = {"mean": tally.mean, "lowest": tally.lowest, "highest": tally.highest}
    return {
        "name": row.series.probe.name,
        **{name: "-" if value is None else f"{_number(value)}{unit}" for name, value in figures.items()},
    }


def _incidents(found: Assessment) -> list[dict[str, Any]]:
    series = {row.series.id: row.series for row in found.probes}
    return [
        {"at": moment(found.soak.time_of(each.first)), "host": series[each.series].host, "probe": series[each.series].probe.name,
         "length": screen_soak.length(found, each), "failures": each.failures, "detail": each.detail or "-"}
        for each in found.incidents[-LISTED:]
    ]  # fmt: skip


def _starts(report: Report) -> list[dict[str, Any]]:
    if not report.starts:
        return []
    most = max(start.seconds for start in report.starts)
    return [
        {"run": start.run, "at": start.at[:16].replace("T", " "), "kind": start.kind, "seconds": f"{start.seconds:.1f} s", "slowest": start.slowest,
         "width": 100 * start.seconds / most if most else 0.0, "services": ", ".join(f"{name} {seconds:.1f} s" for name, seconds in start.services[:12])}
        for start in report.starts
    ]  # fmt: skip
