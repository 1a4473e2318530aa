"""What people and programs see of a soak: its begin, a tick, its state, and the whole report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from checks.assess import MIN_COVERAGE, Assessment, ProbeRow, percent
from checks.metrics import Metric
from checks.soak import Incident
from runbooks.promotion import moment
from runbooks.soaking import Ticked

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
METRIC_STYLES = {"met": "green", "missed": "red", "unknown": "dim"}
SHOWN = 20
"""Incidents and probes that the terminal shows; `--json` has them all."""
Overrides = Sequence[tuple[str, str]]


def begun(found: Assessment) -> Iterator[str]:
    """What was begun, until when, and what has to tick it."""
    soak = found.soak
    hosts = {row.series.host for row in found.probes}
    yield (
        f"{soak.id} of {soak.environment}: {len(found.probes)} probes on {len(hosts)} host(s) each {soak.every_s:g} s, "
        f"until {moment(soak.end)}"
    )
    yield (
        f"  it watches run {soak.run}, phase {soak.phase}" if soak.run else "  it watches no run: none stands that was made from here"
    )  # fmt: skip
    yield "  to tick it: ./inv soak.schedule --install, or ./inv soak.tick --follow"


def ticked(found: Ticked) -> Iterator[str]:
    """One call for a tick, in a line or two."""
    soak = found.soak
    if found.number is None:
        yield f"{soak.id}: no tick: {found.note}"
    else:
        counts = {
            word: sum(s.ok is value for s in found.samples)
            for word, value in (("good", True), ("bad", False), ("unknown", None))
        }
        yield f"{soak.id}: tick {found.number} of {soak.ticks}: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)  # fmt: skip
        for sample in found.samples:
            if sample.ok is False:
                yield f"    {sample.host} {sample.probe}: {sample.detail}"
        for name, error in found.errors.items():
            yield f"    {name}: {error.message}"
    if found.ended:
        yield f"{soak.id}: {found.ended.outcome}: {found.ended.reason}"


def ticked_document(found: Ticked) -> dict[str, Any]:
    """`soak.tick --json`: one entry."""
    return {
        "soak": found.soak.id, "tick": found.number, "note": found.note,
        "samples": [{"host": s.host, "probe": s.probe, "ok": s.ok, "value": s.value, "detail": s.detail} for s in found.samples],
        "errors": {name: error.message for name, error in found.errors.items()},
        "outcome": found.ended.outcome if found.ended else None,
    }  # fmt: skip


def verdict(found: Assessment) -> Iterator[RenderableType]:
    """The verdict, and how long it still takes."""
    from rich.text import Text

    soak = found.soak
    word = (
        found.outcome if soak.outcome else f"running, {found.outcome} so far" if found.outcome == "fail" else "running"
    )
    yield Text.assemble((f"{soak.environment}: {word}", STYLES[found.outcome]), f"  {found.reason}")
    if not soak.outcome:
        yield f"  it runs until {moment(soak.end)}{outlook(found)}"
    elif found.outcome == "inconclusive" and found.still_s:
        yield f"  {duration(found.still_s)} more would have been needed"


def outlook(found: Assessment) -> str:
    """What a running soak can still come to: the end of a sentence. One that is shown to fail seldom gets better."""
    return "" if found.outcome == "fail" else f", and could pass {duration(found.still_s)} from now"


def status(found: Assessment) -> Iterator[RenderableType]:
    """A soak in a few lines."""
    soak = found.soak
    yield from verdict(found)
    yield f"  {soak.id} since {moment(soak.begin)}, each {soak.every_s:g} s: {found.made} of {found.expected} ticks, coverage {percent(found.coverage)}"  # fmt: skip
    yield f"  {success(found)}; {len(found.incidents)} incident(s)"


def success(found: Assessment) -> str:
    if not found.measured:
        return "nothing was measured"
    return (
        f"{found.good} of {found.measured} samples good: {percent(found.good / found.measured)}, at least "
        f"{percent(found.lower)} with 95 % confidence"
    )


def report(found: Assessment, overrides: Overrides) -> Iterator[RenderableType]:
    """The whole story: verdict, metrics, probes, incidents."""
    soak = found.soak
    yield from status(found)
    yield (
        f"  run {soak.run}, phase {soak.phase}, promotion key {soak.promotion_key[:12]}" if soak.run else "  no run stood that was made from here"
    )  # fmt: skip
    for run, reason in overrides:
        yield f"  ! run {run} passed over what the inventory asks for: {reason}"
    if found.coverage < MIN_COVERAGE:
        yield f"  ! {found.missed} tick(s) were missed, or hosts could not be asked"
    yield ""
    yield metric_table(found.metrics)
    yield ""
    asked = [row for row in found.probes if row.p50_s is not None or row.tally.failed or row.tally.unknown]
    worst = worst_first(asked)
    yield probe_table(worst)
    if len(worst) < len(asked):
        yield f"  and {len(asked) - len(worst)} more, none of them worse: --html FILE and --json have all"
    if found.incidents:
        yield ""
        yield incident_table(found)


def metric_table(metrics: Sequence[Metric]) -> Table:
    """The five, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table("metric", "target", "verdict", "measured", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for metric in metrics:
        advice = "" if metric.decides or metric.verdict != "missed" else " (advice)"
        table.add_row(
            metric.title, metric.target, Text(metric.verdict + advice, METRIC_STYLES[metric.verdict]), metric.said
        )
    return table


def worst_first(rows: Sequence[ProbeRow]) -> list[ProbeRow]:
    """The probes that the terminal shows: all that are shown to be under the target, and the next worst."""
    ranked = sorted(
        rows, key=lambda row: (not row.under, row.success if row.success is not None else 0, row.series.host)
    )
    return ranked[: max(SHOWN, sum(row.under for row in rows))]


def probe_table(rows: Sequence[ProbeRow]) -> Table:
    """Probes, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "host", "probe", "good", "success", "95 % from", "to", "p50", "p95", "p99", box=None, header_style="bold",
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for row in rows:
        style = "red" if row.under else "yellow" if row.tally.failed else ""
        good = f"{row.tally.ok} of {row.tally.measured}"
        share = percent(row.success) if row.success is not None else "-"
        table.add_row(
            row.series.host, Text(row.series.probe.name, style), good, share, percent(row.lower), percent(row.upper),
            *(f"{value * 1000:.0f} ms" if value is not None else "-" for value in (row.p50_s, row.p95_s, row.p99_s)),
        )  # fmt: skip
    return table


def incident_table(found: Assessment) -> Table:
    """The newest incidents."""
    from rich.table import Table

    table = Table(
        "incident", "host", "probe", "length", "samples", "what", box=None, header_style="bold", padding=(0, 2, 0, 0)
    )
    series = {row.series.id: row.series for row in found.probes}
    for each in found.incidents[-SHOWN:]:
        own = series[each.series]
        table.add_row(
            moment(found.soak.time_of(each.first)), own.host, own.probe.name, length(found, each), str(each.failures), each.detail
        )  # fmt: skip
    return table


def length(found: Assessment, incident: Incident) -> str:
    """From the first failed sample to the first good one after it."""
    if incident.good is None:
        return f"{duration((incident.last - incident.first + 1) * found.soak.every_s)}, goes on"
    return duration((incident.good - incident.first) * found.soak.every_s)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def document(found: Assessment, overrides: Overrides) -> dict[str, Any]:
    """A soak as `--json` gives it: a public interface. Times are UTC, RFC 3339; durations in seconds; shares from 0 to 1."""
    soak = found.soak
    series = {row.series.id: row.series for row in found.probes}
    return {
        "soak": soak.id, "environment": soak.environment, "state": soak.state, "outcome": found.outcome, "reason": found.reason,
        "who": soak.who, "started": soak.started, "ends": soak.end.isoformat(), "ended": soak.ended, "every_s": soak.every_s,
        "seconds": soak.seconds, "still_s": found.still_s, "run": soak.run, "phase": soak.phase, "promotion_key": soak.promotion_key,
        "overrides": [{"run": run, "reason": reason} for run, reason in overrides],
        "ticks": {"expected": found.expected, "made": found.made, "missed": found.missed},
        "coverage": found.coverage, "target": soak.target,
        "success": {"good": found.good, "measured": found.measured, "share": found.success, "lower": found.lower, "upper": found.upper, "needed": found.needed},
        "metrics": [
            {"name": m.name, "title": m.title, "unit": m.unit, "value": m.value, "lowest": m.lowest, "highest": m.highest,
             "target": m.target, "verdict": m.verdict, "said": m.said, "decides": m.decides}
            for m in found.metrics
        ],
        "probes": [_row(row) for row in found.probes],
        "incidents": [
            {"host": series[i.series].host, "probe": series[i.series].probe.name, "service": series[i.series].probe.service,
             "began": _time(found, i.first), "ended": None if i.good is None else _time(found, i.good), "failures": i.failures,
             "detail": i.detail}
            for i in found.incidents
        ],
    }  # fmt: skip


def _row(row: ProbeRow) -> dict[str, Any]:
    probe, tally = row.series.probe, row.tally
    return {
        "host": row.series.host, "probe": probe.name, "kind": probe.kind, "service": probe.service, "expected": row.expected,
        "ok": tally.ok, "failed": tally.failed, "unknown": tally.unknown, "coverage": row.coverage, "success": row.success,
        "lower": row.lower, "upper": row.upper, "under": row.under, "p50_s": row.p50_s, "p95_s": row.p95_s, "p99_s": row.p99_s,
        "mean": tally.mean, "lowest": tally.lowest, "highest": tally.highest,
    }  # fmt: skip


def _time(found: Assessment, tick: int) -> str:
    at: datetime = found.soak.time_of(tick)
    return at.isoformat(timespec="seconds")
