"""The shared cache and its keeper, as a Compose file has them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbooks.compose import units
from runbooks.compose.model import Stack
from runbooks.model import Facts
from runbooks.steps import asked, images
from runbooks.steps.asked import Asked
from runbooks.steps.health_checks import quick_starts

STEP = "shared_cache"
POLICY = "allkeys-lru"
USER = "65532:65532"
"""Nobody of the image or the host: the number that distroless images use for `nonroot`."""
START = (
    "umask 077; printf 'requirepass \"%s\"\\n' \"$(printf %s \"$REDIS_PASSWORD\" | od -An -v -tx1 | tr -d ' \\n' | sed 's/../\\\\x&/g')\" "
    '>/dev/shm/password.conf; exec redis-server /dev/shm/password.conf "$@"'
)
"""Redis with its password from a file in memory: a command line is for everybody to read. As \\x.., it may hold any character.

In /dev/shm, which every container has for itself: a tmpfs of its own would take the owner of the folder below it, and that
is root's from the second start on."""
PING = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -h 127.0.0.1 ping | grep -q PONG'
READY = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/ready', timeout=4)"
_TRIED = (
    'cd /tmp && redis-server "$@" --port 0 --unixsocket /tmp/tried --daemonize yes --pidfile /tmp/tried.pid >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }; '
    "for n in 1 2 3 4 5 6 7 8 9 10; do redis-cli -s /tmp/tried ping >/dev/null 2>&1 && break; sleep 0.5; done; "
    "redis-cli -s /tmp/tried config get maxmemory-policy | grep -q allkeys-lru || { echo it does not start with these settings; exit 1; }; "
    "redis-cli -s /tmp/tried shutdown nosave; exit 0"
)
_UNITS = {"mb": 20, "gb": 30}


def words(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The proposal's settings, nothing on disk, and the events that tell of changes."""
    return ("--maxmemory", settings["cache_memory"], "--maxmemory-policy", POLICY, "--save", "", "--appendonly", "no",
            "--notify-keyspace-events", settings["cache_events"])  # fmt: skip


def tried(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Starts Redis with these very settings in its own image, without a network, and ends it: its verdict before anything is written."""
    return ("sh", "-c", _TRIED, "sh", *words(settings))


def limit(memory: str) -> int:
    """Bytes that its container may use: a quarter more than what it holds, for buffers and fragments."""
    return int(memory[:-2]) * (1 << _UNITS[memory[-2:]]) * 5 // 4


def cache(stack: Stack, beside: Iterable[str], password: str, settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # fmt: skip
    """The cache. `password`: as the Compose file has it, by reference; empty for none."""
    own = [word.replace("$", "$$") for word in words(settings)]
    command = ["sh", "-c", START.replace("$", "$$"), "redis-cache", *own] if password else ["redis-server", *own]
    test = ["CMD-SHELL", PING.replace("$", "$$")] if password else ["CMD", "redis-cli", "-h", "127.0.0.1", "ping"]
    return {
        "image": settings["cache_image"],
        **_bounded(),
        # /data is a volume of the image, which would leave one behind for each container.
        "tmpfs": ["/data:size=1m"],
        "command": command,
        **_networks(stack, beside),
        **({"environment": {"REDIS_PASSWORD": password}} if password else {}),
        "healthcheck": _check(test, "30s", facts),
        "deploy": {"resources": {"limits": {"cpus": "1.0", "memory": f"{limit(settings['cache_memory']) >> 20}M"}}},
        "labels": {images.ADDED: STEP},
    }


def keeper(
    stack: Stack, beside: Iterable[str], password: str, image: str, db: int, settings: Mapping[str, Any], facts: Facts
) -> dict[str, Any]:
    """The keeper. It waits for the cache alone: what it warms from may be away, and is then asked again for a while."""
    limit_s = units.seconds(settings["cache_warm_limit"]) or 60.0
    environment = {"CACHE_URL": f"redis://{settings['cache_name']}:6379/{db}"}
    environment |= {"CACHE_PASSWORD": password} if password else {}
    named = [*beside]
    if settings["cache_warm"]:
        environment["WARM"] = json.dumps([_entry(given) for given in settings["cache_warm"]]).replace("$", "$$")
        environment["WARM_LIMIT_S"] = f"{limit_s:g}"
    for name in dict.fromkeys(given["from"] for given in settings["cache_warm"] if "from" in given):
        found = database(stack, facts, name)
        assert found is not None  # noqa: S101 - refused before
        environment[f"DATABASE_{name}"] = found.url
        environment |= found.more
        named.append(name)
    return {
        "image": image,
        **_bounded(),
        **_networks(stack, named),
        "environment": environment,
        "depends_on": {settings["cache_name"]: {"condition": "service_healthy"}},
        "healthcheck": _check(["CMD", "python3", "-c", READY], f"{limit_s + 30:.0f}s", facts),
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "128M"}}},
        "labels": {images.ADDED: STEP},
    }


def database(stack: Stack, facts: Facts, name: str) -> Asked | None:
    """How a database is asked with its login by reference; None where that is not known."""
    found, _ = asked.find(stack, facts, {}, (), ())
    return next((each for each in found if each.service.name == name and each.url.startswith(("postgres:", "postgresql:"))), None)  # fmt: skip


def _entry(given: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the list as the keeper reads it."""
    ttl = units.seconds(str(given["ttl"])) if "ttl" in given else None
    return {key: value for key, value in given.items() if key != "ttl"} | ({"ttl_s": round(ttl)} if ttl else {})


def _bounded() -> dict[str, Any]:
    return {"restart": "unless-stopped", "user": USER, "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}  # fmt: skip


def _networks(stack: Stack, beside: Iterable[str]) -> dict[str, Any]:
    networks = images.networks(stack.services[name] for name in beside)
    return {"networks": networks} if networks != ["default"] else {}


def _check(test: list[str], start: str, facts: Facts) -> dict[str, Any]:
    check: dict[str, Any] = {"test": test, "interval": "10s", "timeout": "5s", "retries": 3, "start_period": start}
    return check | ({"start_interval": "1s"} if quick_starts(facts) else {})
