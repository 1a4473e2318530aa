"""What failing services say for themselves: state, the health check's last words, the last log lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from checks.model import Verdict
from inventory.errors import HostFailed, RunbookError
from inventory.link import Link
from inventory.replies import understood
from runbooks.events import Symptom

LINES = 8
PROGRAM = r"""
while read -r service; do
    for id in $(docker ps -aq --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$service"); do
        printf 'service %s\n' "$service"
        docker inspect -f 'state {{json .State}}' "$id"
        docker logs --tail "$2" "$id" 2>&1 | head -c 65536 | sed 's/^/log /'
    done
done
"""


def symptoms(links: Mapping[str, tuple[Link, str]], verdict: Verdict) -> tuple[Symptom, ...]:
    """Asks each host once about its services that a verdict found failing. `links` maps a host to link and project."""
    failing: dict[str, list[str]] = {}
    for result in verdict.results:
        if result.failed and result.probe.service:
            services = failing.setdefault(result.host, [])
            if result.probe.service not in services:
                services.append(result.probe.service)
    found: list[Symptom] = []
    for host, services in failing.items():
        link, project = links[host]
        try:
            reply = link.run(
                PROGRAM, project, str(LINES), data="".join(f"{name}\n" for name in services).encode(), limit=1 << 20,
                become=link.host.become,
            )  # fmt: skip
        except RunbookError:
            continue
        found += parse(host, reply.text)
    return tuple(found)


def parse(host: str, text: str) -> list[Symptom]:
    """The program's answer."""
    found: list[Symptom] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "service":
            found.append(Symptom(host, rest))
        elif found and word in ("state", "log"):
            last = found[-1]
            if word == "log":
                found[-1] = Symptom(host, last.service, last.state, last.health_log, (*last.log, rest))
                continue
            with suppress(HostFailed), understood(host):
                words, said = _health(json.loads(rest))
                found[-1] = Symptom(host, last.service, words, said, last.log)
    return found


def _health(state: Any) -> tuple[str, tuple[str, ...]]:
    """A container's state in words, and what its last checks said."""
    health = state.get("Health") or {}
    said = tuple(
        f"exit {entry.get('ExitCode')}: {str(entry.get('Output', '')).strip()[:300]}"
        for entry in (health.get("Log") or [])[-3:]
    )
    return " ".join(str(part) for part in (state.get("Status"), health.get("Status")) if part), said
