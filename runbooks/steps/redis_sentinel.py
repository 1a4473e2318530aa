"""Gives the stack's Redis a replica, three Sentinels, and a front that follows the master (the proposal's section 3.2)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks.compose import units
from runbooks.compose.model import Stack
from runbooks.compose.operations import (
    AddDependency,
    AddResource,
    AddService,
    Applied,
    Operation,
    ReplaceText,
    SetSetting,
    SetVariable,
)
from runbooks.model import HOST, Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.shipped import script
from runbooks.steps import asked, bounds, dependencies, images, pgbouncer, redis_members, redis_nodes
from runbooks.steps.asked import Asked
from runbooks.steps.common import health_probes
from runbooks.steps.dependencies import Dependency
from runbooks.steps.pooling import Pointer
from runbooks.steps.redis_front import QUORUM, SENTINEL_PORT, SENTINELS, Set, front, sentinel
from runbooks.steps.redis_nodes import Node

NAME = "redis_sentinel"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "sentinel_master": (str, "", "the Redis that gets a replica, where the stack has several; none: no one does"),
    "sentinel_down_after": (
        str,
        "5s",
        "how long a master is silent before the Sentinels make the other one the master",
    ),
    "sentinel_front_image": (str, "haproxy:3.2-alpine", "HAProxy's image, of the front that follows the master"),
    "sentinel_files": (
        str,
        "infrastructure/redis-sentinel",
        "the folder of the files that are created, in the project",
    ),
}
SENTINEL_URL = "REDIS_SENTINEL_URL"
START, CONFIG = redis_members.START, redis_members.CONFIG
MEMORY = Question(f"{NAME}/memory", HOST, ("cat", "/proc/meminfo"))
FAILBACK_S = 120.0
"""How long (s) the way back may take: a replica that has to catch up first has half a minute for it."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "sentinel_master" and value and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", value):
        return f"{value!r} is no name of a service", "name the service, or write none"
    if name == "sentinel_down_after" and not 1 <= (units.seconds(value) or 0) <= 300:
        return f"{value!r} is no time to wait", "write 5s, at least 1s and at most 5m"
    if name == "sentinel_front_image" and not re.fullmatch(r"[\w./:@-]+", value):
        return f"{value!r} is no image", "write NAME:TAG"
    if name == "sentinel_files" and (value.startswith("/") or ".." in value.split("/") or not re.fullmatch(r"[\w./-]+", value)):  # fmt: skip
        return f"{value!r} is no folder in the project", "write a relative path"
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """What the Redis is, keeps and uses; and what memory the host has left for another one."""
    node, _ = _chosen(stack, facts, settings)
    return (redis_nodes.question(node, NAME), MEMORY) if node else ()


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds what makes one Redis a set, makes it a member itself, and points its clients at the front."""
    node, reason = _chosen(stack, facts, settings)
    if node is None:
        return _kept_only(stack, reason)
    name = node.service.name
    answer = facts.answers.get(f"{NAME}/{name}")
    why = redis_nodes.why_not(node, answer) if facts.live else ""
    if why:
        return _kept_only(stack, Kept(name, "replica", why, True))
    made = Set(name, node.port, node.locked)
    moves, kept = _moves(stack, node, made, facts)
    if not moves:
        return _kept_only(stack, Kept(name, "replica", "no service names it in a variable, so none would follow a new master"), *kept)  # fmt: skip
    refused = _in_the_way(stack, node, made, settings) or _too_little(node, made, facts)
    if refused:
        return Change(step=NAME, risk="medium", stack=stack, refused=(refused,), kept=kept)
    applied, done, failures = _carried_out(stack, node, made, moves, facts, settings)
    whole = [each for each in failures if each.service in (*made.added, name, "")]
    if whole or not any(isinstance(each, ReplaceText) for each in done):
        return Change(step=NAME, risk="medium", stack=stack, refused=tuple(whole or failures), kept=kept)
    movers = dict.fromkeys(each.service for each in done if isinstance(each, ReplaceText))
    created = _created(stack, made, settings)
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=tuple(done), refused=tuple(failures), kept=kept,
        created=created, altered=tuple(told for each in done if (told := _told(stack, applied.stack, each, facts))),
        notes=_notes(node, made, settings), probes=_probes(applied.stack, made, movers), before_undo=(failback(made),),
        images=_images(stack, node, made, created, settings),
    )  # fmt: skip


def _chosen(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Node | None, Kept]:
    """The Redis that is to have a replica, or why none is. Raises InputError for a service that is not there."""
    wanted = settings["sentinel_master"]
    if wanted == "none":
        return None, Kept("", "replica", "sentinel_master says none")
    if wanted and wanted not in stack.services:
        raise InputError(f"there is no service {wanted}", key="sentinel_master", mend=bounds.near(wanted, (*stack.services, "none")))  # fmt: skip
    there = next((each.name for each in stack.services.values() if images.added(each) == NAME), None)
    if there:
        return None, Kept(there, "replica", "is there already")
    found = [
        each for each in stack.services.values()
        if each.active and asked.REDIS.fullmatch(images.repository(each.image)) and images.serves(each) and not images.added(each)
    ]  # fmt: skip
    if wanted and stack.services[wanted] not in found:
        return None, Kept(wanted, "replica", "sentinel_master names it, and it runs no Redis", True)
    if not found:
        return None, Kept("", "replica", "the stack has no Redis")
    if not wanted and len(found) > 1:
        names = ", ".join(each.name for each in found)
        return None, Kept("", "replica", f"the stack has {len(found)}: {names}: name one in sentinel_master", True)
    service = stack.services[wanted] if wanted else found[0]
    breaker = next((each.name for each in stack.services.values() if images.added(each) == "circuit_breakers"), None)
    if breaker:
        return None, Kept(service.name, "replica", f"{breaker} stands before it and would not follow a new master: roll back, and plan both together", True)  # fmt: skip
    node, why = redis_nodes.node(stack, service, facts)
    return node, Kept(service.name, "replica", why, True)


def _moves(stack: Stack, node: Node, made: Set, facts: Facts) -> tuple[list[Pointer], tuple[Kept, ...]]:
    """Where clients name it. What watches it keeps its own way: it is asked for this very node."""
    name = node.service.name
    dependency = Dependency(Asked(node.service, f"redis://{name}", f"redis://{name}:{node.port}", False), node.port, False)  # fmt: skip
    moves, kept = [], dict[str, Kept]()
    for each in dependencies.pointers(stack, dependency, made.front, node.port, facts):
        service = stack.services[each.service]
        called = f"{images.owner(service.image)} {images.repository(service.image)} {service.name}"
        if images.NOT_POOLED.search(called) or asked.OBSERVERS.search(called):
            kept[each.service] = Kept(each.service, "redis_url", f"watches or keeps {name} itself")
        elif service.value.get("network_mode"):
            kept[each.service] = Kept(each.service, "redis_url", f"is on no network of the project: it would not reach {made.front}", True)  # fmt: skip
        else:
            moves.append(each)
    return list(dict.fromkeys(moves)), tuple(kept.values())


def _in_the_way(stack: Stack, node: Node, made: Set, settings: Mapping[str, Any]) -> Refusal | None:
    taken = next((each for each in made.added if each in stack.services), None)
    place = stack.services[taken].place if taken else node.service.place
    if taken:
        return Refusal(taken, place.path, place.line, "replica", "a service of that name is there, and is another", "rename it, or write sentinel_master: none")  # fmt: skip
    volumes = stack.value.get("volumes") or {}
    clash = next((each for each in redis_members.volumes(made) if each in volumes), None)
    if clash:
        return Refusal(node.service.name, place.path, place.line, "replica", f"a volume {clash} is there, and may hold other data", "rename it, or write sentinel_master: none")  # fmt: skip
    return None


def _too_little(node: Node, made: Set, facts: Facts) -> Refusal | None:
    """A replica needs what its master has; refused with the sum where the host has less left."""
    need, left = redis_nodes.memory(node, facts.answers.get(f"{NAME}/{node.service.name}"), facts.answers.get(MEMORY.key), SENTINELS)  # fmt: skip
    if left is None or need <= left:
        return None
    place = node.service.place
    sums = f"{made.replica} and {SENTINELS} Sentinels need {bounds.shown(need)}, and the host has {bounds.shown(left)} left"
    return Refusal(node.service.name, place.path, place.line, "replica", sums, "free memory, lower maxmemory, or write sentinel_master: none")  # fmt: skip


def _carried_out(
    stack: Stack, node: Node, made: Set, moves: list[Pointer], facts: Facts, settings: Mapping[str, Any]
) -> tuple[Applied, list[Operation], list[Refusal]]:
    """All operations, and again without the clients that could not be moved: what is theirs alone goes with them."""
    refused: list[Refusal] = []
    while True:
        names = list(dict.fromkeys(each.service for each in moves))
        beside = [stack.services[each] for each in (node.service.name, *names)]
        others: list[Operation] = [
            *redis_members.operations(stack, node, made, beside, facts, settings),
            *(AddDependency(name, made.front, "service_healthy", "its connections go through the front") for name in names),
            *(
                SetVariable(name, SENTINEL_URL, _sentinel_url(stack, moves, name, node, made), "for clients that can ask the Sentinels", refers=True)
                for name in names if SENTINEL_URL not in stack.services[name].environment
            ),
        ]  # fmt: skip
        applied, done, failures = pgbouncer.carried_out(
            stack, moves, others, "redis_url", "the front, not one Redis", frozenset((node.service.name,))
        )
        refused += failures
        moved = {each.service for each in done if isinstance(each, ReplaceText)}
        if not moved or moved == set(names):
            return applied, done, refused
        moves = [each for each in moves if each.service in moved]


def _sentinel_url(stack: Stack, moves: list[Pointer], name: str, node: Node, made: Set) -> str:
    """As clients that speak Sentinel read it: who can be asked, the name of the set, the database."""
    pointed = next(each for each in moves if each.service == name)
    value = stack.services[name].environment[pointed.variable].value or ""
    database = re.match(r"/(\d+)", value[pointed.end :])
    login = f":{node.password}@" if node.locked else ""
    hosts = ",".join(f"{each}:{SENTINEL_PORT}" for each in made.sentinels)
    return f"redis+sentinel://{login}{hosts}/{made.master}{f'/{database[1]}' if database else ''}"


def _created(stack: Stack, made: Set, settings: Mapping[str, Any]) -> dict[str, bytes]:
    down_ms = round(1000 * (units.seconds(settings["sentinel_down_after"]) or 5.0))
    texts = {START: script("redis_start"), CONFIG: sentinel(made, down_ms), redis_members.FRONT: front(made)}
    return {posixpath.join(stack.spec.directory, settings["sentinel_files"], name): text.encode() for name, text in texts.items()}  # fmt: skip


def failback(made: Set) -> Question:
    """What makes the first master the master again before what was added is taken away. Asked where a client of it is."""
    words = ("sh", "-c", script("redis_failback"), "sh", made.master, made.master, made.replica, str(made.port), *made.sentinels)  # fmt: skip
    return Question("fail back to " + made.master, " ".join((*made.sentinels, *reversed(made.nodes))), words, timeout_s=FAILBACK_S)  # fmt: skip


def _images(stack: Stack, node: Node, made: Set, created: Mapping[str, bytes], settings: Mapping[str, Any]) -> tuple[NeededImage, ...]:  # fmt: skip
    """Each program's own verdict on its file, in its own image, before anything is written."""
    own, files = node.service.image or "", {posixpath.basename(path): data for path, data in created.items()}
    first, *rest = made.sentinels
    return (
        NeededImage(first, own, argv=("sh", "-c", redis_members.TRY, "sh", made.master), data=files[CONFIG]),
        *(NeededImage(each, own) for each in (*rest, made.replica)),
        NeededImage(made.front, settings["sentinel_front_image"], argv=redis_members.TRY_FRONT, data=files[redis_members.FRONT]),
    )  # fmt: skip


