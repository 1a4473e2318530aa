"""`redis`: PING by the container's own client and password; NOAUTH is a failure although redis-cli ends with 0."""

from __future__ import annotations

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit, in_service
from inventory.replies import count

QUERY = (
    '[ -z "${REDIS_PASSWORD:-}" ] || export REDISCLI_AUTH="$REDIS_PASSWORD"; '
    "redis-cli -h 127.0.0.1 ping && redis-cli -h 127.0.0.1 info memory | grep '^used_memory:'"
)


def command(probe: Probe, project: str) -> tuple[str, ...]:
    return in_service(project, probe.service, "sh", "-c", QUERY)


def judge(_: Probe, answer: Answer) -> Judgement:
    lines = answer.output.split()
    if answer.exit == 0 and "PONG" in lines:
        used = next((line.partition(":")[2] for line in lines if line.startswith("used_memory:")), "")
        number = count(used)
        return Judgement(True, answer.seconds, None if number is None else float(number))
    if "NOAUTH" in answer.output:
        return Judgement(False, answer.seconds, detail="NOAUTH: the probe knows no password (REDIS_PASSWORD)")
    return by_exit(answer) if answer.exit else Judgement(False, answer.seconds, detail=(lines or ["no answer"])[0])


KIND = Kind({}, command, judge)
