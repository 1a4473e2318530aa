"""What keeps a service from having replicas on one Compose host, and what would mend it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.compose.model import Service
from runbooks.ready import HOLDS_DATA
from runbooks.steps.images import repository

DROPPED = ("container_name", "ports")
"""Keys that the inventory may have taken out."""


@dataclass(frozen=True)
class Obstacle:
    """`what` is the key in the way; `mend` what the operator can do."""

    what: str
    reason: str
    mend: str


def obstacles(service: Service, most: int) -> Iterator[Obstacle]:
    """Everything in the way of so many replicas."""
    value = service.value
    if repository(service.image) in HOLDS_DATA:
        yield Obstacle("image", f"{repository(service.image)} keeps data: copies of it would not know of each other", "leave it out, and give it replication of its own")  # fmt: skip
    if service.container_name:
        yield Obstacle("container_name", f"its containers cannot all be called {service.container_name}", drop(service, "container_name"))  # fmt: skip
    for entry in value.get("ports") or ():
        low, count = published(entry)
        if low and count < most:
            yield Obstacle("ports", f"only one container can have the host's port {low}", f"publish it from a proxy such as HAProxy that finds {service.name} by its name, and {drop(service, 'ports')}")  # fmt: skip
            break
    for source, target in writable(value.get("volumes") or ()):
        yield Obstacle("volumes", f"all of them would write to {source}, at {target}", "mount it read-only (:ro), or say that they may: shared_volumes: true")  # fmt: skip
        break
    mode = str(value.get("network_mode") or "")
    if mode == "host" or mode.startswith(("service:", "container:")):
        yield Obstacle("network_mode", f"{mode} has one set of ports for all of them", "put it on a network of its own")
    networks = value.get("networks")
    if isinstance(networks, Mapping) and any(isinstance(each, Mapping) and (each.get("ipv4_address") or each.get("ipv6_address")) for each in networks.values()):  # fmt: skip
        yield Obstacle("networks", "only one container can have its fixed address", "take the address out")
    deploy = value.get("deploy") or {}
    if isinstance(deploy, Mapping) and deploy.get("mode") in ("global", "global-job", "replicated-job"):
        yield Obstacle("deploy", f"its mode is {deploy['mode']}", "take deploy.mode out")


def drop(service: Service, key: str) -> str:
    return f"set autoscale: {{{service.name}: {{drop: [{key}]}}}}"


def published(entry: Any) -> tuple[str, int]:
    """The first host port of an entry of `ports`, and how many it is; nothing where the engine chooses one."""
    if isinstance(entry, Mapping):
        text = str(entry.get("published") or "")
    else:
        parts = str(entry).split("/")[0].rpartition(":")[0].rpartition(":")
        text = parts[2] if "." not in parts[2] and "]" not in parts[2] else ""
    low, _, high = text.partition("-")
    if not low.isdigit() or low == "0":
        return "", 0
    return low, int(high) - int(low) + 1 if high.isdigit() else 1


def writable(volumes: Any) -> Iterator[tuple[str, str]]:
    """(source, target) of what is mounted to be written by whoever runs; volumes without a name are each container's own."""
    for entry in volumes:
        if isinstance(entry, Mapping):
            if entry.get("type") in ("volume", "bind") and entry.get("source") and not entry.get("read_only"):
                yield str(entry["source"]), str(entry.get("target"))
            continue
        source, mark, rest = str(entry).partition(":")
        target, _, options = rest.partition(":")
        if mark and "ro" not in options.split(","):
            yield source, target
