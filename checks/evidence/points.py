"""What a soak's samples came to: tallies, incidents, and points over time. Exact counts, whatever was rolled up."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from checks.soak import Incident, Series, Soak, Tally
from inventory.values import frozen

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from checks.evidence.store import Store

ALL = 0
"""The span of the roll-up that holds all others of its series together."""


@frozen
class Point:
    """What a series came to in a span of time. `at` is seconds since the soak began; the span goes from there on."""

    series: int
    at: float
    ok: int
    failed: int
    unknown: int
    mean: float | None = None
    lowest: float | None = None
    highest: float | None = None


@dataclass
class Sum:
    """A tally that is still being added up."""

    ok: int = 0
    failed: int = 0
    unknown: int = 0
    latencies: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    valued: int = 0
    total: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    last: float | None = None
    rises: float = 0.0

    def add(self, row: Any) -> None:
        """Adds a row of counts: of samples that were grouped, or of a roll-up."""
        self.ok, self.failed, self.unknown = self.ok + row.ok, self.failed + row.failed, self.unknown + row.unknown
        self.valued, self.total = self.valued + row.valued, self.total + (row.total or 0.0)
        if row.lowest is not None:
            self.lowest = row.lowest if self.lowest is None else min(self.lowest, row.lowest)
            self.highest = row.highest if self.highest is None else max(self.highest, row.highest)

    def join(self, row: Any) -> None:
        """Adds a roll-up, the next in time: a row of the table, or another sum."""
        self.add(row)
        self.measured(row.latencies if isinstance(row, Sum) else read(row.latencies))
        self.rises += row.rises or 0.0
        self.last = row.last if row.last is not None else self.last

    def measured(self, latencies: Mapping[int, int]) -> None:
        """Adds how often each latency was measured."""
        for micro, count in latencies.items():
            self.latencies[micro] += count

    def rise(self, value: float) -> None:
        """Adds a counter's next value; one that is lower was started anew from nothing."""
        if self.last is not None:
            self.rises += value - self.last if value >= self.last else value
        self.last = value

    def tally(self) -> Tally:
        return Tally(**{**self.__dict__, "latencies": dict(sorted(self.latencies.items()))})


def tallies(store: Store, series: Sequence[Series]) -> dict[int, Tally]:
    """What each series came to, by its id."""
    with store.reading() as connection:
        return tallied(connection, store, series)


def tallied(connection: Connection, store: Store, series: Sequence[Series]) -> dict[int, Tally]:
    """`tallies` in a transaction that is there: what is rolled up meanwhile is counted once."""
    sums: dict[int, Sum] = {each.id: Sum() for each in series}
    ids = list(sums)
    for row in totals(connection, store, ids):
        sums[row.series].join(row)
    for row in grouped(connection, store, ids):
        sums[row.series].add(row)
    for id_, counts in latencies(connection, store, ids):
        sums[id_].measured(counts)
    for row in values(connection, store, [each.id for each in series if each.probe.kind == "breaker"]):
        sums[row.series].rise(row.value)
    return {id_: found.tally() for id_, found in sums.items()}


def incidents(store: Store, series: Sequence[Series]) -> list[Incident]:
    """The runs of failures of each series, by their first tick."""
    table = store.table("incidents")
    ids = [each.id for each in series]
    with store.reading() as connection:
        over = table.select().where(table.c.series.in_(ids), table.c.good.is_not(None))
        found = [_incident(row) for row in connection.execute(over)]
        found += incidents_in(connection, store, ids)
    return sorted(found, key=lambda each: (each.first, each.series))


