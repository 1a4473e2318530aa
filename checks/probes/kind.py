"""What a kind of probe is: how it asks, and how it judges the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from checks.model import Probe
from inventory.link import Link
from inventory.values import frozen


@frozen
class Answer:
    """How a probe's program on the host ended: exit code (124: it ran out of time), output, seconds (None: not measured)."""

    exit: int
    output: str
    seconds: float | None


@frozen
class Judgement:
    """Whether the service is well (None: not known), how long it took to answer, what was counted, and one line."""

    ok: bool | None
    latency_s: float | None = None
    value: float | None = None
    detail: str = ""


@frozen
class Kind:
    """A kind of probe: either a program on the host (`command`, `judge`) or a call over the link (`dial`).

    `measures`: it is asked for its value; whether it is well says nothing about a service's health. `timed`: how long its program
    takes is a service's answering time; to take the time costs a host two programs.
    """

    settings: Mapping[str, str]
    command: Callable[[Probe, str], tuple[str, ...]] | None = None
    judge: Callable[[Probe, Answer], Judgement] = lambda _, answer: by_exit(answer)
    dial: Callable[[Link, Probe], Judgement] | None = None
    measures: bool = False
    timed: bool = True


def by_exit(answer: Answer, value: float | None = None) -> Judgement:
    """Well when the program ended with 0. An engine that does not answer (125) says nothing about the service."""
    lines = answer.output.strip().splitlines()
    last = lines[-1][:200] if lines else ""
    if answer.exit == 0:
        return Judgement(True, answer.seconds, value)
    if answer.exit == 124:
        waited = "" if answer.seconds is None else f" in {answer.seconds:.1f} s"
        return Judgement(False, answer.seconds, detail=f"no answer{waited}")
    if answer.exit == 125 or "Cannot connect to the Docker daemon" in answer.output:
        return Judgement(None, detail=last)
    return Judgement(False, answer.seconds, detail=last or f"exit {answer.exit}")


IN_SERVICE = (
    'case $RUNBOOK_RUNNING in "down "*) echo "${RUNBOOK_RUNNING#down }"; exit 125 ;; esac; id=; '
    'while read -r name found; do [ "$name" != "$2" ] || [ -n "$id" ] || id=$found; done <<END\n$RUNBOOK_RUNNING\nEND\n'
    '[ -n "$id" ] || { echo "$2: no running container"; exit 1; }; shift 2; exec docker exec "$id" "$@"'
)
"""Runs words in the first running container of a service: `sh -c IN_SERVICE sh PROJECT SERVICE WORDS`.

A round gives it the containers that run, a line each with service and id, in RUNBOOK_RUNNING.
"""


def in_service(project: str, service: str, *words: str) -> tuple[str, ...]:
    """The words that run a program inside a service's container."""
    return ("sh", "-c", IN_SERVICE, "sh", project, service, *words)
