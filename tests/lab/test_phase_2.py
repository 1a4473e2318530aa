"""Phase 2 on a real host, one story: refused without phase 1, in force, a drill under load, a sabotage, each way back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from checks.evidence import Soaks, Store
from checks.model import Probe
from checks.soak import Soak, now
from inventory.secrets import Mask
from lab import demo_2
from lab.measure import aggregator, drills
from runbooks import soaking
from runbooks.soaking import Ticker
from tests.lab.conftest import Practice, Ran, as_soon_as, failing, steps_of

pytestmark = pytest.mark.lab
Inv = Callable[..., Ran]
LIMIT_S = 180
GATE = "{window: 4s, interval: 1s, min_samples: 1, failure_limit: 0, min_success: 0.5, consecutive: 1}"
"""What a busy machine delays for once is no failure; what is well at the end of the window must be so in its last round."""
LIMITS = "docker inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}' reconciliation-$2"
GREEDY = 'docker exec reconciliation-$2 python3 -c "bytearray(400 << 20)"; echo "exit $?"'
POOL = 'cd "$1" && docker compose exec -T pgbouncer printenv DEFAULT_POOL_SIZE'
IN_AGGREGATOR = 'cd "$1" && docker compose exec -T health-aggregator '
UP = 'docker inspect -f "{{.Config.Env}} {{.State.Health.Status}}" reconciliation-frontend | grep -q "circuit-breaker.* healthy"'
"""The frontend, the last that the step brings up, is well behind the breaker."""
METRICS = "cd \"$1\" && docker compose exec -T circuit-breaker curl -s http://127.0.0.1:8404/metrics | grep '^haproxy_server_check_up_down_total.* [0-9]'"
BREAKER = Probe("breaker", "breaker:circuit-breaker", "circuit-breaker")
SOAK = "soak-breakers"
GIB = 1 << 30


@pytest.fixture(scope="module")
def chosen(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """The folder of an inventory with the demo's wishes, less memory for one service and quick breakers; and the options."""
    made = tmp_path_factory.mktemp("inventory-2")
    text = re.sub(r"(?m)^ +gate: .*\n", "", (folder / "staging.yml").read_text())
    for own in ("resource_overrides: {frontend: {limits: {memory: 128M}}}", "breaker_open: 6s"):
        text = re.sub(r"(?m)^( +)(?=project_dir: )", rf"\1{own}\n\1", text)
    (made / "staging.yml").write_text(demo_2.wishing(text).replace(demo_2.GATE, GATE))
    return made, ("--env", "staging", "--inventory", str(made), "--limit", "staging-1")


@pytest.fixture
def store(own_state: dict[str, str]) -> Iterator[Store]:
    """The store that the tasks use."""
    made = Store(f"sqlite:///{own_state['RUNBOOK_STATE']}/evidence.sqlite")
    yield made
    made.close()


def until(holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.5)
    return found


def test_phase_2_is_refused_alone_in_force_afterwards_and_goes_back_alone_or_with_phase_1(
    inv: Inv, chosen: tuple[Path, tuple[str, ...]], staging: dict[str, Practice], store: Store
) -> None:
    folder, words = chosen
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    refused = inv("migrate", "--phase", "2", *words, "--yes")
    assert refused.code == 4, refused.out
    assert "phase 2 requires phase 1 (Critical fixes)" in refused.out + refused.err
    assert host.state() == before

    first = inv("migrate", "--phase", "1", *words, "--yes", "--json")
    assert first.code == 0, first.err
    host.settle()
    between = host.state()

    second = inv("migrate", "--phase", "2", *words, "--yes", "--json")
    assert second.code == 0, second.err + second.out
    assert steps_of(second) == ["resource profiles", "pool sizes", "the health of all", "circuit breakers"]
    assert inv("plan", "--phase", "2", *words).code == 0
    assert host.would_recreate() == 0
    limits_are_in_force(host)
    everything_is_asked(host)
    a_database_that_stops_is_broken_off_and_comes_back(host, folder, store)

    alone = inv("rollback", *words, "--run", first.document["run"], "--yes")
    assert alone.code == 4, alone.out
    assert "add --with-later to take both" in alone.out + alone.err
    back = inv("rollback", *words, "--yes")
    assert back.code == 0, back.err + back.out
    host.settle()
    assert host.state() == between

    # Applied again; the last step is sabotaged when all is up, and it alone is undone.
    with as_soon_as(host, UP, "docker stop $(docker ps -q --filter name=circuit-breaker)"):
        again = inv("migrate", "--phase", "2", *words, "--yes", "--json")
    assert again.code == 3, again.err
    assert steps_of(again) == steps_of(second)
    assert any("circuit-breaker" in each for each in failing(again)), failing(again)
    undone = [event for event in again.document["events"] if event["event"] == "step_undone"]
    assert [(event["steps"], event["ok"]) for event in undone] == [(["circuit breakers"], True)]

    both = inv("rollback", *words, "--run", first.document["run"], "--with-later", "--yes")
    assert both.code == 0, both.err + both.out
    assert host.state() == before
    assert host.would_recreate() == 0


