"""A gate's three outcomes, on a clock of the test's own: nothing here waits."""

import pytest

from checks import gate as gates
from checks.gate import parse, watch
from checks.model import Gate, Probe, Sample
from inventory.errors import InputError

GOOD, BAD, UNKNOWN = True, False, None


class Time:
    """A clock that moves only when somebody waits, or when a round takes time. `stop_at`: when the operator stops."""

    def __init__(self, round_s=0.0, stop_at=None):
        self.now, self.round_s, self.stop_at, self.waits = 100.0, round_s, stop_at, []

    def clock(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(round(seconds, 6))
        self.now += seconds
        return self.stop_at is not None and self.now - 100.0 >= self.stop_at


def judged(gate, *series, time=None, rounds=None):
    """The verdict on probes p0, p1 ... of one host, each with its answers in order; the last one is repeated."""
    time = time or Time()
    probes = {"web-1": [Probe("command", f"p{number}", f"s{number}") for number in range(len(series))]}
    count = 0

    def ask():
        nonlocal count
        time.now += time.round_s
        samples = [
            Sample(
                f"p{number}",
                "web-1",
                "now",
                answers[min(count, len(answers) - 1)],
                latency_s=0.01 * (count + 1),
                detail="why",
            )
            for number, answers in enumerate(series)
        ]
        count += 1
        return samples

    told = [] if rounds is None else rounds
    return watch(
        gate, {"web-1": ask}, probes, clock=time.clock, wait=time.wait, on_round=lambda n, s: told.append((n, len(s)))
    )


def test_a_window_of_good_rounds_passes_and_is_measured_to_its_end():
    time, rounds = Time(), []
    verdict = judged(Gate(window_s=10, interval_s=2), [GOOD], [GOOD], time=time, rounds=rounds)
    assert (verdict.outcome, verdict.reason) == ("pass", "12 of 12 samples good")
    assert (verdict.rounds, verdict.seconds) == (6, 10.0)
    assert time.waits == [2.0] * 5
    assert rounds == [(number, 2) for number in range(1, 7)]
    result = verdict.results[0]
    assert (result.ok, result.failed, result.unknown) == (6, 0, 0)
    assert result.latency_p50_s == pytest.approx(0.03)
    assert result.latency_p99_s == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("settings", "answers", "outcome", "reason", "rounds"),
    [
        ({}, [GOOD, BAD, GOOD], "fail", "p0 on web-1 failed: why", 2),
        ({"failure_limit": 2}, [BAD, GOOD, BAD, GOOD], "fail", "p0 on web-1 failed: why", 3),
        ({"failure_limit": 3, "min_success": 0.5}, [BAD, BAD, GOOD], "pass", "4 of 6 samples good", 6),
        ({"failure_limit": None}, [BAD, GOOD], "fail", "p0 on web-1: 1 of 6 failed (why)", 6),
        ({"failure_limit": 0}, [BAD, GOOD], "fail", "p0 on web-1: 1 of 6 failed (why)", 6),
        ({"failure_limit": 0, "min_success": 0.8}, [BAD, GOOD], "pass", "5 of 6 samples good", 6),
        ({}, [UNKNOWN], "inconclusive", "nothing could be measured", 6),
        ({}, [UNKNOWN, UNKNOWN, GOOD], "pass", "4 of 4 samples good", 6),
        ({"min_samples": 5}, [UNKNOWN, UNKNOWN, GOOD], "inconclusive", "p0 on web-1: 4 samples, 5 are needed (2 unknown)", 6),
        ({"failure_limit": None, "min_success": 0.5, "consecutive": 2}, [GOOD, GOOD, GOOD, GOOD, GOOD, BAD], "fail",
         "p0 on web-1: the last 2 rounds were not all good", 6),
        ({"failure_limit": None, "min_success": 0.5, "consecutive": 2}, [BAD, GOOD, GOOD, BAD, GOOD, GOOD], "pass",
         "4 of 6 samples good", 6),
        ({"failure_limit": None, "min_success": 0.5, "consecutive": 3}, [GOOD, GOOD, BAD, GOOD, UNKNOWN, GOOD], "fail",
         "p0 on web-1: the last 3 rounds were not all good", 6),
    ],
)  # fmt: skip
def test_the_outcome_of_a_series_of_rounds(settings, answers, outcome, reason, rounds):
    verdict = judged(Gate(**{"window_s": 10, "interval_s": 2, "min_samples": 1, **settings}), answers)
    assert (verdict.outcome, verdict.reason, verdict.rounds) == (outcome, reason, rounds)


def test_one_probe_under_the_share_fails_however_well_the_others_do():
    gate = Gate(window_s=10, interval_s=1, failure_limit=None, min_success=0.95)
    verdict = judged(gate, *([[GOOD]] * 50), [BAD, GOOD])
    assert verdict.outcome == "fail"
    assert verdict.reason == "p50 on web-1: 1 of 11 failed (why)"


