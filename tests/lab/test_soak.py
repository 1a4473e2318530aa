"""Soaks on real hosts: one passes and opens production, one fails, one was not looked at for half of its time.

The hosts, the probes and the tasks are real; the clock between two ticks is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from checks.evidence import Soaks, Store
from checks.model import Probe
from checks.soak import Soak, now
from inventory.secrets import Mask
from lab.state import LabState
from runbooks import soaking
from runbooks.commands import scheduling
from runbooks.soaking import Ticker
from tests.lab.conftest import Practice, Ran

pytestmark = pytest.mark.lab
Inv = Callable[..., Ran]
HOURS, EVERY_S = 0.5, 30.0
REQUIRED = f"requires_soak: {{environment: staging, hours: {HOURS}}}"
# One request in 200 is answered with an error, by a server in the backend's own container.
FICKLE = """
import http.server, itertools
count = itertools.count(1)
class Fickle(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if next(count) % 200 == 0 else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Fickle).serve_forever()
"""
START = 'docker exec -d reconciliation-backend python3 -c "$2"; until docker exec reconciliation-backend bash -c ": </dev/tcp/127.0.0.1/9999" 2>/dev/null; do sleep 0.2; done'
STOP = 'docker exec reconciliation-backend sh -c \'for each in /proc/[0-9]*; do if tr "\\\\0" " " <$each/cmdline | grep -q itertools; then kill ${each#/proc/}; fi; done\' 2>/dev/null; true'


@pytest.fixture
def store(own_state: dict[str, str]):
    """The store that the tasks use."""
    made = Store(f"sqlite:///{own_state['RUNBOOK_STATE']}/evidence.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="module")
def guarded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' inventories, where production waits for a soak on staging."""
    made = tmp_path_factory.mktemp("guarded")
    for path in folder.iterdir():
        text = path.read_text()
        if path.stem == "production":
            text = text.replace("project_dir: ", f"{REQUIRED}\n        project_dir: ")
        (made / path.name).write_text(text)
    return made


def play(store: Store, soak: Soak, numbers: range) -> Soak:
    """Ticks of these numbers, each at its time, and the end of the soak."""
    ticker = Ticker(store, Mask(), "tests")
    try:
        for number in numbers:
            at = soak.time_of(number) + timedelta(seconds=soak.every_s / 2)
            assert ticker.tick(soak, at).number == number
    finally:
        ticker.close()
    ended = soaking.end(store, soak, soak.end)
    assert ended is not None
    return ended


def probes(store: Store, soak: str, kind: str) -> list[Probe]:
    return [each.probe for each in Soaks(store).series(soak) if each.probe.kind == kind]


def begun(store: Store, folder: Path, ticks: int, asked: list[Probe], identity: str) -> Soak:
    soak = Soak(
        identity, "staging", str(folder), (), "", "", "", "tests", now().isoformat(), ticks * EVERY_S, EVERY_S
    )  # fmt: skip
    Soaks(store).start(soak, [("staging-2", "reconciliation", probe) for probe in asked])
    return soak


