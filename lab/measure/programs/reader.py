"""Runs in a service that caches: reads the keys PREFIX1 to PREFIXn from the Redis in $REDIS_URL, TIMES times, as the service itself
would. Prints one JSON document: reads, hits, and seconds each read took.
"""

import json
import os
import sys
import time

import redis


def main() -> None:
    prefix, count, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
    hits, took = 0, []
    for _ in range(times):
        for number in range(1, count + 1):
            begin = time.monotonic()
            hits += client.get(f"{prefix}{number}") is not None
            took.append(time.monotonic() - begin)
    print(json.dumps({"reads": len(took), "hits": hits, "seconds": took}))


main()
