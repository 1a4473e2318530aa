"""`container`: the engine's own view of a service: runs, is healthy if it has a check, was not restarted or OOM-killed."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit
from inventory.replies import count

STATE = (
    'ids=$(docker ps -aq --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False) '
    '|| exit 125; [ -n "$ids" ] || exit 0; docker inspect -f '
    '\'{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} '
    "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}} {{.State.OOMKilled}} {{.State.ExitCode}}' $ids"
)
"""The same words for every service of a project, so that a round asks the engine once for all of them."""


def command(_: Probe, project: str) -> tuple[str, ...]:
    return ("sh", "-c", STATE, "sh", project)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    lines = [line.split() for line in answer.output.strip().splitlines()]
    if any(len(words) != 6 or count(words[3]) is None for words in lines):
        return Judgement(None, detail="the engine's answer cannot be understood")
    own = [words[1:] for words in lines if words[0] == probe.service]
    if not own:
        return Judgement(False, answer.seconds, detail="no container")
    restarts = sum(count(words[2]) or 0 for words in own)
    for state, health, _, killed, code in own:
        if state != "running":
            detail = f"{state}, exit {code}" + (", out of memory" if killed == "true" else "")
            return Judgement(False, answer.seconds, restarts, detail)
        if probe.settings.get("runs_only"):
            continue
        if health == "unhealthy":
            return Judgement(False, answer.seconds, restarts, "unhealthy")
        if health == "starting" and not probe.settings.get("may_start"):
            return Judgement(False, answer.seconds, restarts, "still starting")
    allowed = probe.settings.get("restarts")
    if allowed is not None and restarts > int(allowed):
        return Judgement(False, answer.seconds, restarts, f"restarted {restarts} times, {allowed} before")
    return Judgement(True, answer.seconds, restarts)


KIND = Kind(
    {
        "restarts": "restarts that were there before",
        "may_start": "true: a check that has not passed yet is no failure",
        "runs_only": "true: what the engine says of the check, which may be an interval old, is no failure",
    },
    command,
    judge,
)