def test_a_probe_that_was_never_measured_makes_a_good_gate_inconclusive():
    assert judged(Gate(window_s=10, interval_s=2), [GOOD], [UNKNOWN]).outcome == "inconclusive"


def test_a_failure_beside_an_unknown_is_a_failure():
    assert judged(Gate(window_s=10, interval_s=2, failure_limit=None), [UNKNOWN], [BAD]).outcome == "fail"


def test_the_initial_delay_is_waited_before_the_window():
    time = Time()
    verdict = judged(Gate(window_s=4, interval_s=2, initial_delay_s=30), [GOOD], time=time)
    assert time.waits[0] == 30
    assert (verdict.outcome, verdict.rounds, verdict.seconds) == ("pass", 3, 34.0)


@pytest.mark.parametrize(("delay", "stop_at", "rounds"), [(30, 10, 0), (0, 3, 2), (5, 6, 1)])
def test_an_operator_who_stops_makes_it_inconclusive_at_once(delay, stop_at, rounds):
    gate = Gate(window_s=60, interval_s=2, initial_delay_s=delay)
    verdict = judged(gate, [GOOD], time=Time(stop_at=stop_at))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "stopped by the operator")
    assert verdict.rounds == rounds


def test_rounds_slower_than_the_interval_follow_each_other_and_never_burst():
    time = Time(round_s=5.0)
    verdict = judged(Gate(window_s=20, interval_s=2, min_samples=3), [GOOD], time=time)
    assert verdict.outcome == "pass"
    assert verdict.results[0].ok == 4
    assert verdict.seconds == pytest.approx(20, abs=2)


def test_samples_of_probes_that_nobody_asked_for_count_nowhere():
    probes = {"web-1": [Probe("tcp", "p0", "s0")]}
    time = Time()
    strangers = [
        Sample("p0", "web-2", "now", False),
        Sample("p9", "web-1", "now", False),
        Sample("p0", "web-1", "now", True),
    ]
    verdict = watch(
        Gate(window_s=4, interval_s=2), {"web-1": lambda: list(strangers)}, probes, clock=time.clock, wait=time.wait
    )
    assert verdict.outcome == "pass"


def test_one_host_of_a_batch_that_fails_fails_the_gate_and_is_named():
    time = Time()
    probes = {host: [Probe("tcp", "p", "s")] for host in ("web-1", "web-2")}
    rounds = {
        "web-1": lambda: [Sample("p", "web-1", "now", True)],
        "web-2": lambda: [Sample("p", "web-2", "now", False, detail="refused")],
    }
    verdict = watch(Gate(window_s=10, interval_s=2), rounds, probes, clock=time.clock, wait=time.wait)
    assert (verdict.outcome, verdict.reason, verdict.rounds) == ("fail", "p on web-2 failed: refused", 1)
    assert [(result.host, result.ok, result.failed) for result in verdict.results] == [("web-1", 1, 0), ("web-2", 0, 1)]


def test_settings_are_read_with_their_units_over_a_base():
    found = parse({"window": "2m", "interval": "500ms", "min_success": 0.5}, base=Gate(consecutive=7))
    assert (found.window_s, found.interval_s, found.min_success, found.consecutive) == (120.0, 0.5, 0.5, 7)
    assert gates.duration("48h") == 172_800
    assert gates.duration(30) == 30


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"windw": "30s"}, "gate.windw: is no setting of a gate (did you mean window?)"),
        ({"zzz": 1}, "gate.zzz: is no setting of a gate (settings: consecutive, "),
        ({"window": "soon"}, "gate.window: 'soon' is not a duration (write 30s, 2m or 500ms)"),
        ({"window": True}, "gate.window: True is not a duration"),
        ({"window": "-3s"}, "gate.window: '-3s' is not a duration"),
        ({"window": 0}, "gate.window: must be longer than nothing"),
        ({"interval": "0s"}, "gate.interval: must be longer than nothing"),
        ({"interval": "60s"}, "gate.interval: is longer than the window"),
        ({"min_success": 0}, "gate.min_success: is a share over 0, at most 1"),
        ({"min_success": "99%"}, "gate.min_success: is a share over 0, at most 1"),
        ({"min_success": 1.1}, "gate.min_success: is a share over 0, at most 1"),
        ({"failure_limit": -1}, "gate.failure_limit: is a count"),
        ({"failure_limit": "1"}, "gate.failure_limit: is a count"),
        ({"min_samples": 0}, "gate.min_samples: is a count from 1"),
        ({"min_samples": 17}, "gate.min_samples: 16 rounds fit in the window"),
        ({"consecutive": -1}, "gate.consecutive: is a count"),
        ({"consecutive": 99}, "gate.consecutive: 16 rounds fit in the window"),
        ({"failure_limit": True}, "gate.failure_limit: is a count"),
        ({"min_samples": True}, "gate.min_samples: is a count from 1"),
        ({"on_failure": "explode"}, "gate.on_failure: is rollback or pause"),
        ({"rollback_scope": "all"}, "gate.rollback_scope: is step or run"),
    ],
)  # fmt: skip
def test_settings_that_could_decide_nothing_are_one_clear_line(given, words):
    with pytest.raises(InputError) as error:
        parse(given, "phase.yml", 7)
    assert str(error.value).startswith(f"phase.yml:7: {words}")


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ({"window": 0}, "write 30s or more"),
        ({"interval": 0}, "write 2s"),
        ({"interval": "60s"}, "make the window longer"),
        ({"min_success": 2}, "write 0.999"),
        ({"failure_limit": -1}, "write 1, or 0 for never"),
        ({"min_samples": 0}, "write 3"),
        ({"consecutive": -1}, "write 1"),
        ({"on_failure": "x"}, "write rollback"),
        ({"rollback_scope": "x"}, "write step"),
        ({"min_samples": 99}, "make the window longer"),
        ({"consecutve": 1}, "did you mean consecutive?"),
    ],
)
def test_each_setting_that_decides_nothing_comes_with_its_mend(given, mend):
    with pytest.raises(InputError) as error:
        parse(given)
    assert error.value.mend == mend
    assert (error.value.path, error.value.line) == ("", None)
    assert str(error.value).startswith("gate.")


