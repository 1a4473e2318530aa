"""Phase 1 on real hosts: plan, migrate, gate, sabotage, roll back. One host's story a test, in the order of a run."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from lab import hosts
from lab.state import LabState
from tests.lab.conftest import GATE, ROOT, Practice, Ran

pytestmark = pytest.mark.lab
Inv = Callable[..., Ran]


def test_the_plan_says_what_phase_1_does_and_changes_nothing(inv: Inv, folder, staging: dict[str, Practice]) -> None:
    before = staging["staging-1"].state()
    ran = inv("plan", "--phase", "1", "--env", "staging", "--inventory", str(folder), "--json")
    assert ran.code == 2, ran.err
    for host in ran.document["hosts"]:
        changes = [change for step in host["steps"] for change in step["changes"]]
        added = {change["service"] for change in changes if change["what"] == "health_check"}
        edges = [c for c in changes if c["what"] == "condition" and c["before"] != "none"]
        urls = {change["service"] for change in changes if change["what"] == "database_url"}
        assert added == {"pgbouncer", "logstash", "kibana", "apm-server", "frontend", "prometheus", "grafana"}
        assert len(edges) == 8
        assert urls == {"backend"}
        assert {
            c["proof"]
            for c in changes
            if c["what"] in ("health_check", "condition", "database_url") and c["before"] != "none"
        } == {"proven"}
        recreated = [restart["service"] for restart in host["restarts"]]
        assert max(recreated.count(name) for name in recreated) == 2
        assert host["blocked"] == []
        assert [file["path"] for file in host["files"]] == ["docker-compose.yml"]
    assert "POSTGRES_PASSWORD" in ran.out
    assert secret() not in ran.out + ran.err
    assert staging["staging-1"].state() == before


def secret() -> str:
    """A password of the example, which must never be shown."""
    lines = (ROOT / "examples" / "reconciliation" / ".env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("POSTGRES_PASSWORD="))


@pytest.mark.parametrize(("after_s", "window"), [(4, "10s"), (20, "30s")], ids=["soon", "20 s into the window"])
def test_a_service_that_turns_unhealthy_after_the_change_is_caught_and_everything_is_as_before(
    inv: Inv, folder, staging: dict[str, Practice], tmp_path, after_s: float, window: str
) -> None:
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    host.drill(after_s)
    text = (folder / "staging.yml").read_text().replace(GATE["window"], window)
    (tmp_path / "staging.yml").write_text(text)
    words = ("--phase", "1", "--env", "staging", "--inventory", str(tmp_path), "--limit", "staging-1")
    ran = inv("migrate", *words, "--yes", "--json", "--tags", "health,conditions")
    assert ran.code == 3, ran.err
    assert ran.document["outcome"] == "gate failed"
    assert ran.document["hosts"] == {"staging-1": "undone"}
    failing = [each for event in ran.document["events"] if event["event"] == "gate_round" for each in event["failing"]]
    assert "health:backend" in {each["probe"] for each in failing}
    assert host.state() == before
    assert host.would_recreate() == 0


def test_a_kept_plan_is_carried_out_and_everything_rolled_back_byte_for_byte(
    inv: Inv, folder, staging: dict[str, Practice], tmp_path
) -> None:
    for host in staging.values():
        host.settle()
    before = {name: host.state() for name, host in staging.items()}
    kept = tmp_path / "plan.json"
    words = ("--phase", "1", "--env", "staging", "--inventory", str(folder))
    assert inv("plan", *words, "--out", str(kept)).code == 2
    assert kept.stat().st_mode & 0o777 == 0o600
    assert secret() not in kept.read_text()

    one = staging["staging-1"]
    one.sh('cd "$1" && cp -p docker-compose.yml /tmp/kept && printf "# by hand\\n" >> docker-compose.yml')
    ran = inv("migrate", "--plan", str(kept), "--inventory", str(folder), "--yes")
    assert ran.code == 4
    assert "the world has changed since the plan was made: staging-1" in ran.err
    one.sh('cd "$1" && cp -p /tmp/kept docker-compose.yml && rm /tmp/kept')

    ran = inv("migrate", "--plan", str(kept), "--inventory", str(folder), "--yes", "--serial", "100%")
    assert ran.code == 0, ran.err + ran.out
    assert secret() not in ran.out + ran.err
    assert [host.would_recreate() for host in staging.values()] == [0, 0]

    again = inv("migrate", *words, "--yes")
    assert again.code == 0
    assert "there was nothing to do" in again.out
    assert inv("plan", *words).code == 0
    assert inv("health", "--env", "staging", "--inventory", str(folder)).code == 0
    status = inv("status", "--env", "staging", "--inventory", str(folder), "--json").document
    assert [len(host["applied"]) for host in status["hosts"]] == [2, 2]
    assert [host["drift"] for host in status["hosts"]] == [[], []]

    back = inv("rollback", "--inventory", str(folder), "--yes")
    assert back.code == 0, back.err + back.out
    assert {name: host.state() for name, host in staging.items()} == before
    twice = inv("rollback", "--env", "staging", "--inventory", str(folder), "--yes")
    assert (twice.code, "nothing to undo" in twice.out) == (0, True)
    assert {name: host.state() for name, host in staging.items()} == before


def test_an_unreachable_host_does_not_stop_the_others_and_drift_stops_a_rollback(
    inv: Inv, folder, staging: dict[str, Practice], tmp_path
) -> None:
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    text = (folder / "staging.yml").read_text().replace("staging-2:", "staging-2: {ansible_port: 1}")
    (tmp_path / "staging.yml").write_text(text)
    ran = inv(
        "migrate",
        "--phase",
        "1",
        "--env",
        "staging",
        "--inventory",
        str(tmp_path),
        "--yes",
        "--json",
        "--tags",
        "health",
    )
    assert ran.code == 5, ran.err
    assert ran.document["hosts"] == {"staging-1": "changed", "staging-2": "failed"}

    words = ("--env", "staging", "--inventory", str(folder), "--limit", "staging-1")
    host.sh('cd "$1" && printf "# by hand\\n" >> docker-compose.yml')
    drift = inv("status", *words, "--json").document["hosts"][0]["drift"]
    assert [path.rsplit("/", 1)[1] for path in drift] == ["docker-compose.yml"]
    refused = inv("rollback", *words, "--yes")
    assert refused.code == 4, refused.out
    assert "docker-compose.yml" in refused.out
    # Meanwhile an image's name has moved on to another image: what ran before must run again.
    host.sh(
        'docker tag "$(docker inspect -f "{{.Image}}" reconciliation-redis)" "$(docker inspect -f "{{.Config.Image}}" reconciliation-grafana)"'
    )
    forced = inv("rollback", *words, "--yes", "--force")
    assert forced.code == 0, forced.out + forced.err
    assert " again" in forced.out
    assert host.state() == before


def test_ctrl_c_in_the_midst_of_a_step_leaves_the_host_as_it_was(
    started: Callable[..., subprocess.Popen[str]], folder, staging: dict[str, Practice]
) -> None:
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    words = ("--phase", "1", "--env", "staging", "--inventory", str(folder), "--limit", "staging-1", "--tags", "health")
    run = started("migrate", *words, "--yes")
    assert run.stdout is not None
    seen = next(line for line in run.stdout if "healthy after" in line or "outcome" in line)
    run.send_signal(signal.SIGINT)
    rest = run.stdout.read()
    assert run.wait(timeout=300) == 130, seen + rest
    assert host.state() == before
    assert host.would_recreate() == 0


def test_a_baseline_that_does_not_hold_is_refused_before_anything_is_written(
    inv: Inv, folder, staging: dict[str, Practice]
) -> None:
    host = staging["staging-1"]
    host.settle()
    host.sh(
        'cd "$1" && cp -p docker-compose.yml /tmp/kept && sed -i "s/max_connections=100/max_connections=101/" docker-compose.yml'
    )
    changed = host.state()
    ran = inv(
        "migrate", "--phase", "1", "--env", "staging", "--inventory", str(folder), "--limit", "staging-1", "--yes"
    )
    assert ran.code == 4, ran.out
    assert "postgres does not run as its files say" in ran.out
    assert host.state() == changed
    host.sh('cd "$1" && cp -p /tmp/kept docker-compose.yml && rm /tmp/kept')


def test_one_lock_at_a_time(inv: Inv, folder, staging: dict[str, Practice]) -> None:
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    # The lock is a link whose target says whose it is, since when.
    host.sh(
        'cd "$1" && ln -s "run=other who=somebody@elsewhere since=$(date +%s) renewed=$(date +%s)" .compose-runbook.lock'
    )
    ran = inv(
        "migrate", "--phase", "1", "--env", "staging", "--inventory", str(folder), "--limit", "staging-1", "--yes"
    )
    assert ran.code == 4, ran.out
    assert "somebody@elsewhere" in ran.out
    assert inv("unlock", "--env", "staging", "--inventory", str(folder), "--limit", "staging-1", "--yes").code == 0
    assert host.state() == before


def test_production_is_never_chosen_without_being_named(inv: Inv, folder, lab: LabState) -> None:
    ran = inv(
        "migrate", "--phase", "1", "--env", "production", "--inventory", str(folder), "--yes", "--tags", "conditions"
    )
    assert ran.code == 0, ran.out + ran.err
    refused = inv("rollback", "--inventory", str(folder), "--yes")
    assert refused.code == 1
    assert "--env production" in refused.err
    assert inv("rollback", "--env", "production", "--inventory", str(folder), "--yes").code == 0


def test_adopt_finds_the_project_that_runs(inv: Inv, folder, staging: dict[str, Practice]) -> None:
    ran = inv("inventory.adopt", "staging-1", "--env", "staging", "--inventory", str(folder))
    assert ran.code == 0, ran.err
    assert "project_dir: /srv/reconciliation" in ran.out


def test_the_lab_says_what_stands(lab: LabState) -> None:
    found = {each.name: each for each in hosts.status(lab)}
    assert set(found) == {"staging-1", "staging-2", "production-1"}
    assert all(each.state == "running" and each.engine for each in found.values())
