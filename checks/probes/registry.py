"""`registry`: whether the registry says of each service of the stack what the aggregator says of its health."""

from __future__ import annotations

import json

from checks.model import Probe
from checks.probes.aggregator import ASK
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service

URL = "http://127.0.0.1:8080/services"


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "python3", "-c", ASK, str(probe.settings.get("url", URL)))


def judge(_: Probe, answer: Answer) -> Judgement:
    """Well when what is well is registered, and what is not is not said to be. Its value: instances that are well."""
    if answer.exit != 0:
        return by_exit(answer)
    try:
        found = json.loads(answer.output)
        if "entries" not in found:
            return Judgement(False, answer.seconds, detail=f"the registry does not answer: {found['reason']}"[:200])
        told = {each["service"]: each["health"] for each in found["entries"] if each["instance"] == found["instance"]}
        well = [each for each in found["entries"] if each["health"] == "healthy"]
        health, reason = dict(found["health"]), str(found["reason"])
    except (ValueError, KeyError, TypeError):
        return Judgement(None, detail="this is no answer of the registrar")
    if reason or not health:
        return Judgement(False, answer.seconds, float(len(well)), f"no health is known: {reason}"[:200])
    missing = [name for name, status in health.items() if status == "healthy" and told.get(name) != "healthy"]
    wrong = [name for name, status in health.items() if status != "healthy" and told.get(name) == "healthy"]
    words = [f"not registered: {', '.join(missing)}"] if missing else []
    words += [f"registered as well: {', '.join(wrong)}"] if wrong else []
    return Judgement(not words, answer.seconds, float(len(well)), "; ".join(words)[:200])


KIND = Kind({"url": "the registrar's listing as seen in its container"}, command, judge)