def test_the_largest_and_smallest_settings_that_decide_something_are_taken():
    for given in (
        {"window": "500ms", "interval": "500ms", "min_samples": 2, "consecutive": 2},
        {"min_success": 1, "failure_limit": 0, "consecutive": 0, "min_samples": 1},
        {"min_success": 0.0001, "on_failure": "pause", "rollback_scope": "run", "failure_limit": None},
        {"window": "10s", "interval": "2s", "min_samples": 6, "consecutive": 6},
    ):
        assert parse(given).min_samples >= 1
    with pytest.raises(InputError, match="6 rounds fit in the window"):
        parse({"window": "10s", "interval": "2s", "min_samples": 7})


def test_a_share_that_is_just_reached_passes():
    gate = Gate(window_s=10, interval_s=2, failure_limit=None, min_success=0.5, min_samples=1, consecutive=0)
    assert judged(gate, [BAD, GOOD, BAD, GOOD, BAD, GOOD]).outcome == "pass"
    assert judged(gate, [BAD, GOOD, BAD, GOOD, BAD, BAD]).outcome == "fail"


def test_failures_count_as_samples():
    gate = Gate(window_s=10, interval_s=2, failure_limit=None, min_success=0.5, min_samples=5, consecutive=0)
    verdict = judged(gate, [BAD, GOOD, UNKNOWN, BAD, GOOD, GOOD])
    assert (verdict.outcome, verdict.reason) == ("pass", "3 of 5 samples good")


def test_a_failure_without_a_word_says_that_it_gave_none():
    time = Time()
    probes = {"web-1": [Probe("tcp", "p0", "s0")]}

    def watched(**settings):
        return watch(
            Gate(window_s=4, interval_s=2, **settings), {"web-1": lambda: [Sample("p0", "web-1", "now", False)]}, probes,
            clock=time.clock, wait=time.wait,
        )  # fmt: skip

    assert watched().reason == "p0 on web-1 failed: no reason given"
    assert watched(failure_limit=None).reason == "p0 on web-1: 3 of 3 failed (no reason given)"


def test_a_verdict_carries_each_probe_with_its_last_failure_and_the_seconds_that_it_took():
    verdict = judged(Gate(window_s=10, interval_s=2, initial_delay_s=3), [GOOD, BAD])
    (result,) = verdict.results
    assert (result.probe, result.host, result.last_failure) == (Probe("command", "p0", "s0"), "web-1", "why")
    assert (verdict.outcome, verdict.seconds) == ("fail", 5.0)
    assert judged(Gate(window_s=10, interval_s=2, initial_delay_s=3), [GOOD], time=Time(stop_at=1)).seconds == 3.0
    assert judged(Gate(window_s=10, interval_s=2), [GOOD], time=Time(stop_at=3)).seconds == 4.0


def test_without_a_clock_of_its_own_a_gate_waits_for_real():
    probes = {"web-1": [Probe("tcp", "p0", "s0")]}
    gate = Gate(window_s=0.02, interval_s=0.01, min_samples=1)
    verdict = watch(gate, {"web-1": lambda: [Sample("p0", "web-1", "now", True)]}, probes)
    assert (verdict.outcome, verdict.seconds >= 0.02) == ("pass", True)
