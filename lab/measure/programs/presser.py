"""Runs beside a platform: THREADS callers, each with one connection that it keeps, ask HOST:PORT for PATH, with PAUSE seconds between an
answer and the next question, until SIGTERM or LIMIT seconds are over. Says `pressing` when the first answer is there, then prints one
JSON document: how many asked, what failed by its kind, and the slowest answer in seconds.

Each request counts once and is never repeated: a connection that breaks, an answer that is not 200, none in 30 s.
"""

import http.client
import json
import signal
import sys
import threading
import time
from collections import Counter

PATIENCE_S = 30


def main() -> None:
    host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    threads, pause, limit = int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
    over, first = threading.Event(), threading.Event()
    failed: Counter[str] = Counter()
    asked, slowest = [0] * threads, [0.0] * threads
    signal.signal(signal.SIGTERM, lambda *_: over.set())

    def call(which: int) -> None:
        link = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        while not over.is_set():
            begin = time.monotonic()
            try:
                link.request("GET", path)
                reply = link.getresponse()
                reply.read()
                if reply.status != 200:
                    failed[str(reply.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                failed[type(error).__name__] += 1
                link.close()
            asked[which] += 1
            slowest[which] = max(slowest[which], time.monotonic() - begin)
            first.set()
            if pause:
                over.wait(pause)

    callers = [threading.Thread(target=call, args=(which,)) for which in range(threads)]
    for each in callers:
        each.start()
    first.wait(PATIENCE_S)
    print("pressing", flush=True)
    over.wait(limit)
    over.set()
    for each in callers:
        each.join()
    print(json.dumps({"asked": sum(asked), "failed": dict(failed), "slowest_s": max(slowest)}), flush=True)


main()
