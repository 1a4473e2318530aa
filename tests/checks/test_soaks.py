"""Soaks in the store: each tick's samples are kept whole and once, whoever ticks, and come to exact counts."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from checks.evidence import SCHEMA, Soaks, Store, incidents, points, tallies
from checks.evidence.soaks import rounded
from checks.model import Probe, Sample
from checks.soak import Incident, Soak

BEGIN = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
SOAK = Soak(
    "s-1", "staging", "", ("max_client_conn",), "1", "r-1", "key", "eve@laptop", BEGIN.isoformat(), 600.0, 30.0
)  # fmt: skip
PROBES = [
    (host, "shop", Probe(kind, f"{kind}:{service}", service, {"restarts": 0} if kind == "container" else {}))
    for host in ("web-1", "web-2")
    for kind, service in (("container", "db"), ("postgres", "db"), ("breaker", "haproxy"))
]


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


def tick(store, seconds, ok=True, *, latency_s=0.01, value=None, soak=SOAK):
    """One tick at so many seconds, with the same samples for every series; whether it was due."""
    soaks = Soaks(store)
    claim = soaks.claim(soak, at(seconds), "tests")
    if claim is None:
        return False
    series = soaks.series(soak.id)
    samples = [
        Sample(each.probe.name, each.host, at(seconds).isoformat(), ok, latency_s, value, "" if ok else "no answer")
        for each in series
    ]
    return soaks.record(claim, {(each.host, each.probe.name): each.id for each in series}, samples)


def test_a_soak_and_its_probes_come_back_as_they_were_given(store):
    soaks = Soaks(store)
    series = soaks.start(SOAK, PROBES)
    assert soaks.all() == (SOAK,)
    assert soaks.get("s-1") == SOAK
    assert soaks.get("s-2") is None
    assert [(each.host, each.project, each.probe) for each in series] == PROBES


def test_samples_are_tallied_by_series(store):
    series = Soaks(store).start(SOAK, PROBES)
    for number, ok in enumerate((True, True, False, None, True)):
        assert tick(store, number * 30 + 1, ok, latency_s=0.01 * (number + 1), value=float(number))
    found = tallies(store, series)
    assert set(found) == {each.id for each in series}
    tally = found[series[1].id]
    assert (tally.ok, tally.failed, tally.unknown) == (3, 1, 1)
    assert tally.latencies == {10_000: 1, 20_000: 1, 30_000: 1, 50_000: 1}
    assert (tally.valued, tally.mean, tally.lowest, tally.highest) == (5, 2.0, 0.0, 4.0)


def test_a_counter_that_was_started_anew_has_risen_by_what_it_counted_since(store):
    series = Soaks(store).start(SOAK, PROBES)
    for number, value in enumerate((5.0, 7.0, 1.0, 1.0, 4.0)):
        tick(store, number * 30 + 1, value=value)
    rises = {each.probe.kind: tallies(store, series)[each.id].rises for each in series}
    assert rises == {"container": 0.0, "postgres": 0.0, "breaker": 2 + 1 + 3}


def test_incidents_are_runs_of_failures_that_only_a_good_sample_ends(store):
    series = Soaks(store).start(SOAK, PROBES[:1])
    for number, ok in enumerate((False, True, False, None, False, True, True, False)):
        tick(store, number * 30 + 1, ok)
    assert incidents(store, series) == [
        Incident(series[0].id, 0, 0, 1, 1, "no answer"),
        Incident(series[0].id, 2, 4, 2, 5, "no answer"),
        Incident(series[0].id, 7, 7, 1, None, "no answer"),
    ]


def test_points_are_the_same_counts_over_time(store):
    series = Soaks(store).start(SOAK, PROBES[:1])
    for number in range(10):
        tick(store, number * 30 + 1, number != 4, value=float(number))
    found = points(store, SOAK, series, 90.0)
    assert [(point.at, point.ok, point.failed) for point in found] == [(0, 3, 0), (90, 2, 1), (180, 3, 0), (270, 1, 0)]
    assert [point.mean for point in found] == [1.0, 4.0, 7.0, 9.0]


def test_of_ten_that_open_a_new_store_and_tick_at_once_one_ticks(url):
    with ThreadPoolExecutor(10) as pool:
        stores = list(pool.map(lambda _number: Store(url), range(10)))
        series = Soaks(stores[0]).start(SOAK, PROBES)
        for number in range(5):
            made = list(pool.map(lambda each: tick(each, number * 30 + 3), stores))  # noqa: B023 - runs at once
            assert sum(made) == 1
    assert {tally.ok for tally in tallies(stores[3], series).values()} == {5}
    for each in stores:
        each.close()


def test_a_tick_that_died_counts_for_nothing_and_its_slot_is_free_later(store):
    soak = Soak(**{**SOAK.__dict__, "every_s": 600.0, "seconds": 6000.0})
    series = Soaks(store).start(soak, PROBES)
    dead = Soaks(store).claim(soak, at(200), "tests")
    assert dead is not None
    assert not tick(store, 230, soak=soak)
    assert {tally.measured for tally in tallies(store, series).values()} == {0}
    assert tick(store, 330, soak=soak)
    assert [(found.number, found.made is not None) for found in Soaks(store).ticks("s-1")] == [(0, True)]
    late = [Sample("container:db", "web-1", "", True)]
    assert not Soaks(store).record(dead, {("web-1", "container:db"): series[0].id}, late), "it was taken over"
    assert {tally.measured for tally in tallies(store, series).values()} == {1}


def test_a_soak_ends_once(store):
    soaks = Soaks(store)
    soaks.start(SOAK, PROBES)
    ended = soaks.end(SOAK, state="ended", outcome="pass", reason="all good")
    assert ended is not None
    assert soaks.get("s-1") == ended
    assert soaks.end(SOAK, state="stopped", outcome="inconclusive", reason="too late") is None
    assert soaks.all(running=True) == ()


def test_latencies_are_kept_to_three_digits():
    assert [rounded(seconds) for seconds in (0, 0.0000004, 0.000999, 0.0123456, 1.23456, 99999)] == [
        0, 0, 999, 12_300, 1_230_000, 2_000_000_000,
    ]  # fmt: skip


def test_a_store_of_the_first_schema_is_upgraded_and_keeps_what_it_held(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    with sqlite3.connect(tmp_path / "evidence.sqlite") as connection:
        connection.executescript((Path(__file__).parent / "stores" / "schema_1.sql").read_text())
    store = Store()
    rollback, migrate = store.runs()
    assert (migrate.id, migrate.code, migrate.hosts) == (
        "20260101-120000-aaaaaa", 0, {"staging-1": "changed", "staging-2": "unchanged"},
    )  # fmt: skip
    assert (migrate.steps, migrate.override, rollback.ended) == ("", "", None)
    assert [gate.ok for gate in store.gates(migrate.id)] == [300]
    assert store.known_head("staging-1", "shop") == "a" * 64
    Soaks(store).start(SOAK, PROBES)
    store.close()
    again = Store()
    assert Soaks(again).all() == (SOAK,)
    again.close()
    with sqlite3.connect(tmp_path / "evidence.sqlite") as connection:
        assert connection.execute("select version from schema").fetchall() == [(SCHEMA,)]
