"""Runs in the aggregator's container: TIMES rounds of its checks one by one, and of all at once. Prints one JSON document:
a list of [seconds one by one, seconds of the answer of all, seconds of the slowest check in it].
"""

import json
import sys
import time
import urllib.error
import urllib.request

BASE = "http://127.0.0.1:8080"


def get(path: str) -> tuple[float, str]:
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(BASE + path, timeout=60) as reply:  # noqa: S310 - its own address
            text = reply.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    return time.monotonic() - begin, text


def main() -> None:
    names = list(json.loads(get("/health")[1])["services"])
    found = []
    for _ in range(int(sys.argv[1])):
        alone = [get(f"/health/{name}")[0] for name in names]
        # The metrics are of a round of their own, with the time of each check in them.
        took, text = get("/metrics")
        slowest = max(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("health_check_seconds{"))  # fmt: skip
        found.append([sum(alone), took, slowest])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
