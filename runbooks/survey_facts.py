"""Reads what the Docker engine of a host says (JSON of `docker inspect` and the like) into facts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from inventory.replies import count
from runbooks.model import Container, Image

LABEL = "com.docker.compose."
CLOSE_S = 5.0
"""A check that comes more seldom than this (seconds) says too little about when a service was ready."""
_MORE_THAN_MICRO = re.compile(r"(\.\d{6})\d+")


def version(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: `26.1.5+dfsg1` is (26, 1, 5)."""
    match = re.search(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", text)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def container(found: Mapping[str, Any]) -> Container:
    """A container as `docker inspect` shows it."""
    config, state = found.get("Config") or {}, found.get("State") or {}
    labels = {str(name): str(value) for name, value in (config.get("Labels") or {}).items()}
    health = (state.get("Health") or {}).get("Status")
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    number = labels.get(LABEL + "container-number", "")
    return Container(
        id=str(found["Id"]),
        name=str(found.get("Name", "")).removeprefix("/"),
        service=labels.get(LABEL + "service", ""),
        number=count(number) or 1,
        one_off=labels.get(LABEL + "oneoff", "False") == "True",
        image=str(config.get("Image", "")),
        image_id=str(found.get("Image", "")),
        config_hash=labels.get(LABEL + "config-hash", ""),
        project=labels.get(LABEL + "project", ""),
        state=str(state.get("Status", "")),
        exit_code=int(state.get("ExitCode") or 0),
        health=health if health in ("healthy", "unhealthy", "starting") else None,
        restarts=int(found.get("RestartCount") or 0),
        started_at=str(state.get("StartedAt", "")),
        environment=_environment(config.get("Env")),
        labels=labels,
        addresses={name: str(each.get("IPAddress", "")) for name, each in networks.items() if each},
        mounts=tuple(_mount(mount) for mount in found.get("Mounts") or ()),
        oom_killed=bool(state.get("OOMKilled")),
    )


def _environment(entries: Iterable[str] | None) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in entries or ())}


def _mount(found: Mapping[str, Any]) -> tuple[str, str, str]:
    kind = str(found.get("Type", ""))
    source = found.get("Name") if kind == "volume" else found.get("Source")
    return kind, str(source or ""), str(found.get("Destination", ""))


def image(found: Mapping[str, Any]) -> Image:
    """An image as `docker image inspect` shows it."""
    config = found.get("Config") or {}
    test: list[str] = (config.get("Healthcheck") or {}).get("Test") or []
    ports = sorted(
        int(port.partition("/")[0])
        for port in config.get("ExposedPorts") or ()
        if port.endswith("/tcp") and count(port.partition("/")[0]) is not None
    )
    words = (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))
    return Image(
        id=str(found.get("Id", "")),
        has_health_check=bool(test) and test[0] != "NONE",
        ports=tuple(ports),
        command=tuple(str(word) for word in words),
    )


def images(found: Iterable[Mapping[str, Any]]) -> dict[str, Image]:
    """Images by their id and by every name that they have."""
    known: dict[str, Image] = {}
    for each in found:
        made = image(each)
        for name in (made.id, *(each.get("RepoTags") or ()), *(each.get("RepoDigests") or ())):
            known[str(name)] = made
            if str(name).endswith(":latest"):
                known[str(name).removesuffix(":latest")] = made
    return known


def by_service(containers: Iterable[Container]) -> dict[str, tuple[Container, ...]]:
    """Containers by their service, in the order of their numbers."""
    found: dict[str, list[Container]] = {}
    for each in sorted(containers, key=lambda each: (each.service, each.one_off, each.number)):
        found.setdefault(each.service, []).append(each)
    return {service: tuple(members) for service, members in found.items()}


def ready_after_s(found: Mapping[str, Any]) -> float | None:
    """Seconds from a container's start to its first passed check; None where the engine no longer knows it.

    The engine keeps the last five checks, so it knows this of young containers only; and a seldom check says too little.
    """
    state, check = found.get("State") or {}, (found.get("Config") or {}).get("Healthcheck") or {}
    log = (state.get("Health") or {}).get("Log") or []
    step_s = (check.get("StartInterval") if check.get("StartPeriod") else check.get("Interval")) or 30e9
    begin = when(str(state.get("StartedAt", "")))
    if not log or begin is None or step_s / 1e9 > CLOSE_S:
        return None
    first = when(str(log[0].get("Start", "")))
    if first is None or (first - begin).total_seconds() > 2 * step_s / 1e9:
        return None
    for entry in log:
        end = when(str(entry.get("End", "")))
        if entry.get("ExitCode") == 0 and end is not None:
            return max(0.0, (end - begin).total_seconds())
    return None


def when(text: str) -> datetime | None:
    """A time as the engine gives it; None for one that says nothing."""
    try:
        found = datetime.fromisoformat(_MORE_THAN_MICRO.sub(r"\1", text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.year > 1 and found.tzinfo is not None else None
