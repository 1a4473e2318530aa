"""Writes through a Redis' front while something happens to it: HOST PORT CLIENTS SECONDS; PASSWORD is put before this text.

Prints JSON: writes that were acknowledged, that were not, that are not there afterwards although they were, the longest time (s)
without an acknowledged one, and the last key.
"""

import itertools
import json
import sys
import threading
import time

import redis
import redis.backoff
import redis.retry

host, port, clients, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
password = globals().get("PASSWORD")
end = time.monotonic() + seconds
acknowledged: list[tuple[float, str]] = []
refused: list[int] = []


def connected() -> redis.Redis:
    none = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.Redis(host, port, password=password, socket_timeout=2, socket_connect_timeout=2, retry=none, decode_responses=True)  # fmt: skip


def write(client: int) -> None:
    connection, number = connected(), 0
    while time.monotonic() < end:
        number += 1
        key = f"drill:{client}:{number}"
        try:
            connection.set(key, "x", ex=3600)
            acknowledged.append((time.monotonic(), key))
        except redis.RedisError:
            refused.append(number)
            time.sleep(0.02)


threads = [threading.Thread(target=write, args=(client,)) for client in range(clients)]
for each in threads:
    each.start()
for each in threads:
    each.join()
acknowledged.sort()
there = set(connected().scan_iter("drill:*", count=10000))
times = [at for at, _ in acknowledged]
print(
    json.dumps(
        {
            "acknowledged": len(acknowledged),
            "refused": len(refused),
            "lost": sum(key not in there for _, key in acknowledged),
            "away_s": max((later - sooner for sooner, later in itertools.pairwise(times)), default=seconds),
            "last": acknowledged[-1][1] if acknowledged else "",
        }
    )
)
