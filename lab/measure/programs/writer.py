"""Writes through a Redis' front until writing has failed and works again: HOST PORT CLIENTS LIMIT_S; PASSWORD is put before this text.

Says "writing" when enough was acknowledged, and at the end one JSON document: writes that were acknowledged, that were refused,
that are not there although they were acknowledged, those of the latter that had a second and more to reach the replica, the
longest time (s) without an acknowledged one, and the last key.
"""

import itertools
import json
import sys
import threading
import time

import redis
import redis.backoff
import redis.retry

ENOUGH, SILENCE_S = 1000, 1.0
host, port, clients, limit_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
password = globals().get("PASSWORD")
end = time.monotonic() + limit_s
acknowledged: list[tuple[float, str]] = []
refused: list[str] = []
enough, again = threading.Event(), threading.Event()
"""Set when so many writes are acknowledged; and when so many were since nobody's was for a second."""


def connected() -> redis.Redis:
    none = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    return redis.Redis(host, port, password=password, socket_timeout=2, socket_connect_timeout=2, retry=none, decode_responses=True)  # fmt: skip


def write(client: int) -> None:
    connection, number, since = connected(), 0, 0
    while time.monotonic() < end and not again.is_set():
        number += 1
        key = f"drill:{client}:{number}"
        try:
            connection.set(key, "x", ex=3600)
        except redis.RedisError:
            refused.append(key)
            time.sleep(0.02)
            continue
        now, before = time.monotonic(), acknowledged[-1][0] if acknowledged else time.monotonic()
        acknowledged.append((now, key))
        if now - before > SILENCE_S:
            since = len(acknowledged)
        if since and len(acknowledged) >= since + ENOUGH:
            again.set()
        if len(acknowledged) >= ENOUGH and not enough.is_set():
            enough.set()
            print("writing", flush=True)


threads = [threading.Thread(target=write, args=(client,)) for client in range(clients)]
for each in threads:
    each.start()
for each in threads:
    each.join()
acknowledged.sort()
there = set(connected().scan_iter("drill:*", count=10000))
times = [at for at, _ in acknowledged]
away_s, since = max(((later - sooner, sooner) for sooner, later in itertools.pairwise(times)), default=(limit_s, 0.0))
lost = [at for at, key in acknowledged if key not in there]
print(
    json.dumps(
        {
            "acknowledged": len(acknowledged),
            "refused": len(refused),
            "lost": len(lost),
            "early": sum(at < since - 1 for at in lost),
            "away_s": away_s,
            "last": acknowledged[-1][1] if acknowledged else "",
        }
    )
)
