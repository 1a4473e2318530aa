"""A soak's verdict: what may be claimed of what was measured, and how long is still needed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.assess import judged, percent
from checks.model import Probe
from checks.soak import Series, Soak, Tally

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SOAK = Soak("s", "staging", "", (), "1", "r", "k", "eve@laptop", BEGIN.isoformat(), 48 * 3600.0, 30.0)
TICKS = 5760


def series(count=10, kind="container"):
    return [Series(n, "s", "web-1", "shop", Probe(kind, f"{kind}:{n}", f"app{n}")) for n in range(count)]


def at(hours):
    return BEGIN + timedelta(hours=hours)


def tally(ok=TICKS, failed=0, unknown=0, **more):
    return Tally(ok, failed, unknown, **more)


def assess(tallies, *, hours=48.0, made=TICKS, soak=SOAK, extra=(), started=None):
    own = series(len(tallies))
    found = dict(enumerate(tallies)) | {each.id: tally for each, tally in extra}
    return judged(soak, [*own, *(each for each, _ in extra)], found, made, (), at(hours), started=started)


def test_a_soak_of_good_samples_passes_when_its_time_is_over():
    found = assess([tally()] * 10)
    assert (found.outcome, found.still_s, found.missed, found.coverage) == ("pass", 0.0, 0, 1.0)
    assert found.reason == "57600 of 57600 samples are good: more than 99.9 % with 95 % confidence"
    assert found.lower > 0.999


def test_before_its_end_nothing_is_passed_and_it_says_how_long():
    found = assess([tally(2880)] * 10, hours=24.0, made=2880)
    assert (found.outcome, found.still_s) == ("inconclusive", 24 * 3600.0)


@pytest.mark.parametrize(("samples", "outcome"), [(2702, "inconclusive"), (2703, "pass")])
def test_2703_samples_without_a_failure_are_enough_and_one_less_is_not(samples, outcome):
    soak = Soak(**{**SOAK.__dict__, "seconds": samples * 30.0})
    found = assess([tally(samples)], hours=samples * 30 / 3600, made=samples, soak=soak)
    assert found.outcome == outcome
    if outcome == "inconclusive":
        assert (found.needed, found.still_s) == (1, 30.0)
        assert found.reason.endswith("1 more good ones are needed to claim more than 99.9 %")


def test_one_probe_that_is_shown_to_be_under_the_target_fails_whatever_the_others_dilute():
    found = assess([*[tally()] * 99, tally(5731, 29)])
    assert found.success > 0.9999
    assert found.outcome == "fail"
    assert found.reason.startswith("container:99 on web-1: 29 of 5760 failed, so at best 99.6")
    assert [row.under for row in found.probes] == [False] * 99 + [True]


def test_a_probe_that_may_still_be_above_the_target_does_not_fail():
    assert assess([*[tally()] * 20, tally(TICKS - 6, 6)]).outcome == "pass"


def test_all_together_under_the_target_fail_although_no_single_probe_is_shown_to_be():
    found = assess(
        [tally(1997, 3)] * 40, made=2000, hours=2000 / 120, soak=Soak(**{**SOAK.__dict__, "seconds": 60_000.0})
    )
    assert not any(row.under for row in found.probes)
    assert found.outcome == "fail"
    assert found.reason.startswith("120 of 80000 samples failed")


def test_half_of_the_ticks_missed_is_inconclusive_and_never_a_failure():
    found = assess([tally(2880)] * 10, made=2880)
    assert (found.outcome, found.coverage, found.missed) == ("inconclusive", 0.5, 2880)
    assert found.reason == "coverage is 50 %, 90 % is needed"
    # 40 % of 5,760 ticks must be made good by what comes on top: x with (2880 + x) / (5760 + x) = 0.9.
    assert found.still_s == 23_040 * 30.0


def test_a_prober_that_was_cut_off_counts_against_coverage_and_not_against_the_service():
    found = assess([tally(TICKS - 1440, 0, 1440)] * 10)
    assert (found.outcome, found.coverage, found.success) == ("inconclusive", 0.75, 1.0)


def test_one_host_that_could_not_be_asked_is_not_covered_by_the_others():
    found = assess([*[tally()] * 19, tally(1000, 0, 4760)])
    assert found.coverage > 0.9
    assert (found.outcome, found.reason) == (
        "inconclusive", "coverage of container:19 on web-1 is 17.361 %, 90 % is needed",
    )  # fmt: skip


def test_nothing_measured_is_nothing_shown():
    found = assess([tally(0, 0, TICKS)])
    assert (found.outcome, found.reason, found.success) == ("inconclusive", "nothing was measured", None)
    assert found.metrics[1].verdict == "unknown"


def test_one_that_has_ended_keeps_the_verdict_that_it_was_given():
    ended = Soak(
        **{
            **SOAK.__dict__,
            "state": "stopped",
            "outcome": "inconclusive",
            "reason": "stopped by eve",
            "ended": at(20).isoformat(),
        }
    )
    found = assess([tally(2400)] * 10, made=2400, soak=ended, hours=99)
    assert (found.outcome, found.reason, found.expected) == ("inconclusive", "stopped by eve", 2400)


def measuring(kind, number=100, **more):
    return Series(number, "s", "web-1", "shop", Probe(kind, f"{kind}:x", "x")), Tally(**more)


def metrics(*extra, started=None):
    found = assess([tally()] * 10, extra=extra, started=started)
    return {metric.name: metric for metric in found.metrics}, found.outcome


def test_without_anything_that_measures_the_metrics_say_so():
    found, outcome = metrics()
    assert list(found) == ["startup", "health", "pool", "breakers", "resources"]
    assert {name: (metric.verdict, metric.said) for name, metric in found.items() if name != "health"} == {
        "startup": ("unknown", "no start was seen"),
        "pool": ("unknown", "no pooler tells it"),
        "breakers": ("unknown", "no breaker yet"),
        "resources": ("unknown", "no service tells it"),
    }
    assert outcome == "pass"


@pytest.mark.parametrize(
    ("kind", "values", "name", "verdict", "outcome"),
    [
        ("startup", {"ok": 9, "valued": 2, "total": 100.0, "lowest": 20.0, "highest": 80.0}, "startup", "met", "pass"),
        (
            "startup",
            {"ok": 9, "valued": 1, "total": 300.0, "lowest": 300.0, "highest": 300.0},
            "startup",
            "missed",
            "fail",
        ),
        ("startup", {"ok": 8, "failed": 1}, "startup", "missed", "fail"),
        (
            "pgbouncer",
            {"ok": TICKS, "valued": 10, "total": 700.0, "lowest": 40.0, "highest": 90.0},
            "pool",
            "met",
            "pass",
        ),
        (
            "pgbouncer",
            {"ok": TICKS, "valued": 10, "total": 100.0, "lowest": 0.0, "highest": 20.0},
            "pool",
            "missed",
            "pass",
        ),
        (
            "resources",
            {"ok": 9, "valued": 10, "total": 790.0, "lowest": 5.0, "highest": 99.0},
            "resources",
            "met",
            "pass",
        ),
        (
            "resources",
            {"ok": 9, "valued": 10, "total": 950.0, "lowest": 90.0, "highest": 99.0},
            "resources",
            "missed",
            "pass",
        ),
        ("breaker", {"ok": 9, "valued": 10, "rises": 1.0}, "breakers", "met", "pass"),
        ("breaker", {"ok": 9, "valued": 10, "rises": 2.0}, "breakers", "missed", "fail"),
        ("breaker", {"ok": 0, "unknown": 9}, "breakers", "unknown", "pass"),
    ],
)
def test_each_metric_has_its_verdict_and_only_limits_decide(kind, values, name, verdict, outcome):
    found, whole = metrics(measuring(kind, **values))
    assert (found[name].verdict, whole) == (verdict, outcome)


def test_a_start_that_the_run_itself_saw_counts_too():
    found, outcome = metrics(started={"db": 12.5, "web": 4.0})
    assert (found["startup"].verdict, found["startup"].value, outcome) == ("met", 12.5, "pass")
    assert metrics(started={"db": 301.0})[1] == "fail"


@given(st.integers(0, 4000), st.integers(0, 40), st.integers(0, 4000))
def test_a_verdict_never_claims_more_than_the_samples_allow(ok, failed, unknown):
    total = max(1, ok + failed + unknown)
    soak = Soak(**{**SOAK.__dict__, "seconds": total * 30.0})
    found = assess([tally(ok, failed, unknown)], made=total, hours=total * 30 / 3600, soak=soak)
    if found.outcome == "pass":
        assert found.lower > 0.999
        assert found.coverage >= 0.9
    if found.outcome == "fail":
        assert failed > 0
        assert found.upper < 0.999
    assert (found.still_s == 0) == (found.outcome == "pass") or found.outcome == "fail"


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.999999, "99.999 %"), (0.5, "50 %"), (0.99952, "99.952 %"), (0.0, "0 %")]
)
def test_a_share_is_never_rounded_up_to_all(share, text):
    assert percent(share) == text
