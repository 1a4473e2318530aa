"""Down-sampling: samples become hours, hours become days. Counts stay exact, latencies keep two digits, incidents stay.

Each hour and each day is rolled up in one transaction, so that whatever ends the program, nothing is counted twice or
lost. A year of 20 probes on 10 hosts, each asked every minute, is 105 million samples: see docs/soak.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from checks.evidence.points import ALL, Sum, grouped, incidents_in, latencies, totals, values
from checks.evidence.soaks import Soaks
from checks.evidence.store import Store
from checks.soak import Series, Soak

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOUR_S, DAY_S = 3600, 86_400
SAMPLES_S = 3 * DAY_S
"""How long samples are kept one by one: longer than a soak of 48 hours takes, so that its report is of samples."""
HOURS_S = 30 * DAY_S
"""How long hours are kept."""


def is_time(soak: Soak, tick: int) -> bool:
    """Whether a tick is the first of an hour of its soak: often enough to roll up."""
    return int(tick * soak.every_s // HOUR_S) != int((tick - 1) * soak.every_s // HOUR_S)


def compact(store: Store, at: datetime) -> None:
    """Rolls up what is old enough, of all soaks."""
    kept = Soaks(store)
    for soak in kept.all():
        series = kept.series(soak.id)
        if not series:
            continue
        age_s = (at - soak.begin).total_seconds()
        first = _first_tick(store, series)
        if first is not None:
            for hour in range(int(first * soak.every_s // HOUR_S), int((age_s - SAMPLES_S) // HOUR_S)):
                _roll_hour(store, soak, series, hour)
        days = int((age_s - HOURS_S) // DAY_S)
        if days > 0:
            _roll_days(store, series, days)


def _first_tick(store: Store, series: Iterable[Series]) -> int | None:
    """The oldest tick that is still kept sample by sample."""
    from sqlalchemy import func, select

    samples = store.table("samples")
    with store.reading() as connection:
        found = [
            connection.execute(select(func.min(samples.c.tick)).where(samples.c.series == each.id)).scalar()
            for each in series
        ]
    return min((tick for tick in found if tick is not None), default=None)


def _roll_hour(store: Store, soak: Soak, series: tuple[Series, ...], hour: int) -> None:
    ticks = range(ceil(hour * HOUR_S / soak.every_s), ceil((hour + 1) * HOUR_S / soak.every_s))
    ids = [each.id for each in series]
    samples, incidents, made = store.table("samples"), store.table("incidents"), store.table("ticks")
    with store.writing() as connection:
        sums = {id_: Sum() for id_ in ids}
        for row in grouped(connection, store, ids, ticks):
            sums[row.series].add(row)
        for id_, counts in latencies(connection, store, ids, ticks):
            for micro, count in counts.items():
                sums[id_].latencies[two_digits(micro)] += count
        breakers = [each.id for each in series if each.probe.kind == "breaker"]
        together = {row.series: row for row in totals(connection, store, ids)}
        for id_ in breakers:
            sums[id_].last = together[id_].last if id_ in together else None
        for row in values(connection, store, breakers, ticks):
            sums[row.series].rise(row.value)
        for incident in incidents_in(connection, store, ids, ticks):
            key = incidents.c.series == incident.series, incidents.c.first == incident.first
            connection.execute(incidents.delete().where(*key))
            connection.execute(incidents.insert(), incident.__dict__)
        _put(connection, store, HOUR_S, {(id_, hour): found for id_, found in sums.items()})
        _put_together(connection, store, together, sums)
        connection.execute(samples.delete().where(samples.c.series.in_(ids), samples.c.tick < ticks.stop))
        old = made.c.soak == soak.id, made.c.number < ticks.stop
        gone = connection.execute(made.delete().where(*old, made.c.made.is_not(None))).rowcount
        connection.execute(made.delete().where(*old))
        soaks = store.table("soaks")
        connection.execute(soaks.update().where(soaks.c.id == soak.id).values(made=soaks.c.made + gone))


def _put_together(connection: Connection, store: Store, before: Mapping[int, Any], sums: Mapping[int, Sum]) -> None:
    """Adds an hour to the one roll-up of each series that holds all of them."""
    table = store.table("rollups")
    connection.execute(table.delete().where(table.c.series.in_(list(sums)), table.c.span_s == ALL))
    made = {}
    for id_, hour in sums.items():
        made[id_, 0] = Sum()
        for row in (before[id_], hour) if id_ in before else (hour,):
            made[id_, 0].join(row)
    _put(connection, store, ALL, made)


def _roll_days(store: Store, series: tuple[Series, ...], days: int) -> None:
    """Makes days of the hours before day number `days`."""
    table = store.table("rollups")
    ids = [each.id for each in series]
    old = table.c.series.in_(ids), table.c.span_s == HOUR_S, table.c.number < days * 24
    with store.writing() as connection:
        rows = connection.execute(table.select().where(*old).order_by(table.c.series, table.c.number)).all()
        sums: dict[tuple[int, int], Sum] = {}
        for row in rows:
            sums.setdefault((row.series, row.number * HOUR_S // DAY_S), Sum()).join(row)
        connection.execute(table.delete().where(*old))
        _put(connection, store, DAY_S, sums)


def _put(connection: Connection, store: Store, span_s: int, sums: dict[tuple[int, int], Sum]) -> None:
    rows: list[dict[str, Any]] = [
        {"series": id_, "span_s": span_s, "number": number, "ok": found.ok, "failed": found.failed, "unknown": found.unknown,
         "valued": found.valued, "latencies": json.dumps(found.latencies, separators=(",", ":")), "total": found.total,
         "lowest": found.lowest, "highest": found.highest, "last": found.last, "rises": found.rises}
        for (id_, number), found in sums.items()
        if found.ok or found.failed or found.unknown
    ]  # fmt: skip
    if rows:
        connection.execute(store.table("rollups").insert(), rows)


def two_digits(micro: int) -> int:
    """A latency to two digits: within 5 %."""
    unit = int(10 ** max(0, len(str(micro)) - 2))
    return round(micro / unit) * unit
