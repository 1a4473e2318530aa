"""What an undo does besides files and services: asks first whether it may, and takes away what the step made on the engine.

All of it is in the snapshot's note, so that a rollback needs no plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from inventory.errors import Refused
from inventory.link import Link
from rollback.model import Snapshot
from runbooks.model import Question
from runbooks.plan_model import Made, Stage

SLACK_S = 30.0
# $1 project, $2 services parted by blanks (the first that runs is asked), $3 seconds, then the words of the program.
# 3: no container of any of them runs.
ASK = r"""
id=
for service in $2; do
    [ -n "$id" ] || id=$(docker ps -q --filter status=running --filter "label=com.docker.compose.project=$1" \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False | head -n 1)
done
[ -n "$id" ] || { echo "service $2 does not run"; exit 3; }
limit=$3; shift 3
exec timeout "$limit" docker exec "$id" "$@" 2>&1
"""
# $1 project; standard input: lines "services NAME", "volumes NAME", "networks NAME". Containers end as they are told to.
REMOVE = r"""
code=0
while read -r kind name; do
    case $kind in
        services)
            ids=$(docker ps -aq --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$name")
            [ -z "$ids" ] || { docker stop $ids && docker rm -v $ids; } >/dev/null || code=1 ;;
        volumes)
            ids=$(docker volume ls -q --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.volume=$name")
            [ -z "$ids" ] || docker volume rm $ids >/dev/null || code=1 ;;
        networks)
            ids=$(docker network ls -q --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.network=$name")
            [ -z "$ids" ] || docker network rm $ids >/dev/null || code=1 ;;
    esac
done
exit $code
"""
REMOVE_S = 120.0


def note(stage: Stage) -> dict[str, str]:
    """What a snapshot must say of a stage for its undo."""
    asked = [[q.key, q.service, list(q.argv), dict(q.environment), q.timeout_s] for q in stage.before_undo]
    return {"made": json.dumps(asdict(stage.made)), "before_undo": json.dumps(asked)}


def made_of(snapshots: Iterable[Snapshot]) -> Made:
    """All that some snapshots' transactions made on the engine."""
    found: dict[str, list[str]] = {"services": [], "volumes": [], "networks": []}
    for snapshot in snapshots:
        for kind, names in json.loads(snapshot.note.get("made", "{}")).items():
            found[kind] += names
    return Made(*(tuple(dict.fromkeys(found[kind])) for kind in ("services", "volumes", "networks")))


def questions_of(snapshot: Snapshot) -> tuple[Question, ...]:
    """What must hold before a snapshot is undone."""
    return tuple(
        Question(key, service, tuple(argv), environment, float(limit))
        for key, service, argv, environment, limit in json.loads(snapshot.note.get("before_undo", "[]"))
    )


def ready(link: Link, project: str, snapshots: Sequence[Snapshot]) -> None:
    """Asks what must hold before snapshots (the newest first) are undone. Raises Refused with the program's own words."""
    for question in (each for snapshot in snapshots for each in questions_of(snapshot)):
        words = (project, question.service, f"{question.timeout_s:g}", *question.argv)
        reply = link.run(ASK, *words, timeout_s=question.timeout_s + SLACK_S, become=link.host.become)
        if reply.exit != 0:
            said = (reply.text.strip().splitlines() or [f"exit {reply.exit}"])[-1]
            raise Refused(
                f"it cannot be undone now ({question.key}): {said[:300]}", host=link.host.name,
                mend="mend that and repeat, or add --force to undo it all the same",
            )  # fmt: skip


def take_away(link: Link, project: str, made: Made) -> str:
    """Removes what was made on the engine, services first. Returns what could not be removed, in words; else nothing."""
    lines = "".join(f"{kind} {name}\n" for kind, names in asdict(made).items() for name in names)
    if not lines:
        return ""
    reply = link.run(REMOVE, project, data=lines.encode(), timeout_s=REMOVE_S, become=link.host.become)
    return "" if reply.exit == 0 else f"what the step made could not all be removed: {reply.complaint}"