def _probes(stack: Stack, made: Set, movers: Mapping[str, None]) -> tuple[Probe, ...]:
    settings = {"master": made.master, "port": made.port, "nodes": made.nodes, "sentinels": made.sentinels}
    whole = Probe("sentinel", f"sentinel:{made.master}", made.sentinels[0], settings, 10.0)
    return (*health_probes(stack, (made.master, *made.added, *movers)), whole)


def _notes(node: Node, made: Set, settings: Mapping[str, Any]) -> tuple[str, ...]:
    found = [
        f"replication is asynchronous: what {made.master} acknowledged in the last moment before it dies is lost with it; writes work "
        f"again some seconds after it was silent for {settings['sentinel_down_after']}; two of three Sentinels must agree ({QUORUM})",
        f"{made.master} is made anew once, so that it can follow {made.replica} when it comes back after a failover",
    ]
    if node.service.value.get("ports"):
        found.append(
            f"its ports on the host still lead to {made.master} itself, which takes no writes after a failover"
        )
    return tuple(found)


def _told(before: Stack, after: Stack, operation: Operation, facts: Facts) -> Altered | None:
    """An operation as people and JSON see it; what stands beside the services is told with who uses it."""
    if isinstance(operation, AddResource):
        return None
    service = after.services[operation.service]
    path, line = service.place.path, service.place.line
    if isinstance(operation, AddService):
        return Altered(service.name, path, line, "service", "none", service.image or "", "not needed", operation.reason)
    if isinstance(operation, AddDependency):
        edge = service.edges[operation.dependency]
        return Altered(service.name, edge.place.path, edge.place.line, "condition", "none",
                       f"{operation.dependency}: {operation.condition}", "not needed", operation.reason)  # fmt: skip
    if isinstance(operation, SetSetting):
        key = operation.path[0]
        old = before.services[service.name].value.get(key)
        return Altered(service.name, path, line, key, "none" if old is None else str(old), str(service.value.get(key)), "not needed", operation.reason)  # fmt: skip
    assert isinstance(operation, ReplaceText | SetVariable)  # noqa: S101 - the kinds that this step makes
    name = operation.variable if isinstance(operation, ReplaceText) else operation.name
    was, new = before.services[service.name].environment.get(name), service.environment[name]
    return Altered(service.name, new.place.path, new.place.line, "redis_url", f"{name}={was.value}" if was else "none",
                   f"{name}={new.value}", "unproven", f"{operation.reason}; the gate asks")  # fmt: skip


def _kept_only(stack: Stack, *kept: Kept) -> Change:
    return Change(step=NAME, risk="medium", stack=stack, kept=kept)
