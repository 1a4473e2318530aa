"""The step's files in real Redis servers, Sentinels and a HAProxy: what a failover costs, what it survives, and the way back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from tests.services import sets
from tests.services.servers import until
from tests.services.sets import Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sets.possible(), reason="no Redis, Sentinel and HAProxy here, or not root"),
    # What real Sentinels do in the seconds after a kill is not wholly ours to say: a drill for who works on it.
    pytest.mark.skipif(not os.environ.get("RUNBOOK_DRILLS"), reason="kills servers under load: RUNBOOK_DRILLS=1"),
]
LAST_MOMENT_S = 1.0
"""Replication lags this much at most here, for a write to be lost with its master."""


MASTER = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "redis"


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Running]:
    """A set in which everybody sees everybody."""
    folder = tmp_path / "set"
    folder.mkdir()
    with sets.running(folder) as found:
        found.well()
        until(lambda: served(found), "the front")
        yield found


def promoted(found: Running) -> None:
    """Waits until the replica is the master and every Sentinel that runs says so: one that ends, or a first master that comes
    back, before the others were told may leave them with the master of before."""
    until(lambda: found.role("redis-replica") == "master", "a new master")
    until(lambda: all(known(found, each) for each in found.made.sentinels), "all Sentinels to know it")


def known(found: Running, sentinel: str) -> bool:
    try:
        return bool(found.client(sentinel).execute_command(*MASTER)[0] == "redis-replica")
    except redis.RedisError:
        return False


def served(found: Running) -> bool:
    try:
        return bool(found.client(found.made.front).set("probe", "1"))
    except redis.RedisError:
        return False


@dataclass
class Load:
    """Clients that write through the front, a key a write. `acknowledged`: when each was; `failed`: how many were not."""

    found: Running
    acknowledged: dict[str, float] = field(default_factory=dict)
    failed: int = 0

    def __enter__(self) -> Load:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(4)]
        for each in self._threads:
            each.start()
        until(lambda: len(self.acknowledged) > 100, "load")
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for each in self._threads:
            each.join()

    def _write(self, client: int) -> None:
        connection, number = self.found.client(self.found.made.front), 0
        while not self._end.is_set():
            number += 1
            try:
                connection.set(f"{client}:{number}", "x")
                self.acknowledged[f"{client}:{number}"] = time.monotonic()
            except redis.RedisError:
                self.failed += 1
                time.sleep(0.02)

    def goes_on(self) -> None:
        """Until writes are acknowledged again, many of them."""
        before = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > before + 100, "a write")

    def lost(self, master: str) -> dict[str, float]:
        """Acknowledged writes that a node does not have."""
        there = set(self.found.client(master).scan_iter(count=10000))
        return {key: at for key, at in self.acknowledged.items() if key not in there}


def test_a_master_that_is_killed_under_load_is_followed_and_what_is_lost_was_acknowledged_in_its_last_moment(
    whole: Running,
) -> None:
    with Load(whole) as load:
        killed = time.monotonic()
        whole.kill("redis")
        promoted(whole)
        load.goes_on()
    lost = load.lost("redis-replica")
    print(f"{len(load.acknowledged)} acknowledged, {load.failed} refused, {len(lost)} lost")
    assert all(killed - LAST_MOMENT_S < at < killed + LAST_MOMENT_S for at in lost.values()), lost
    # It comes back, with nothing of what it had: it must follow, not be followed.
    for path in sorted((whole.folder / "redis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    whole.start("redis")
    whole.well()
    assert (whole.role("redis"), whole.role("redis-replica")) == ("slave", "master")
    assert "redis: the master is redis-replica" in whole.log("redis")
    assert load.lost("redis") == lost


def test_a_node_at_a_new_address_is_found_by_its_name_and_can_become_the_master(whole: Running) -> None:
    whole.kill("redis-replica")
    whole.addresses["redis-replica"] = f"{whole.net}.77"
    whole.named()
    whole.start("redis-replica")
    whole.well()
    whole.client("redis").set("kept", "yes")
    until(lambda: whole.client("redis-replica").get("kept"), "the write")
    whole.kill("redis")
    promoted(whole)
    first, second, *_ = whole.made.sentinels
    # A Sentinel, too: the others know its name.
    whole.kill(first)
    whole.addresses[first] = f"{whole.net}.78"
    conf = whole.folder / first / "sentinel.conf"
    conf.write_text(conf.read_text().replace(f"bind {whole.net}.3", f"bind {whole.net}.78"))
    whole.named()
    whole.start(first)
    whole.start("redis")
    whole.well()
    assert whole.client(second).execute_command(*MASTER)[0] == "redis-replica"


def test_after_a_restart_of_the_whole_host_the_last_master_is_the_master(whole: Running) -> None:
    whole.kill("redis")
    promoted(whole)
    until(lambda: served(whole), "a write")
    kept = whole.client("redis-replica")
    kept.set("since", "yes")
    # An answer comes before the bytes are given to the disk where that is busy just then.
    until(lambda: kept.info("persistence")["aof_buffer_length"] == 0, "the write to be in the file")
    names = (*whole.made.sentinels, "redis-replica")
    whole.kill(*names)
    # The old master is first, and waits for those who know.
    whole.start("redis")
    until(lambda: "waits for two of" in whole.log("redis").rpartition("the master is")[2], "waiting")
    assert whole.role("redis") == ""
    for name in reversed(names):
        whole.start(name)
    whole.well()
    assert (whole.role("redis"), whole.role("redis-replica")) == ("slave", "master")
    assert whole.client("redis").get("since") == "yes"
    until(lambda: served(whole), "a write")


def test_the_front_believes_two_sentinels_more_than_a_node_that_says_it_is_the_master(whole: Running) -> None:
    whole.kill("redis")
    promoted(whole)
    until(lambda: served(whole), "a write")
    whole.kill(whole.made.sentinels[0])  # two are enough
    # By hand, with the command that it had before there was a set, and nobody to tell it otherwise.
    for name in whole.made.sentinels[1:]:
        whole.client(name).execute_command("SENTINEL", "SET", "redis", "down-after-milliseconds", "60000")
    whole.start("redis", program="")
    until(lambda: whole.role("redis") == "master", "the old master")
    begin = time.monotonic()
    while whole.role("redis") == "master" and time.monotonic() < begin + 4:
        whole.client(whole.made.front).set("mine", "yes")
        there = whole.client("redis").get("mine")
        assert there is None or whole.role("redis") != "master"
    assert whole.client("redis-replica").get("mine") == "yes"


def test_the_gate_sees_a_sentinel_that_is_gone_a_replica_without_its_link_and_a_master_that_is_held_for_another(
    whole: Running,
) -> None:
    assert whole.judged().value == 3
    whole.kill(whole.made.sentinels[2])
    assert "redis-sentinel-3 says" in whole.judged().detail
    whole.start(whole.made.sentinels[2])
    whole.well()
    whole.client("redis-replica").config_set("masterauth", "wrong")
    whole.client("redis").client_kill_filter(_type="slave")
    until(lambda: "redis-replica has lost its master" in whole.judged().detail, "the loss")
    whole.client("redis-replica").config_set("masterauth", sets.PASSWORD)
    whole.well()
    whole.client("redis-replica").execute_command("REPLICAOF", "NO", "ONE")
    assert "masters: redis, redis-replica" in whole.judged().detail


def test_the_way_back_is_refused_in_one_line_while_the_first_master_is_away_then_loses_nothing_under_load(
    whole: Running,
) -> None:
    whole.kill("redis")
    promoted(whole)
    until(lambda: served(whole), "a write")
    refused = whole.fail_back()
    said = "redis-replica is the master, and redis does not follow it: bring redis back first\n"
    assert (refused.returncode, refused.stdout) == (1, said)
    assert all(whole.client(name).sentinel_masters() for name in whole.made.sentinels)
    whole.start("redis")
    whole.well()
    until(lambda: served(whole), "a write")
    with Load(whole) as load:
        done = whole.fail_back()
        assert done.returncode == 0, done.stdout
        load.goes_on()
    assert "redis has read all that redis-replica has written" in done.stdout
    assert done.stdout.splitlines()[-1] == "redis is the master"
    assert load.lost("redis") == {}
    assert whole.role("redis") == "master"
    assert [whole.client(name).sentinel_masters() for name in whole.made.sentinels] == [{}, {}, {}]
    again = whole.fail_back()
    assert (again.returncode, again.stdout) == (0, "redis is the master\n")


def test_without_a_failover_there_is_nothing_to_bring_back(whole: Running) -> None:
    whole.kill("redis-replica", *whole.made.sentinels[:2])
    done = whole.fail_back()
    assert (done.returncode, done.stdout) == (0, "redis is the master\n")
    assert whole.role("redis") == "master"


def test_the_way_back_is_taken_by_hand_where_no_sentinel_is_left(whole: Running) -> None:
    whole.kill("redis")
    promoted(whole)
    whole.start("redis")
    whole.well()
    whole.client("redis-replica").set("since", "yes")
    whole.kill(*whole.made.sentinels)
    done = whole.fail_back()
    assert done.returncode == 0, done.stdout
    assert (whole.role("redis"), whole.role("redis-replica")) == ("master", "slave")
    assert whole.client("redis").get("since") == "yes"