def incidents_in(
    connection: Connection, store: Store, ids: Sequence[int], ticks: range | None = None
) -> Iterator[Incident]:
    """The incidents of samples that are kept one by one, joined to those that went on before them.

    With `ticks`, of those ticks only: one that goes on at their end is open, and is joined again later.
    """
    table, samples = store.table("incidents"), store.table("samples")
    going_on = table.select().where(table.c.series.in_(ids), table.c.good.is_(None))
    open_ = {row.series: _incident(row) for row in connection.execute(going_on)}
    within = () if ticks is None else (samples.c.tick < ticks.stop,)
    query = samples.select().where(samples.c.series.in_(ids), samples.c.ok == 0, *within)
    failed: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in connection.execute(query.order_by(samples.c.series, samples.c.tick)):
        failed[row.series].append((row.tick, row.detail or ""))

    def next_good(id_: int, tick: int) -> int | None:
        good = samples.select().where(samples.c.series == id_, samples.c.tick > tick, samples.c.ok == 1, *within)
        row = connection.execute(good.order_by(samples.c.tick).limit(1)).first()
        return row.tick if row else None

    for id_ in ids:
        if id_ in failed or id_ in open_:
            yield from runs_of_failures(id_, failed[id_], open_.get(id_), next_good)


def runs_of_failures(
    id_: int, failed: Sequence[tuple[int, str]], open_: Incident | None, next_good: Any
) -> Iterator[Incident]:
    """Joins failed samples of one series, in their order, to incidents; `open_` is one that was going on before."""
    now, good = open_, next_good(id_, open_.last) if open_ else None
    for tick, detail in failed:
        if now is not None and (good is None or tick < good):
            now = Incident(id_, now.first, tick, now.failures + 1, None, detail or now.detail)
            continue
        if now is not None:
            yield Incident(id_, now.first, now.last, now.failures, good, now.detail)
        now, good = Incident(id_, tick, tick, 1, None, detail), next_good(id_, tick)
    if now is not None:
        yield Incident(id_, now.first, now.last, now.failures, good, now.detail)


def _incident(row: Any) -> Incident:
    return Incident(row.series, row.first, row.last, row.failures, row.good, row.detail)


