"""What a soak's report shows beside its verdict: the five metrics over time, a timeline, and the trend of starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from checks.assess import Assessment
from checks.evidence import Point, RunRecord, Store, points
from checks.metrics import Metric
from checks.probes import KINDS
from checks.soak import Series, Soak
from inventory.values import frozen

SPANS = 120
"""Points of a curve: more cannot be told apart on a phone."""
BEFORE = timedelta(hours=6)
"""How long before a soak its run may have begun to stand on the same timeline."""
RUNS = 12
"""Runs whose starts are compared."""
THIN = 0.75
"""A span with fewer of its samples than that is told as a gap."""
Kind = Literal["good", "bad", "note", "gap"]


@frozen
class Span:
    """One point of a curve: `mid` from `low` to `high`, at seconds since the soak began."""

    at: float
    low: float
    mid: float
    high: float


@frozen
class Curve:
    """One of the five metrics over time; without points where nothing measured it."""

    metric: Metric
    spans: tuple[Span, ...]


@frozen
class Bar:
    """One thing on the timeline, from `begin` to `end` in seconds since the soak began."""

    lane: str
    begin: float
    end: float
    kind: Kind
    title: str


@frozen
class Start:
    """How long services took to be healthy when a run brought them up: the slowest, and each, in seconds."""

    run: str
    kind: str
    at: str
    slowest: str
    seconds: float
    services: tuple[tuple[str, float], ...]


@frozen
class Report:
    """Everything that a report shows. `begin` and `end` bound the timeline, in seconds since the soak began."""

    found: Assessment
    curves: tuple[Curve, ...]
    bars: tuple[Bar, ...]
    starts: tuple[Start, ...]
    begin: float
    end: float
    span_s: float


def gather(store: Store, found: Assessment) -> Report:
    """Reads what a report shows of an assessed soak."""
    soak = found.soak
    over = min(soak.end, soak.ended_at or found.at)
    length = max(soak.every_s, (over - soak.begin).total_seconds())
    series = [row.series for row in found.probes]
    # Whole intervals, or whole spans of what was rolled up: so no span is told as empty.
    unit = max(soak.every_s, _widest(store, series))
    span_s = unit * max(1, round(length / SPANS / unit))
    every = points(store, soak, series, span_s)
    runs = store.runs(environment=soak.environment, limit=200)
    bars = [*_runs(store, soak, runs, over), *_incidents(found, over), *_gaps(found, every, span_s)]
    begin = min([0.0, *(bar.begin for bar in bars)])
    return Report(
        found, tuple(_curve(metric, found, every) for metric in found.metrics), tuple(bars), tuple(_starts(store, runs)), begin,
        length, span_s,
    )  # fmt: skip


def _widest(store: Store, series: Sequence[Series]) -> float:
    """The longest span, in seconds, to which samples of these series were rolled up; 0 without any."""
    from sqlalchemy import func, select

    table = store.table("rollups")
    query = select(func.max(table.c.span_s)).where(table.c.series.in_([each.id for each in series]))
    with store.reading() as connection:
        return float(connection.execute(query).scalar() or 0.0)


def _curve(metric: Metric, found: Assessment, every: Sequence[Point]) -> Curve:
    series = [row.series for row in found.probes]
    kinds = {"startup": "startup", "pool": "pgbouncer", "breakers": "breaker", "resources": "resources"}
    if metric.name == "health":
        health = {each.id for each in series if not KINDS[each.probe.kind].measures}
        return Curve(metric, tuple(_by_time(every, health, _health)))
    own = {each.id for each in series if each.probe.kind == kinds[metric.name]}
    if metric.name == "breakers":
        return Curve(metric, tuple(_trips(every, own)))
    return Curve(metric, tuple(_by_time(every, own, _highest if metric.name == "startup" else _values)))


def _by_time(
    every: Sequence[Point], ids: set[int], make: Callable[[float, Sequence[Point]], Span | None]
) -> Iterable[Span]:
    by_time: dict[float, list[Point]] = defaultdict(list)
    for point in every:
        if point.series in ids:
            by_time[point.at].append(point)
    return (span for at in sorted(by_time) if (span := make(at, by_time[at])) is not None)


def _health(at: float, own: Sequence[Point]) -> Span | None:
    """The share of good samples in percent; `low` and `high` are the worst and the best probe's."""
    shares = [100 * point.ok / (point.ok + point.failed) for point in own if point.ok + point.failed]
    measured = sum(point.ok + point.failed for point in own)
    return Span(at, min(shares), 100 * sum(point.ok for point in own) / measured, max(shares)) if measured else None


