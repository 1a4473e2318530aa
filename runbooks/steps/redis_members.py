"""The services that make one Redis a set, as a Compose file has them, and what the Redis itself needs to be a member. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import AddDependency, AddResource, AddService, Operation, SetSetting
from runbooks.model import Facts
from runbooks.steps import haproxy, images
from runbooks.steps.circuit_breakers import READY
from runbooks.steps.health_checks import quick_starts
from runbooks.steps.redis_front import SENTINEL_PORT, Set
from runbooks.steps.redis_nodes import Node

NAME = "redis_sentinel"
START, CONFIG, FRONT = "start.sh", "sentinel.conf", "haproxy.cfg"
"""The files that are created: how nodes and Sentinels start, what a Sentinel starts from, the front's configuration."""
MOUNTED = "redis-start"
"""Compose's name of the first, and where containers see it."""
AUTH = 'REDISCLI_AUTH="$$REDIS_PASSWORD" '
TRY = (
    "cat >/tmp/sentinel.conf && cd /tmp && { redis-server /tmp/sentinel.conf --dir /tmp --sentinel >/tmp/said 2>&1 & } && "
    "for look in $(seq 60); do "
    f'redis-cli -p {SENTINEL_PORT} sentinel get-master-addr-by-name "$1" 2>/dev/null | grep -qx "$1" && exit 0; sleep 0.5; done; '
    "tail -n 1 /tmp/said; exit 1"
)
"""A Sentinel with its file, in its own image: it must start while nobody can be found by name, as after a host's restart."""
TRY_FRONT = ("sh", "-c", "cat >/tmp/haproxy.cfg && exec haproxy -c -q -f /tmp/haproxy.cfg")


def volumes(made: Set) -> tuple[str, ...]:
    """The named volumes: what a replica has, and what each Sentinel knows, must outlive its container."""
    return tuple(f"{each}-data" for each in (*made.sentinels, made.replica))


def operations(stack: Stack, node: Node, made: Set, beside: Iterable[Service], facts: Facts, settings: Mapping[str, Any]) -> list[Operation]:  # fmt: skip
    """Everything but what clients need. `beside`: the services whose networks the new ones are on."""
    folder = f"./{settings['sentinel_files']}"
    near = images.networks(beside)
    common: dict[str, Any] = {"networks": near} if near != ["default"] else {}
    check = _check(facts)
    found: list[Operation] = [
        *(AddResource("volumes", name, {}, "what outlives a container") for name in volumes(made)),
        AddResource("configs", MOUNTED, {"file": f"{folder}/{START}"}, "how a node starts"),
        *(AddService(each, _sentinel(node, made, each, folder, common, check), "watches the master, and makes the other one the master when it dies") for each in made.sentinels),
        AddService(made.replica, _replica(node, made, folder, common, check), "has all that the master has"),
        AddService(made.front, _front(made, folder, common, check, node, settings), "leads clients to the master"),
    ]  # fmt: skip
    return [*found, *_member(node, made)]


def _member(node: Node, made: Set) -> list[Operation]:
    """What the Redis that was there needs: to ask, at each start, who the master is."""
    name, configs = node.service.name, node.service.value.get("configs") or []
    why = "asks the Sentinels who is the master before it starts"
    found: list[Operation] = [
        SetSetting(name, ("entrypoint",), _entrypoint(made, name), why),
        SetSetting(name, ("configs",), (*map(str, configs), MOUNTED), why),
    ]
    if not node.service.command:
        found.append(SetSetting(name, ("command",), node.command, "an entrypoint of its own leaves the image's out"))
    return [*found, *(AddDependency(name, each, "service_healthy", why) for each in made.sentinels)]


def _entrypoint(made: Set, node: str) -> tuple[str, ...]:
    other = next(each for each in made.nodes if each != node)
    return ("sh", f"/{MOUNTED}", "node", made.master, str(made.port), node, other, *made.sentinels, "--")


def _sentinel(node: Node, made: Set, name: str, folder: str, common: Mapping[str, Any], check: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    test = f"{AUTH if node.locked else ''}redis-cli -p {SENTINEL_PORT} ping | grep -q PONG"
    return {
        **_container(node, common),
        "entrypoint": ["sh", f"/{MOUNTED}", "sentinel", made.master, name],
        "volumes": [f"{folder}/{START}:/{MOUNTED}:ro", f"{folder}/{CONFIG}:/sentinel.conf:ro", f"{name}-data:/data"],
        "healthcheck": {"test": ["CMD-SHELL", test], **check},
        "deploy": {"resources": {"limits": {"cpus": "0.25", "memory": "64M"}}},
        "labels": {images.ADDED: NAME},
    }


def _replica(node: Node, made: Set, folder: str, common: Mapping[str, Any], check: Mapping[str, Any]) -> dict[str, Any]:
    """As its master: one day it is that."""
    test = f"{AUTH if node.locked else ''}redis-cli -p {made.port} ping | grep -q PONG"
    login = ("--requirepass", node.password) if node.locked else ()
    server, *rest = (word.replace("$", "$$") for word in node.bare)
    limits = ((node.service.value.get("deploy") or {}).get("resources") or {}).get("limits")
    user = node.service.value.get("user")
    return {
        **_container(node, common),
        **({"user": str(user).replace("$", "$$")} if user else {}),
        "entrypoint": list(_entrypoint(made, made.replica)),
        "command": [server, *login, *rest],
        "volumes": [f"{folder}/{START}:/{MOUNTED}:ro", f"{made.replica}-data:{node.option('dir') or '/data'}"],
        "healthcheck": {"test": ["CMD-SHELL", test], **check},
        **({"deploy": {"resources": {"limits": {key: str(value) for key, value in limits.items()}}}} if limits else {}),
        "depends_on": {each: {"condition": "service_healthy"} for each in made.sentinels},
        "labels": {images.ADDED: NAME},
    }  # fmt: skip


def _front(made: Set, folder: str, common: Mapping[str, Any], check: Mapping[str, Any], node: Node, settings: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """It waits for nobody: it must start while there is no master."""
    return {
        "image": settings["sentinel_front_image"],
        "restart": "unless-stopped",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        **common,
        **_password(node),
        "volumes": [f"{folder}/{FRONT}:{haproxy.FILE}:ro"],
        "healthcheck": {"test": ["CMD-SHELL", READY], **check},
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "128M"}}},
        "labels": {images.ADDED: NAME, images.STANDS_FOR: made.master},
    }


def _container(node: Node, common: Mapping[str, Any]) -> dict[str, Any]:
    """The image's own start gives up root and needs its capabilities for that, so they are not dropped here."""
    return {
        "image": (node.service.image or "").replace("$", "$$"),
        "restart": "unless-stopped",
        "security_opt": ["no-new-privileges:true"],
        **common,
        **_password(node),
    }


def _password(node: Node) -> dict[str, Any]:
    return {"environment": {"REDIS_PASSWORD": node.password}} if node.locked else {}


def _check(facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}
    return found | ({"start_interval": "1s"} if quick_starts(facts) else {})