def limits_are_in_force(host: Practice) -> None:
    assert host.sh(LIMITS, "pgbouncer").split() == ["1000000000", str(GIB)]
    assert host.sh(LIMITS, "backend").split() == ["2000000000", str(2 * GIB)]  # larger ones set by hand stay
    assert host.sh(LIMITS, "frontend").split() == ["1000000000", str(GIB // 8)]
    assert host.sh(GREEDY, "frontend").strip().endswith("exit 137")
    assert host.sh(POOL).strip() == "30"


def everything_is_asked(host: Practice) -> None:
    """The proposal's answer, from the host's own services; and all at once, so that it takes what its slowest check takes."""

    def health() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(host.sh(f"{IN_AGGREGATOR} curl -s http://127.0.0.1:8080/health"))
        return found

    until(lambda: health()["status"] == "healthy")
    found = health()["services"]
    assert {"status", "latency"} == set(found["backend"])
    assert {"status", "connections"} == set(found["postgres"])
    assert {"status", "memory"} == set(found["redis"])
    assert host.sh(f"{IN_AGGREGATOR} id -u").strip() == "65532"
    host.sh("docker pause reconciliation-kibana reconciliation-grafana")
    try:
        assert health()["status"] == "degraded"
        measured = aggregator.measure(host.link, 1)
        # Two that do not answer at all have three seconds each.
        assert measured.slowest_s > 2.9
        assert measured.serial_s > 5.8
        until(lambda: aggregator.measure(host.link, 1).times < 1.2)  # what else the machine does may delay one answer
    finally:
        host.sh("docker unpause reconciliation-kibana reconciliation-grafana")


def a_database_that_stops_is_broken_off_and_comes_back(host: Practice, folder: Path, store: Store) -> None:
    """Under load: the fallback serves soon, the service itself serves again, and each trip is counted everywhere."""
    soak = Soak(SOAK, "staging", str(folder), (), "", "", "", "tests", now().isoformat(), 60.0, 30.0)
    Soaks(store).start(soak, [("staging-1", "reconciliation", BREAKER)])
    ticker = Ticker(store, Mask(), "tests")
    try:
        assert ticker.tick(soak, soak.time_of(0) + timedelta(seconds=15)).number == 0
        trips = demo_2.trips(host.link)
        found = drills.run(host.link, demo_2.THROUGH, replace(drills.STOPPED, hold_s=20.0, rest_s=5.0))
        assert found.fallback > 100
        assert found.served > found.own > 0
        # Breakers in a row close one after another: what is behind the first is well again only then.
        assert found.recovered_s is not None
        opened = demo_2.trips(host.link) - trips
        assert opened >= 1
        assert sum(float(line.split()[-1]) for line in host.sh(METRICS).splitlines()) >= opened
        assert ticker.tick(soak, soak.time_of(1) + timedelta(seconds=15)).number == 1
    finally:
        ticker.close()
    ended = soaking.end(store, soak, soak.end)
    assert ended is not None
    metric = next(each for each in soaking.assessed(store, ended).metrics if each.name == "breakers")
    assert (metric.verdict, metric.said.split(" in ")[0]) == ("missed", f"{opened:g}")
    host.sh(demo_2.WELL)