def test_production_opens_after_a_passed_soak_of_the_same_plan_and_for_no_other(
    inv: Inv, guarded: Path, staging: dict[str, Practice], lab: LabState, store: Store
) -> None:
    for host in staging.values():
        host.settle()
    where = ("--inventory", str(guarded))
    plan = ("--phase", "1", *where, "--yes", "--tags", "health")
    before = inv("migrate", "--env", "production", *plan)
    assert before.code == 4, before.out + before.err
    assert "production needs a passed soak of 0.5 h on staging with this very plan" in before.err
    assert len(before.err.splitlines()) == 1

    carried = inv("migrate", "--env", "staging", *plan, "--serial", "100%")
    assert carried.code == 0, carried.out + carried.err
    scheduling.prove("staging", guarded)
    started = inv("soak.start", "--env", "staging", *where, "--hours", str(HOURS), "--json")
    assert started.code == 0, started.err
    soak = Soaks(store).get(started.document["soak"])
    assert soak is not None
    kinds = {row["kind"] for row in started.document["probes"]}
    assert kinds == {"container", "command", "postgres", "pgbouncer", "redis", "startup", "resources"}
    waiting = inv("migrate", "--env", "production", *plan)
    assert (waiting.code, f"{soak.id} goes on" in waiting.err) == (4, True), waiting.err

    ended = play(store, soak, range(soak.ticks))
    report = inv("soak.report", "--env", "staging", "--json")
    assert (ended.outcome, report.code) == ("pass", 0), ended.reason
    metrics = {metric["name"]: metric for metric in report.document["metrics"]}
    assert metrics["startup"]["verdict"] == metrics["health"]["verdict"] == "met"
    assert metrics["breakers"]["said"] == "no breaker yet"
    assert all(metrics[name]["value"] is not None for name in ("pool", "resources"))
    assert report.document["coverage"] == 1.0

    other = inv("migrate", "--phase", "1", "--env", "production", *where, "--yes", "--tags", "health,conditions")
    assert (other.code, "staging stands with another plan" in other.err) == (4, True), other.err
    accepted = inv("migrate", "--env", "production", *plan)
    assert accepted.code == 0, accepted.out + accepted.err
    watched = inv("soak.status", "--env", "production", "--json").document["soaks"][0]
    assert (watched["state"], watched["run"] != "") == ("running", True), "it goes on being watched by itself"

    history = inv("history", "--env", "staging", *where, "--json").document["runs"][0]
    assert (history["outcome"], history["promotion_key"], len(history["gates"])) == ("done", soak.promotion_key, 1)
    for environment in ("staging", "production"):
        assert inv("rollback", "--env", environment, *where, "--yes").code == 0
    assert inv("soak.status", "--env", "production", "--json").document["soaks"][0]["state"] == "stopped"
    closed = inv("migrate", "--env", "production", *plan)
    assert (closed.code, "staging was not migrated with it" in closed.err) == (4, True), closed.err


def test_a_service_that_fails_one_request_in_200_fails_the_soak_however_well_the_others_do(
    inv: Inv, guarded: Path, staging: dict[str, Practice], store: Store
) -> None:
    from scipy.stats import binomtest

    host = staging["staging-2"]
    host.settle()
    host.sh(START, FICKLE)
    try:
        ask = Probe("command", "asked:backend", "backend", {"command": ["curl", "-fsS", "http://127.0.0.1:9999/"]})
        others = [Probe("container", f"container:{name}", name) for name in ("postgres", "redis", "kibana", "grafana")]
        ended = play(store, begun(store, guarded, 420, [ask, *others], "soak-fickle"), range(420))
    finally:
        host.sh(STOP)
    assert ended.outcome == "fail"
    report = inv("soak.report", "--soak", "soak-fickle", "--json")
    assert report.code == 3
    row = next(row for row in report.document["probes"] if row["probe"] == "asked:backend")
    failed = 420 // 200
    assert (row["ok"], row["failed"], row["under"]) == (420 - failed, failed, True)
    bounds = binomtest(420 - failed, 420).proportion_ci(confidence_level=0.9, method="wilson")
    assert (row["lower"], row["upper"]) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
    assert [(each["probe"], each["failures"]) for each in report.document["incidents"]] == [
        ("asked:backend", 1)
    ] * failed
    assert report.document["success"]["share"] > 0.999 - 1e-4


def test_a_prober_that_was_off_for_half_of_the_time_shows_nothing_and_says_so(
    inv: Inv, guarded: Path, staging: dict[str, Practice], store: Store
) -> None:
    staging["staging-2"].settle()
    asked = [Probe("container", f"container:{name}", name) for name in ("postgres", "redis", "kibana", "grafana")]
    ended = play(store, begun(store, guarded, 80, asked, "soak-closed"), range(0, 80, 2))
    assert ended.outcome == "inconclusive"
    report = inv("soak.report", "--soak", "soak-closed", "--json")
    assert report.code == 7
    assert (report.document["coverage"], report.document["success"]["share"]) == (0.5, 1.0)
    assert report.document["ticks"] == {"expected": 80, "made": 40, "missed": 40}
    assert report.document["reason"] == "coverage is 50 %, 90 % is needed"
