"""Runs beside a platform: THREADS callers ask URL every INTERVAL seconds for DURATION seconds. Prints one JSON document:
a list of [when it was asked (epoch, s), how long it took (s), status (0: none), whether a breaker answered].

Each caller has a slot every INTERVAL seconds; slots that pass while it waits for an answer are lost, as it can ask nothing.
"""

import json
import math
import sys
import threading
import time
import urllib.error
import urllib.request

LIMIT_S = 70


def ask(url: str) -> tuple[int, bool]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as reply:  # noqa: S310 - the stack's own address
            reply.read()
            return reply.status, reply.headers.get("X-Circuit") == "open"
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-Circuit") == "open"
    except OSError:
        return 0, False


def main() -> None:
    url, threads, interval, duration = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    found: list[list[object]] = []
    first = time.monotonic()

    def call() -> None:
        slot = 0
        while slot * interval < duration:
            time.sleep(max(0.0, first + slot * interval - time.monotonic()))
            at, begin = time.time(), time.monotonic()
            status, open_ = ask(url)
            now = time.monotonic()
            found.append([at, now - begin, status, open_])
            # The next slot is the one after this, or the one that is on now.
            slot = max(slot + 1, math.floor((now - first) / interval))

    callers = [threading.Thread(target=call) for _ in range(threads)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
