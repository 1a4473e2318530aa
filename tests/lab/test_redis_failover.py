"""A Redis with a replica on a real host, one story: a front that dies in the gate, a master that dies under load, the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.measure import failover
from tests.lab.conftest import Practice, Ran, as_soon_as, failing, secrets, wishing

pytestmark = [pytest.mark.lab, pytest.mark.drill]
Inv = Callable[..., Ran]
STEP = ("--step", "a replica of Redis")
WISHES = {
    "sentinel_master": "redis",
    "gate": {"window": "4s", "interval": "1s", "min_samples": 1, "failure_limit": 0},
}
UP = 'docker inspect -f "{{.Config.Env}} {{.State.Health.Status}}" reconciliation-backend | grep -q "@redis-front.* healthy"'
"""The backend is well behind the front: what the step brings up is there."""
END = "docker kill $(docker ps -q --filter name=redis-front)"
START = "docker start reconciliation-redis >/dev/null"
GET = 'cd "$1" && docker compose exec -T redis sh -c \'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli get "$0"\' "$2"'
MASTER = "cd \"$1\" && docker compose exec -T redis-sentinel-1 sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -p 26379 sentinel get-master-addr-by-name redis' | head -n 1"


@pytest.fixture(scope="module")
def words(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options for one host of an inventory that wishes for a replica."""
    return wishing(folder, tmp_path_factory.mktemp("inventory-redis"), WISHES)


def test_a_master_that_dies_under_load_is_replaced_and_a_rollback_fails_back_first(
    inv: Inv, words: tuple[str, ...], staging: dict[str, Practice]
) -> None:
    host = staging["staging-2"]
    host.settle()
    before = host.state()
    first = inv("migrate", "--phase", "1", *words, "--yes", "--json")
    assert first.code == 0, first.err
    host.settle()
    between = host.state()

    with as_soon_as(host, UP, END):
        ended = inv("migrate", "--phase", "2", *words, *STEP, "--yes", "--json")
    assert ended.code == 3, ended.err
    assert any("redis" in each for each in failing(ended)), failing(ended)
    assert host.state() == between

    # Applied again, and this time it stands.
    again = inv("migrate", "--phase", "2", *words, *STEP, "--yes", "--json")
    assert again.code == 0, again.err + again.out
    assert inv("plan", "--phase", "2", *words, *STEP).code == 0
    assert host.would_recreate() == 0
    assert host.sh(MASTER).strip() == "redis"

    found = failover.run(host.link, secrets()["REDIS_PASSWORD"])
    print(found)
    assert found.acknowledged > 1000
    assert found.away_s < 60
    assert found.early == 0, found
    assert host.sh(MASTER).strip() == "redis-replica"

    refused = inv("rollback", *words, "--yes")
    assert refused.code == 4, refused.out
    assert "bring redis back first" in refused.out + refused.err
    host.sh(START)
    back = inv("rollback", *words, "--yes")
    assert back.code == 0, back.err + back.out
    host.settle()
    assert host.state() == between
    assert host.sh(GET, found.last).strip() == "x"

    whole = inv("rollback", *words, "--run", first.document["run"], "--with-later", "--yes")
    assert whole.code == 0, whole.err + whole.out
    assert host.state() == before
    assert host.would_recreate() == 0
