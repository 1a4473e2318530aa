"""A Redis that gets a replica on a practice host: its master dies under load, and the way back loses nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.measure import failover
from tests.lab.conftest import Practice, Ran, secrets

pytestmark = pytest.mark.lab
CLI = 'cd "$1" && docker compose exec -T redis sh -c "REDISCLI_AUTH=\\"\\$REDIS_PASSWORD\\" redis-cli $2"'


def test_a_redis_gets_its_replica_its_master_dies_under_load_and_the_way_back_fails_back_first(
    inv: Callable[..., Ran], folder, staging: dict[str, Practice], tmp_path
) -> None:
    host = staging["staging-1"]
    host.settle()
    before = host.state()
    text = (folder / "staging.yml").read_text()
    at = text.index("project_dir: ")
    (tmp_path / "staging.yml").write_text(f"{text[:at]}sentinel_master: redis\n{text[text.rindex(chr(10), 0, at) + 1 : at]}{text[at:]}")  # fmt: skip
    words = ("--env", "staging", "--inventory", str(tmp_path), "--limit", "staging-1")
    first = inv("migrate", "--phase", "1", *words, "--yes")
    assert first.code == 0, first.out + first.err
    between = host.state()
    assert host.sh(CLI, "set kept since-before").strip() == "OK"

    ran = inv("migrate", "--phase", "2", *words, "--tags", "redis", "--yes")
    assert ran.code == 0, ran.out + ran.err
    assert host.would_recreate() == 0
    assert inv("plan", "--phase", "2", *words, "--tags", "redis").code == 0

    drill = failover.run(host.link, secrets()["REDIS_PASSWORD"])
    print(drill)
    assert drill.acknowledged > 100
    assert drill.away_s < failover.SECONDS - failover.CALM_S
    # Away, the first master cannot be failed back to: nothing is touched.
    standing = host.state()
    refused = inv("rollback", *words, "--yes")
    assert refused.code == 4, refused.out
    assert "redis-replica is the master, and redis does not follow it: bring redis back first" in refused.out
    assert host.state() == standing

    host.sh('cd "$1" && docker compose start redis 2>/dev/null')
    back = inv("rollback", *words, "--yes")
    assert back.code == 0, back.out + back.err
    assert host.state() == between
    assert host.sh(CLI, "get kept").strip() == "since-before"
    assert host.sh(CLI, f"get {drill.last}").strip() == "x"
    assert host.sh(CLI, "info replication").splitlines()[1].strip() == "role:master"
    assert inv("rollback", *words, "--yes").code == 0
    assert host.state() == before
