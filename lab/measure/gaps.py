"""Asks every service of a host ten times a second while something happens, and says how long each gave no answer."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from inventory.errors import HostFailed, RunbookError
from inventory.link import Link, Reply
from lab.state import PROJECT_DIR

PROGRAM = Path(__file__).parent / "programs" / "prober.py"
LIMIT_S = 900.0
TARGETS = {
    "postgres": ("postgres", 5432, "/"),
    "pgbouncer": ("postgres", 5432, "/"),
    "redis": ("redis", 6379, "/"),
    "elasticsearch": ("http", 9200, "/"),
    "logstash": ("http", 9600, "/"),
    "kibana": ("http", 5601, "/api/status"),
    "apm-server": ("http", 8200, "/"),
    "backend": ("http", 2000, "/"),
    "frontend": ("http", 80, "/health"),
    "prometheus": ("http", 9090, "/-/ready"),
    "grafana": ("http", 3000, "/api/health"),
}
"""service -> (protocol, port, path)"""
# The prober has an image of the platform's own (it has Python) and a container beside the project, on its network.
START = """
cd "$1" || exit 1
network=$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$(docker compose ps -q frontend)")
image=$(docker inspect -f '{{.Image}}' "$(docker compose ps -q backend)")
name=$2; shift 2
exec docker run --rm -i --name "$name" --network "$network" --entrypoint python3 "$image" - "$@"
"""
WAIT = 'until docker logs "$1" 2>/dev/null | grep -q asking; do sleep 0.2; done'
STOP = 'docker kill -s TERM "$1" >/dev/null'


@dataclass
class Gaps:
    """Filled when the measuring is over. Seconds by service: the longest time between two answers."""

    longest_s: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


@contextmanager
def asked(link: Link, targets: Mapping[str, tuple[str, int, str]] = TARGETS) -> Iterator[Gaps]:
    """While the body runs, every target is asked ten times a second. Raises HostFailed where that cannot be done."""
    name = f"runbook-prober-{secrets.token_hex(4)}"
    words = [f"{service}|{kind}|{port}|{path}" for service, (kind, port, path) in targets.items()]
    replies: list[Reply] = []

    def run() -> None:
        replies.append(
            link.run(START, PROJECT_DIR, name, str(LIMIT_S), *words, data=PROGRAM.read_bytes(), timeout_s=LIMIT_S + 60)
        )

    found = Gaps()
    thread = threading.Thread(target=run, name="prober", daemon=True)
    thread.start()
    try:
        link.run(WAIT, name, timeout_s=60.0)
        yield found
    finally:
        with suppress(RunbookError):
            link.run(STOP, name)
        thread.join(30.0)
    if not replies:
        raise HostFailed("the prober gave no answer", host=link.host.name)
    try:
        told = json.loads(replies[0].text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise HostFailed(f"the prober gave no figures: {replies[0].complaint}", host=link.host.name) from None
    for service, each in told.items():
        found.longest_s[service] = float(each["longest_s"])
        found.asked[service] = int(each["asked"])
