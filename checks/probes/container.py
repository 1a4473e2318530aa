"""`container`: the engine's own view of a service: runs, is healthy if it has a check, was not restarted or OOM-killed."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit

STATE = (
    'ids=$(docker ps -aq --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$2" '
    "--filter label=com.docker.compose.oneoff=False) || exit 125; "
    '[ -n "$ids" ] || { echo "absent"; exit 0; }; docker inspect -f '
    "'{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}} {{.State.OOMKilled}} "
    "{{.State.ExitCode}}' $ids"
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return ("sh", "-c", STATE, "sh", project, probe.service)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    lines = [line.split() for line in answer.output.strip().splitlines()]
    if lines == [["absent"]]:
        return Judgement(False, answer.seconds, detail="no container")
    if any(len(words) != 5 for words in lines):
        return Judgement(None, detail="the engine's answer cannot be understood")
    restarts = sum(int(words[2]) for words in lines)
    for state, health, _, killed, code in lines:
        if state != "running":
            return Judgement(
                False,
                answer.seconds,
                restarts,
                f"{state}, exit {code}" + (", out of memory" if killed == "true" else ""),
            )
        if health == "unhealthy":
            return Judgement(False, answer.seconds, restarts, "unhealthy")
        if health == "starting" and not probe.settings.get("may_start"):
            return Judgement(False, answer.seconds, restarts, "still starting")
    allowed = probe.settings.get("restarts")
    if allowed is not None and restarts > int(allowed):
        return Judgement(False, answer.seconds, restarts, f"restarted {restarts} times, {allowed} before")
    return Judgement(True, answer.seconds, restarts)


KIND = Kind(
    {"restarts": "restarts that were there before", "may_start": "true: a check that has not passed yet is no failure"},
    command,
    judge,
)
