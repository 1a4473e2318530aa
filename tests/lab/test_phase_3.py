"""Phase 3 on a real host, one story: a cache that is warm before traffic, a registry, names for hosts, two sabotages, the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import GATE, Practice, Ran, failing, wishing

pytestmark = pytest.mark.lab
Inv = Callable[..., Ran]
WISHES = {
    "cache_consumers": {"backend": ["REDIS_URL"]},
    "cache_memory": "64mb",
    "cache_warm": [{"query": "select 'warm:' || n, n from generate_series(1, 50) n", "from": "postgres", "ttl": "1h"}],
    "registry_lease": "6s",
    "gate": {**GATE, "min_samples": 1},  # of a busy machine, too
}
CACHE = 'cd "$1" && docker compose exec -T redis-cache sh -c \'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli "$@"\' sh '
REGISTRY = 'cd "$1" && docker compose exec -T service-registry etcdctl '
ENTRIES = REGISTRY + "get --prefix --keys-only /services/"


@pytest.fixture(scope="module")
def words(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options for one host of an inventory that wishes for all of phase 3."""
    return wishing(folder, tmp_path_factory.mktemp("inventory-3"), WISHES)


def test_phase_3_is_in_force_shown_by_its_probes_sabotaged_twice_and_rolled_back_byte_for_byte(
    inv: Inv, words: tuple[str, ...], staging: dict[str, Practice]
) -> None:
    host = staging["staging-2"]
    host.settle()
    before = host.state()
    refused = inv("migrate", "--phase", "3", *words, "--accept-risk", "high", "--yes")
    assert refused.code == 4, refused.out
    runs = [inv("migrate", "--phase", number, *words, "--yes", "--json") for number in ("1", "2")]
    for ran in runs:
        assert ran.code == 0, ran.err
    host.settle()
    between = host.state()

    risky = inv("migrate", "--phase", "3", *words, "--yes")
    assert risky.code == 4, risky.out

    # Sabotage: as soon as the cache answers, nobody is told of changes any more.
    host.sh(f"(until {CACHE}config set notify-keyspace-events x >/dev/null 2>&1; do sleep 0.2; done) >/dev/null 2>&1 &")
    ended = inv("migrate", "--phase", "3", *words, "--accept-risk", "high", "--yes", "--json")
    assert ended.code == 3, ended.err
    assert any("cache_invalidation" in each for each in failing(ended)), failing(ended)
    assert host.state() == between

    # Sabotage again, one step further: as soon as services are registered, somebody takes them out again and again.
    removing = f"while {REGISTRY}del --prefix /services/; do sleep 0.1; done"
    host.sh(f"(until {ENTRIES} | grep -q postgres; do sleep 0.2; done; {removing}) >/dev/null 2>&1 &")
    second = inv("migrate", "--phase", "3", *words, "--accept-risk", "high", "--yes", "--json")
    assert second.code == 3, second.err
    assert any(each.startswith("registry:") for each in failing(second)), failing(second)
    undone = [event for event in second.document["events"] if event["event"] == "step_undone"]
    assert [(event["steps"], event["ok"]) for event in undone] == [(["service registry"], True)]

    third = inv("migrate", "--phase", "3", *words, "--accept-risk", "high", "--yes", "--json")
    assert third.code == 0, third.err + third.out
    assert inv("plan", "--phase", "3", *words).code == 0
    assert host.would_recreate() == 0
    assert host.sh(CACHE + "get warm:50").strip() == "50"
    assert "/services/postgres/reconciliation" in host.sh(ENTRIES)

    listed = inv("discovery.list", *words, "--json")
    assert listed.code == 0, listed.err
    assert {"postgres", "backend"} <= {each["service"] for each in listed.document["staging-2"]["entries"]}
    found = inv("discovery.resolve", "postgres", *words)
    assert (found.code, found.out.strip()) == (0, "postgres:5432")

    both = inv("rollback", *words, "--run", second.document["run"], "--with-later", "--yes")
    assert both.code == 0, both.err + both.out
    host.settle()
    assert host.state() == between
    back = inv("rollback", *words, "--run", runs[0].document["run"], "--with-later", "--yes")
    assert back.code == 0, back.err + back.out
    assert host.state() == before
    assert host.would_recreate() == 0
