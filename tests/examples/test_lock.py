"""The worked example of a shared lock against a real Redis: fifty contenders, some killed while they hold it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client

from tests.services import servers

PATH = Path(__file__).resolve().parents[2] / "examples" / "lock" / "lock.py"
_spec = importlib.util.spec_from_file_location("lock_example", PATH)
assert _spec
assert _spec.loader
example = importlib.util.module_from_spec(_spec)
sys.modules["lock_example"] = example
_spec.loader.exec_module(example)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not here"),
]
ENTER = """
-- KEYS: the lock, who is inside. ARGV: a token, a fence. 1: alone inside, until the lock ends; 0: another is; -1: its time is over.
if redis.call('get', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('set', KEYS[2], ARGV[2], 'NX', 'PX', redis.call('pttl', KEYS[1])) then return 1 end
return 0
"""
HOLDER = """
import importlib.util, sys, time, redis
spec = importlib.util.spec_from_file_location("lock_example", sys.argv[1])
example = importlib.util.module_from_spec(spec)
sys.modules["lock_example"] = example
spec.loader.exec_module(example)
connection = redis.Redis(port=int(sys.argv[2]), password="pw")
while not (held := example.acquire(connection, "lock", 300)):
    time.sleep(0.005)
connection.rpush("killed", held.fence)
print(held.fence, connection.eval(sys.argv[3], 2, "lock", "inside", held.token, held.fence), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with servers.redis("pw") as (port, _):
        yield port


@pytest.fixture
def connection(port: int) -> client.Redis:
    found = client.Redis(port=port, password="pw")
    found.flushall()
    return found


def test_of_fifty_contenders_of_whom_five_are_killed_no_two_are_ever_inside_and_no_write_is_lost(port: int, connection: client.Redis) -> None:  # fmt: skip
    """Each adds one to a number that only the lock guards, and leaves a sign while it is inside."""
    done: list[int] = []
    overlaps: list[bool] = []
    guard = threading.Lock()

    def contend() -> None:
        own = client.Redis(port=port, password="pw")
        left = 4
        while left:
            held = example.acquire(own, "lock", 60_000)
            if held is None:
                time.sleep(0.002)
                continue
            overlaps.append(own.eval(ENTER, 2, "lock", "inside", held.token, held.fence) == 0)
            count = int(own.get("count") or 0)
            written = example.write(own, held, "count", str(count + 1))
            own.delete("inside")
            assert example.release(own, held)
            if written:
                left -= 1
                with guard:
                    done.append(held.fence)

    words = [sys.executable, "-c", HOLDER, str(PATH), str(port), ENTER]
    holders = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(5)]
    threads = [threading.Thread(target=contend) for _ in range(45)]
    try:
        for thread in threads:
            thread.start()
        for holder in holders:
            assert holder.stdout
            fence, entered = map(int, holder.stdout.readline().split())
            assert fence > 0
            overlaps.append(entered == 0)
            holder.kill()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
            assert holder.stdout
            holder.stdout.close()
    assert len(overlaps) >= 185
    assert not any(overlaps)
    assert connection.get("count") == b"180"
    assert len(set(done)) == 180
    killed = [int(fence) for fence in connection.lrange("killed", 0, -1)]
    assert len(set(killed)) == 5
    assert not set(killed) & set(done)


def test_who_slept_past_its_time_is_kept_from_writing_over_its_successor(connection: client.Redis) -> None:
    late = example.acquire(connection, "lock", 1)
    while connection.exists("lock"):
        time.sleep(0.002)
    next_ = example.acquire(connection, "lock", 60_000)
    assert late
    assert next_
    assert next_.fence > late.fence
    assert example.write(connection, next_, "value", "new")
    assert not example.write(connection, late, "value", "old")
    assert connection.get("value") == b"new"
    assert not example.release(connection, late), "a lock of another's stays"
    assert example.acquire(connection, "lock", 60_000) is None
    assert example.release(connection, next_)
    assert example.acquire(connection, "lock", 60_000)
