"""`aggregator`: what the health aggregator of a stack says of the whole; well unless a service that is needed is down."""

from __future__ import annotations

import json

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

# Its image has Python and no other client. A 503 has a body, too.
ASK = (
    "import sys, urllib.error, urllib.request as r\n"
    "try: print(r.urlopen(sys.argv[1], timeout=60).read().decode())\n"
    "except urllib.error.HTTPError as e: print(e.read().decode())"
)
URL = "http://127.0.0.1:8080/health"


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "python3", "-c", ASK, str(probe.settings.get("url", URL)))


def judge(_: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    try:
        found = json.loads(answer.output)
        status, services = found["status"], found["services"]
        down = {name: entry.get("reason", "") for name, entry in services.items() if entry["status"] != "healthy"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return Judgement(None, detail="this is no answer of the aggregator")
    told = ", ".join(f"{name} ({reason})" for name, reason in down.items())
    detail = f"{status}: {told}" if down else ""
    return Judgement(status in ("healthy", "degraded"), answer.seconds, float(len(services) - len(down)), detail[:200])


KIND = Kind({"url": "its address as seen in its container"}, command, judge)
