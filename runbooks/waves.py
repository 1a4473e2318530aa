"""Brings services up one at a time, in dependency order, so that each is away only for its own stop and start.

A plain `up -d` stops every changed container before it starts any, and leaves the rest created when one does not get
healthy (docs/measurements.md has both, measured). Here the first that fails ends the waves, and one whose needs are not well
is not touched.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from math import ceil
from typing import Protocol

from inventory.engine import Compose
from inventory.link import Reply
from inventory.values import frozen

SLACK_S = 60.0
"""Seconds that a command may take besides the wait for health: stopping (10 s by default) and creating."""
BESIDE = (
    'beside=; for each in $(docker ps -a --filter "label=com.docker.compose.project=$project" '
    "--filter label=com.docker.compose.oneoff=False --format '{{.Label \"com.docker.compose.service\"}}' | sort | uniq -c | "
    'while read -r count name; do [ "$count" = 1 ] || [ "$name" = "$service" ] || echo "$name=$count"; done); do '
    '"$@" --dry-run --no-start --scale "$each" -- "$service" >/dev/null 2>&1 && beside="$beside --scale $each"; done; '
)
"""A part of a program: `beside` are the words with which `$service` is brought up and what it depends on keeps the number of
containers that it has. Without them Compose takes those away that an operator added by `--scale`. What the service does not
depend on cannot be named: Compose refuses that, so it is asked first (only where a service has not just one). It needs
`project`, `service` and, as "$@", the words of `docker compose up`."""
NEEDS_S = 60.0
"""Seconds for which what a service needs may still get well, at most; meanwhile the service runs as it was."""
NEEDS = (
    'tries=$(($(date +%s) + patience)); while [ -n "$needs" ]; do '
    'seen=$(docker ps --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.oneoff=False '
    "--format '{{.Label \"com.docker.compose.service\"}} {{.Status}}') || exit; "
    'unwell=$(for need in $needs; do printf "%s\\n" "$seen" | { how="$need: not running; "; while read -r name status; do '
    '[ "$name" = "$need" ] || continue; how=; case $status in (Up*unhealthy*|Up*starting*|Up*Paused*) ;; (Up*) continue ;; esac; '
    'how="$need: $status; "; break; done; printf %s "$how"; }; done); '
    '[ -n "$unwell" ] || break; [ "$(date +%s)" -lt "$tries" ] || { '
    'echo "$service was not touched: after $patience s what it needs is not well: ${unwell%; }"; exit 1; }; '
    "sleep 0.5; done; "
)
"""A part of a program: waits until `$needs` run and no check of theirs says otherwise, `$patience` seconds at most. Compose
itself would ask only where it starts what a service depends on too, which a wave does not."""
# $1 project, $2 service, $3 seconds, $4 a check's words, each ended by NUL, in base64, or nothing: then the engine's own
# verdict is waited for, $5 SERVICE=COUNT or nothing, $6 something where the container is made anew whatever Compose thinks
# of it, $7 services that must be well first, $8 seconds for that, then the words of `docker compose`. One line: each word of
# a journalled command is one.
#
# Two commands, since neither alone will do (docs/decisions/0003): the first creates the container among its dependencies,
# so that its configuration has the hash that a plain `up` would give it, and starts nothing; the second, which no longer
# looks at that hash, starts this service alone.
UP = (
    "project=$1 service=$2 limit=$3 check=$4 scale=$5 renew=$6 needs=$7 patience=$8; shift 8; "
    + NEEDS
    + 'set -- "$@" up --no-build --pull never; '
    + BESIDE
    + 'wait="--wait --wait-timeout $limit"; [ -z "$check" ] || wait=; '
    '"$@" ${scale:+--scale "$scale"} $beside ${renew:+--force-recreate} --no-start -- "$service" && '
    '"$@" ${scale:+--scale "$scale"} -d --no-deps --no-recreate $wait -- "$service" || exit; [ -n "$check" ] || exit 0; '
    'end=$(($(date +%s) + limit)); while :; do ok=1; ids=$(docker ps -q --filter "label=com.docker.compose.project=$project" '
    '--filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False); [ -n "$ids" ] || ok=0; '
    'for id in $ids; do printf %s "$check" | base64 -d | xargs -0 timeout 10 docker exec "$id" >/dev/null 2>&1 || ok=0; done; '
    '[ $ok = 0 ] || exit 0; [ "$(date +%s)" -lt "$end" ] || { echo "$service does not answer"; exit 1; }; sleep 0.3; done'
)


class Executor(Protocol):
    """Runs a command on a host so that it goes on when the link is lost, journalled: `rollback.commit.HostWriter`."""

    def execute(self, argv: Sequence[str], timeout_s: float, about: str = "") -> Reply: ...


@frozen
class Wave:
    """One service to bring up: how long it may take to get healthy, and the scale that it keeps (None: one).

    `answers`: a check's words; then the service counts as up when this succeeds in all its containers, and the engine's
    own verdict, which may take a whole interval or may not exist, is not waited for. `renew`: its container is made anew
    although the Compose files say nothing new of it. `needs`: services that must be well before anything is done to it.
    """

    service: str
    wait_s: float
    scale: int | None = None
    answers: tuple[str, ...] = ()
    renew: bool = False
    needs: tuple[str, ...] = ()

    @property
    def patience_s(self) -> float:
        """How long is waited for what it needs."""
        return min(self.wait_s, NEEDS_S) if self.needs else 0.0


@frozen
class Brought:
    """How bringing up one service ended. `output` is Compose's own words when it failed."""

    service: str
    ok: bool
    seconds: float
    output: str = ""


def bring_up(
    writer: Executor,
    compose: Compose,
    waves: Sequence[Wave],
    *,
    report: Callable[[Brought], None],
    stopped: Callable[[], bool],
) -> bool:
    """Brings `waves` up in their order and reports each. False when one failed; stops early, with True, when asked."""
    for wave in waves:
        if stopped():
            return True
        reply = writer.execute(
            command(compose, wave), timeout_s=wave.patience_s + wave.wait_s + SLACK_S, about=f"up {wave.service}"
        )
        words = (reply.err or reply.out).decode("utf-8", "replace").strip()
        report(Brought(wave.service, reply.exit == 0, reply.seconds, "" if reply.exit == 0 else words))
        if reply.exit != 0:
            return False
    return True


def command(compose: Compose, wave: Wave) -> tuple[str, ...]:
    """The command of one wave: this service alone, from images that are there, until it is healthy or answers."""
    check = base64.b64encode("".join(f"{word}\0" for word in wave.answers).encode()).decode()
    scale = "" if wave.scale is None else f"{wave.service}={wave.scale}"
    return (
        "sh",
        "-c",
        UP,
        "sh",
        compose.name,
        wave.service,
        str(ceil(wave.wait_s)),
        check,
        scale,
        "renew" if wave.renew else "",
        " ".join(wave.needs),
        str(ceil(wave.patience_s)),
        *compose.argv(),
    )