def points(store: Store, soak: Soak, series: Sequence[Series], span_s: float) -> list[Point]:
    """Each series over time, in spans of so many seconds; what was rolled up in longer spans comes in those.

    The store adds up: of a year, a few spans a series come out of it and not its hundreds of thousands of rows.
    """
    from sqlalchemy import func, select

    samples, rollups = store.table("samples"), store.table("rollups")
    ids = [each.id for each in series]
    per = max(1, round(span_s / soak.every_s))
    parts: dict[tuple[int, float], list[Any]] = defaultdict(list)
    with store.reading() as connection:
        there = select(func.min(samples.c.tick), func.max(samples.c.tick)).where(samples.c.series.in_(ids))
        first, last = connection.execute(there).one()
        # Span by span the store goes through its samples in their own order; all at once it would sort them first.
        for start in () if first is None else range(first // per * per, last + 1, per):
            for row in grouped(connection, store, ids, range(start, start + per)):
                parts[row.series, start * soak.every_s].append(row)
        spans = select(rollups.c.span_s).where(rollups.c.span_s != ALL).distinct()
        for (own,) in connection.execute(spans).all():
            many = max(1, int(per * soak.every_s // own))
            place = (rollups.c.number // many).label("place")
            query = select(rollups.c.series, place, *_added(rollups)).group_by(rollups.c.series, place)
            for row in connection.execute(query.where(rollups.c.series.in_(ids), rollups.c.span_s == own)):
                parts[row.series, float(row.place * many * own)].append(row)
    return [_point(id_, at, parts[id_, at]) for id_, at in sorted(parts)]


def _point(id_: int, at: float, parts: Sequence[Any]) -> Point:
    """A span's point: most have one part, those in which rolling up ended have more."""
    found = parts[0]
    if len(parts) > 1:
        found = Sum()
        for part in parts:
            found.add(part)
    mean = found.total / found.valued if found.valued else None
    return Point(id_, at, found.ok, found.failed, found.unknown, mean, found.lowest, found.highest)


def totals(connection: Connection, store: Store, ids: Iterable[int]) -> Sequence[Any]:
    """What all roll-ups of each series come to: a row a series, so that a year is judged as fast as a day."""
    table = store.table("rollups")
    return connection.execute(table.select().where(table.c.series.in_(list(ids)), table.c.span_s == ALL)).all()


def latencies(
    connection: Connection, store: Store, ids: Iterable[int], ticks: range | None = None
) -> Iterator[tuple[int, dict[int, int]]]:
    """How often each series measured each latency: (series, {microseconds: count}).

    A row a series, put together by the store as the text that roll-ups keep: a hundred thousand rows would cost more,
    and so would sorting the samples of all series at once.
    """
    from sqlalchemy import String, cast, func, select

    series, samples = store.table("series"), store.table("samples")
    each = (
        select(samples.c.latency_us, func.count().label("count"))
        .where(samples.c.series == series.c.id, samples.c.latency_us.is_not(None), *_within(samples, ticks))
        .group_by(samples.c.latency_us)
        .correlate(series)
        .subquery()
    )
    pair = '"' + cast(each.c.latency_us, String) + '":' + cast(each.c.count, String)
    pairs = select(func.aggregate_strings(pair, ",")).scalar_subquery()
    for id_, text in connection.execute(select(series.c.id, pairs).where(series.c.id.in_(list(ids)))):
        yield id_, read(f"{{{text or ''}}}")


def read(latencies: str) -> dict[int, int]:
    """Latencies as the store keeps them in a text: {microseconds: count}."""
    return {int(micro): count for micro, count in json.loads(latencies).items()}


def values(connection: Connection, store: Store, ids: Iterable[int], ticks: range | None = None) -> Sequence[Any]:
    """What series measured, sample by sample: (series, tick, value)."""
    from sqlalchemy import select

    samples = store.table("samples")
    query = select(samples.c.series, samples.c.tick, samples.c.value).where(
        *_of(samples, ids, ticks), samples.c.value.is_not(None)
    )
    return connection.execute(query.order_by(samples.c.series, samples.c.tick)).all()


def grouped(connection: Connection, store: Store, ids: Iterable[int], ticks: range | None = None) -> Sequence[Any]:
    """The counts of each series' samples, in the words of the roll-ups."""
    from sqlalchemy import select

    samples = store.table("samples")
    query = select(samples.c.series, *_columns(samples)).where(*_of(samples, ids, ticks)).group_by(samples.c.series)
    return connection.execute(query).all()


def _of(samples: Any, ids: Iterable[int], ticks: range | None) -> list[Any]:
    """Which samples: of these series, and of these ticks where they are given."""
    return [samples.c.series.in_(list(ids)), *_within(samples, ticks)]


def _within(samples: Any, ticks: range | None) -> list[Any]:
    return [] if ticks is None else [samples.c.tick >= ticks.start, samples.c.tick < ticks.stop]


def _columns(samples: Any) -> list[Any]:
    """The counts of grouped samples, in the words of the roll-ups."""
    from sqlalchemy import case, func

    return [
        func.sum(case((samples.c.ok == 1, 1), else_=0)).label("ok"),
        func.sum(case((samples.c.ok == 0, 1), else_=0)).label("failed"),
        func.sum(case((samples.c.ok.is_(None), 1), else_=0)).label("unknown"),
        func.count(samples.c.value).label("valued"), func.sum(samples.c.value).label("total"),
        func.min(samples.c.value).label("lowest"), func.max(samples.c.value).label("highest"),
    ]  # fmt: skip


def _added(counts: Any) -> list[Any]:
    """Counts added up, in the same words."""
    from sqlalchemy import func

    sums = [func.sum(counts.c[name]).label(name) for name in ("ok", "failed", "unknown", "valued", "total")]
    return [*sums, func.min(counts.c.lowest).label("lowest"), func.max(counts.c.highest).label("highest")]
