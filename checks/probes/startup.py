"""`startup`: how long a service took from its container's start to its first passed check, where the engine still knows.

The engine keeps a container's last five checks, so it knows this of young containers only.
"""

from __future__ import annotations

import re
from datetime import datetime

from checks.model import Probe
from checks.probes.kind import Answer, Judgement, Kind, by_exit

LIMIT_S = 300.0
"""The proposal's target for a start."""
FIELDS = 7
STATE = (
    "date -u +%Y-%m-%dT%H:%M:%SZ; "
    'ids=$(docker ps -q --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False) '
    '|| exit 125; [ -n "$ids" ] || exit 0; docker inspect -f '
    '\'{{index .Config.Labels "com.docker.compose.service"}}|{{.State.StartedAt}}|'
    "{{with .State.Health}}{{.Status}}{{end}}|{{with .Config.Healthcheck}}{{if .StartPeriod}}{{.StartPeriod.Nanoseconds}}{{else}}0{{end}}"
    "|{{.Interval.Nanoseconds}}{{else}}0|0{{end}}|"
    "{{with .State.Health}}{{range $n, $check := .Log}}{{if eq $n 0}}{{json $check.Start}}{{end}}{{end}}|"
    "{{$passed := false}}{{range .Log}}{{if and (eq .ExitCode 0) (not $passed)}}{{$passed = true}}{{json .End}}{{end}}{{end}}"
    "{{else}}|{{end}}' $ids"
)
"""The same words for every service of a project, so that a round asks the engine once for all of them."""


def command(_: Probe, project: str) -> tuple[str, ...]:
    return ("sh", "-c", STATE, "sh", project)


def judge(probe: Probe, answer: Answer) -> Judgement:
    if answer.exit != 0:
        return by_exit(answer)
    clock, *lines = answer.output.strip().splitlines() or [""]
    now, rows = when(clock), [line.split("|") for line in lines]
    if now is None or any(len(words) != FIELDS for words in rows):
        return Judgement(None, detail="the engine's answer cannot be understood")
    limit = float(probe.settings.get("limit_s", LIMIT_S))
    took: list[float] = []
    for _, started, status, period, interval, first, passed in (words for words in rows if words[0] == probe.service):
        begin = when(started)
        if begin is None:
            continue
        if status == "starting" and (now - begin).total_seconds() > limit:
            return Judgement(
                False, value=(now - begin).total_seconds(), detail=f"not healthy {limit:.0f} s after its start"
            )
        found = seconds(begin, when(first), when(passed), max(int(period), int(interval)) / 1e9)
        if found is not None:
            took.append(found)
    return Judgement(True, value=max(took, default=None))


def seconds(begin: datetime, first: datetime | None, passed: datetime | None, step_s: float) -> float | None:
    """Seconds from start to the first passed check; None where the first check that is still known was not the first."""
    if first is None or passed is None or (first - begin).total_seconds() > 2 * step_s:
        return None
    return max(0.0, (passed - begin).total_seconds())


def when(text: str) -> datetime | None:
    """A time as the engine gives it, with or without quotes; None for one that says nothing."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip('"')).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.year > 1 and found.tzinfo is not None else None


KIND = Kind({"limit_s": "seconds that a start may take"}, command, judge, measures=True)
