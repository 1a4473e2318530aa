"""One round of scaling on one host: how much its services use, how many replicas that asks for, and bringing them up or down.

Nothing is recreated: containers that run stay as they are, others come beside them or go. What was asked for in the last
minutes is kept by the controller, since a lower number must have been enough for a while.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from checks.model import Probe
from checks.probes import round_
from inventory.engine import Compose
from inventory.errors import HostFailed, InputError, Locked
from inventory.link import Link
from inventory.secrets import Mask
from inventory.values import frozen
from rollback.commit import HostWriter
from runbooks import scaling, survey, whole
from runbooks.heartbeat import heartbeat
from runbooks.scaling import Limits, Wish
from runbooks.steps import autoscaling, bounds, replicas
from runbooks.waves import BESIDE, SLACK_S

WAIT_S = 120.0
"""Seconds that new replicas have to get healthy."""
COUNT = (
    'docker ps --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=False '
    "--format '{{.Label \"com.docker.compose.service\"}}'"
)
# $1 project, $2 service, $3 seconds to wait, $4 SERVICE=COUNT, then the words of `docker compose`. As in the waves,
# containers are made among their dependencies, so that their configuration has the hash that a plain `up` gives it.
SCALE = (
    'project=$1 service=$2 limit=$3 scale=$4; shift 4; set -- "$@" up --no-build --pull never --no-recreate; '
    + BESIDE
    + '"$@" --scale "$scale" $beside --no-start -- "$service" && '
    '"$@" --scale "$scale" -d --no-deps --wait --wait-timeout "$limit" -- "$service"'
)


@frozen
class Scaled:
    """What a round came to for one service. `cpu`: percent of the limit, on average; None: it could not be measured.

    `failed`: Compose did not carry it out; `note` has its words, or why nothing was done.
    """

    service: str
    before: int
    after: int
    cpu: float | None
    note: str = ""
    failed: bool = False


def round_of(link: Link, writer: HostWriter, mask: Mask, wanted: Mapping[str, object], memory: Path, now: float) -> list[Scaled]:  # fmt: skip
    """One round. `wanted`: the inventory's `autoscale`; `memory`: the file of wishes; `now`: the controller's clock in seconds.

    Raises InputError for a service that is not there, Unreachable, HostFailed.
    """
    found = survey.survey(link, link.host, mask, engine=False)
    for name in wanted:
        if name not in found.stack.services:
            raise InputError(f"there is no service {name}", key="autoscale", mend=bounds.near(name, tuple(found.stack.services)), host=link.host.name)  # fmt: skip
    counts = running(link, found.compose.name)
    probes = [Probe("resources", f"cpu:{name}", name, {"of": "cpu"}, timeout_s=15.0) for name in wanted]
    used = {sample.probe.removeprefix("cpu:"): sample.value for sample in round_(link, probes, found.compose.name)}
    wishes, made = remembered(memory), []
    for name, given in wanted.items():
        limits = autoscaling.limits_of(given if isinstance(given, Mapping) else {})
        have, cpu = counts.get(name, 0), used.get(name)
        way = next(iter(replicas.obstacles(found.stack.services[name], limits.most)), None)
        shared = isinstance(given, Mapping) and given.get("shared_volumes")
        if way is not None and not (way.what == "volumes" and shared):
            made.append(Scaled(name, have, have, cpu, f"{way.reason}: ./inv plan --phase 3 says what to do"))
        elif not have:
            made.append(Scaled(name, 0, 0, cpu, "does not run"))
        elif cpu is None:
            made.append(Scaled(name, have, have, None, "its use could not be measured"))
        else:
            made.append(Scaled(name, have, goal(wishes, name, have, cpu, limits, now), cpu))
    remember(memory, wishes)
    if all(each.before == each.after for each in made):
        return made
    return carried_out(writer, found.compose, made)


def goal(wishes: dict[str, tuple[Wish, ...]], service: str, have: int, cpu: float, limits: Limits, now: float) -> int:
    """How many replicas a service is to have; this round's wish is put to the others. Where none is known, what runs now
    counts as one: whoever begins, or lost them, takes nothing away before the window is over."""
    wish = Wish(now, scaling.wanted(have, cpu, limits))
    before = scaling.kept(wishes.get(service, ()), now) or (Wish(now, have),)
    wishes[service] = (*before, wish)
    return scaling.settled(have, wish, before, limits)


def running(link: Link, project: str) -> dict[str, int]:
    """How many containers of each service run. Raises HostFailed."""
    reply = link.run(COUNT, project, become=link.host.become)
    if reply.exit != 0:
        raise HostFailed("its engine does not say what runs", host=link.host.name, mend="start the engine")
    lines = reply.text.split()
    return {name: lines.count(name) for name in dict.fromkeys(lines)}


def carried_out(writer: HostWriter, compose: Compose, made: list[Scaled]) -> list[Scaled]:
    """Brings the replicas up or down under the host's lock; a run that holds it goes first."""
    if writer.prepare().pending:
        return [nothing_done(each, "a transaction is unfinished: the next run mends it") for each in made]
    try:
        writer.lock()
    except Locked as error:
        return [nothing_done(each, error.message) for each in made]
    try:
        with heartbeat([_Held(writer)]):
            done = []
            for each in made:
                if each.before == each.after:
                    done.append(each)
                    continue
                writer.note("scale", {"service": each.service, "from": each.before, "to": each.after, "cpu": round(each.cpu or 0.0, 1)})  # fmt: skip
                reply = writer.execute(command(compose, each.service, each.after), timeout_s=WAIT_S + SLACK_S, about=f"scale {each.service} {each.after}")  # fmt: skip
                words = (reply.err or reply.out).decode("utf-8", "replace").strip().splitlines()
                failed = reply.exit != 0
                note = (words or [f"exit {reply.exit}"])[-1] if failed else ""
                done.append(Scaled(each.service, each.before, each.after, each.cpu, note, failed))
            return done
    finally:
        writer.release()


@dataclass
class _Held:
    writer: HostWriter


def nothing_done(each: Scaled, why: str) -> Scaled:
    return Scaled(each.service, each.before, each.before, each.cpu, each.note or why)


def command(compose: Compose, service: str, count: int) -> tuple[str, ...]:
    """The command that brings one service to its scale; all others keep theirs, which `up` would take from the files."""
    return ("sh", "-c", SCALE, "sh", compose.name, service, str(ceil(WAIT_S)), f"{service}={count}", *compose.argv())


def remembered(path: Path) -> dict[str, tuple[Wish, ...]]:
    """The wishes of earlier rounds. A file that cannot be read is as one that is not there."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {str(name): tuple(Wish(float(at), int(count)) for at, count in given) for name, given in json.loads(path.read_bytes()).items()}  # fmt: skip
    return {}


def remember(path: Path, wishes: Mapping[str, tuple[Wish, ...]]) -> None:
    """Writes the wishes, whole or not at all. Raises InputError."""
    whole.keep(path, json.dumps({name: [[wish.at, wish.replicas] for wish in given] for name, given in wishes.items()}))


def memory_of(folder: Path, environment: str, host: str) -> Path:
    """Where a host's wishes are kept."""
    return folder / "scaling" / (re.sub(r"[^A-Za-z0-9_.-]", "_", f"{environment}-{host}") + ".json")