def _values(at: float, own: Sequence[Point]) -> Span | None:
    told = [point for point in own if point.mean is not None and point.lowest is not None and point.highest is not None]
    if not told:
        return None
    means = [point.mean for point in told if point.mean is not None]
    return Span(at, min(p.lowest for p in told if p.lowest is not None), sum(means) / len(means), max(p.highest for p in told if p.highest is not None))  # fmt: skip


def _highest(at: float, own: Sequence[Point]) -> Span | None:
    told = [point.highest for point in own if point.highest is not None]
    return Span(at, min(told), max(told), max(told)) if told else None


def _trips(every: Sequence[Point], ids: set[int]) -> Iterable[Span]:
    """How often breakers have opened since the soak began. A counter that is lower than before was started anew."""
    last: dict[int, float] = {}
    total = 0.0
    for point in sorted((point for point in every if point.series in ids), key=lambda point: point.at):
        if point.highest is None:
            continue
        before = last.get(point.series)
        if before is not None:
            total += point.highest - before if point.highest >= before else point.highest
        last[point.series] = point.highest
        yield Span(point.at, total, total, total)


def _runs(store: Store, soak: Soak, runs: Sequence[RunRecord], over: datetime) -> Iterable[Bar]:
    """The runs that fall into the soak, and the one that it watches: each, and the steps and gates of it."""
    for run in runs:
        began = datetime.fromisoformat(run.started)
        ended = datetime.fromisoformat(run.ended) if run.ended else began
        if ended < soak.begin - BEFORE or began > over or (ended < soak.begin and run.id != soak.run):
            continue

        def place(at: datetime) -> float:
            return min((at - soak.begin).total_seconds(), (over - soak.begin).total_seconds())

        what = f"phase {run.phase}" if run.kind == "migrate" else run.phase
        yield Bar("runs", place(began), place(ended), "good" if run.code == 0 else "bad",
                  f"{run.kind} {what}: {run.outcome or 'cut off'} ({run.id}, {run.who})")  # fmt: skip
        for step in store.steps(run.id):
            at = place(datetime.fromisoformat(step.at))
            kind: Kind = "good" if step.outcome == "done" else "bad"
            yield Bar(
                "steps",
                at - step.seconds,
                at,
                kind,
                f"{step.host}: {step.steps}: {step.outcome} in {step.seconds:.0f} s",
            )
        for gate in store.gates(run.id):
            at = place(datetime.fromisoformat(gate.at))
            kind = "good" if gate.outcome == "pass" else "bad"
            yield Bar("gates", at - gate.seconds, at, kind, f"gate of {gate.steps}: {gate.outcome}: {gate.reason}")


def _incidents(found: Assessment, over: datetime) -> Iterable[Bar]:
    """Each run of failures, on its host's lane."""
    series: dict[int, Series] = {row.series.id: row.series for row in found.probes}
    every_s = found.soak.every_s
    for each in found.incidents:
        own = series[each.series]
        end = each.good if each.good is not None else each.last + 1
        yield Bar(own.host, each.first * every_s, min(end * every_s, (over - found.soak.begin).total_seconds()), "bad",
                  f"{own.probe.name}: {each.failures} failed sample(s): {each.detail or 'no reason given'}")  # fmt: skip


def _gaps(found: Assessment, every: Sequence[Point], span_s: float) -> Iterable[Bar]:
    """Spans in which hosts were not, or hardly, asked: a closed laptop, a network that was cut."""
    health = {row.series.id for row in found.probes if not KINDS[row.series.probe.kind].measures}
    asked: dict[int, int] = defaultdict(int)
    for point in every:
        if point.series in health:
            # To the nearest: intervals that are no part of a span begin theirs a little off.
            asked[round(point.at / span_s)] += point.ok + point.failed
    each = len(health) * span_s / found.soak.every_s
    begin: int | None = None
    count = int(found.expected * found.soak.every_s / span_s)
    for number in range(count + 1):
        thin = number < count and asked[number] < THIN * each
        if thin and begin is None:
            begin = number
        if not thin and begin is not None:
            yield Bar(
                "not asked", begin * span_s, number * span_s, "gap", "ticks were missed, or hosts could not be asked"
            )
            begin = None


def _starts(store: Store, runs: Sequence[RunRecord]) -> Iterable[Start]:
    """The last runs that brought services up, the oldest first."""
    made = []
    for run in runs:
        ups = [up for up in store.ups(run.id) if up.ok]
        if ups:
            slowest = max(ups, key=lambda up: up.seconds)
            services = tuple(sorted(((up.service, up.seconds) for up in ups), key=lambda each: -each[1]))
            made.append(Start(run.id, run.kind, run.started, slowest.service, slowest.seconds, services))
        if len(made) == RUNS:
            break
    return reversed(made)
