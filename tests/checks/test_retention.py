"""Down-sampling loses no count: what was rolled up and what was not come to the same, whenever it is asked."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from checks.evidence import Soaks, compact, incidents, points, retention, tallies
from checks.model import Probe
from checks.soak import Soak

pytestmark = pytest.mark.slow

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_S = 600.0
SOAK = Soak("s-1", "staging", "", (), "1", "r", "k", "eve", BEGIN.isoformat(), 400 * 86_400.0, EVERY_S)
PROBES = [
    ("web-1", "shop", Probe("container", "container:db", "db")),
    ("web-1", "shop", Probe("breaker", "breaker:haproxy", "haproxy")),
]


def fill(store, ticks):
    """Ticks whose samples fail, are unknown, slow down and count up by rules that a test can tell again."""
    samples, made = store.table("samples"), store.table("ticks")
    series = Soaks(store).series("s-1")
    rows = [
        {"series": each.id, "tick": n, "ok": ok(n), "latency_us": None if ok(n) is None else 1000 + n % 97 * 10, "value": float(n % 500), "detail": None}
        for n in ticks for each in series
    ]  # fmt: skip
    began = [{"soak": "s-1", "number": n, "by": "t", "began": "", "made": "x"} for n in ticks]
    with store.writing() as connection:
        for table, found in ((samples, rows), (made, began)):
            for start in range(0, len(found), 5000):
                connection.execute(table.insert(), found[start : start + 5000])


def ok(n):
    """One failure in 20, and a night of them; some unknown."""
    return 0 if n % 20 == 7 or 400 <= n < 500 else None if n % 20 == 9 else 1


def at(ticks):
    return BEGIN + timedelta(seconds=ticks * EVERY_S)


@pytest.fixture
def long_soak(store, monkeypatch):
    """Four days of ticks, where samples are kept for six hours and hours for a day."""
    monkeypatch.setattr(retention, "SAMPLES_S", 6 * 3600)
    monkeypatch.setattr(retention, "HOURS_S", 86_400)
    Soaks(store).start(SOAK, PROBES)
    fill(store, range(0, 144 * 4))
    return store


def told(store):
    series = Soaks(store).series("s-1")
    found = tallies(store, series)
    return (
        {id_: (t.ok, t.failed, t.unknown, t.valued, t.total, t.lowest, t.highest, sum(t.latencies.values())) for id_, t in found.items()},
        [(i.series, i.first, i.last, i.failures, i.good) for i in incidents(store, series)],
        Soaks(store).made("s-1"), {id_: t.rises for id_, t in found.items()},
    )  # fmt: skip


def rows(store, table):
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(store.table(table))).scalar_one()


def test_counts_values_rises_and_incidents_are_the_same_at_every_age(long_soak):
    before = told(long_soak)
    assert len(before[1]) == 2 * (29 - 5 + 1), "29 single ones, and a night that swallows five of them"
    for days in (1, 1.5, 3.3, 4, 5):
        compact(long_soak, at(int(144 * days)))
        assert told(long_soak) == before
    assert rows(long_soak, "samples") == 0
    assert rows(long_soak, "ticks") == 0
    assert rows(long_soak, "rollups") == 2 * (4 + 1), "four days, and all of them together"


def test_what_is_young_stays_sample_by_sample(long_soak):
    compact(long_soak, at(144 * 4))
    assert rows(long_soak, "samples") == 2 * 36
    assert rows(long_soak, "rollups") == 2 * (3 + 18 + 1)


def test_it_may_be_done_at_any_time_and_again(long_soak):
    before = told(long_soak)
    for _ in range(2):
        compact(long_soak, at(144 * 3 + 5))
    assert told(long_soak) == before


def test_one_that_dies_in_the_midst_has_counted_nothing_twice(long_soak, monkeypatch):
    before = told(long_soak)
    put, done = retention._put, []

    def dies(*arguments):
        put(*arguments)
        done.append(1)
        if len(done) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(retention, "_put", dies)
    with pytest.raises(KeyboardInterrupt):
        compact(long_soak, at(144 * 4))
    assert told(long_soak) == before
    monkeypatch.setattr(retention, "_put", put)
    compact(long_soak, at(144 * 4))
    assert told(long_soak) == before


def test_points_over_time_hold_the_same_counts(long_soak):
    compact(long_soak, at(144 * 4))
    series = Soaks(long_soak).series("s-1")
    found = points(long_soak, SOAK, series, 3600.0)
    totals = {id_: (t.ok, t.failed, t.unknown) for id_, t in tallies(long_soak, series).items()}
    for id_, counts in totals.items():
        own = [point for point in found if point.series == id_]
        assert tuple(sum(getattr(point, name) for point in own) for name in ("ok", "failed", "unknown")) == counts
        assert [point.at for point in own] == sorted(point.at for point in own)


def test_points_of_wide_spans_are_the_same_before_and_after_rolling_up(long_soak):
    series = Soaks(long_soak).series("s-1")
    spans = (86_400.0, 2 * 86_400.0)
    before = [points(long_soak, SOAK, series, span_s) for span_s in spans]
    compact(long_soak, at(144 * 4))
    assert [points(long_soak, SOAK, series, span_s) for span_s in spans] == before
    for span_s, found in zip(spans, before, strict=True):
        assert [point.at for point in found] == [n * span_s for n in range(int(4 * 86_400 / span_s))] * len(series)


@pytest.mark.parametrize(("micro", "kept"), [(0, 0), (7, 7), (99, 99), (104, 100), (1550, 1600), (123_456, 120_000)])
def test_latencies_keep_two_digits(micro, kept):
    assert retention.two_digits(micro) == kept


def test_the_first_tick_of_an_hour_is_the_time_to_roll_up():
    assert [tick for tick in range(1, 20) if retention.is_time(SOAK, tick)] == [6, 12, 18]
