"""What a mesh adds to a Compose file: the authority, and each member's sidecar, network and volume of keys. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from runbooks.compose.model import Stack
from runbooks.compose.operations import AddDependency, AddResource, AddService, Operation, RemoveSetting, SetSetting
from runbooks.model import Facts
from runbooks.steps import envoy, images, meshing
from runbooks.steps.health_checks import quick_starts
from runbooks.steps.meshing import AUTHORITY, Member

NAME = "service_mesh"
USER = "65532:65532"
"""Nobody of the images or the host. Keys belong to this number, so the authority and the sidecars have the same."""
LIVE = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/live', timeout=4)"
READY = f"exec 3<>/dev/tcp/127.0.0.1/{envoy.ADMIN} && printf 'GET /ready HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q LIVE <&3"  # fmt: skip
TRY = (
    f"mkdir -p {envoy.INSIDE} {envoy.CERTIFICATES} && printf %s \"$1\" >{envoy.INSIDE}/certificate.yaml && "
    f"printf %s \"$2\" >{envoy.INSIDE}/trust.yaml && cat >{envoy.INSIDE}/envoy.yaml && exec envoy --mode validate -c {envoy.INSIDE}/envoy.yaml"
)  # fmt: skip
"""Envoy's own verdict on a sidecar's files, in its own image, before anything is written. $1, $2: the two small ones."""
DAY_S = 86400


def trial() -> tuple[str, ...]:
    return ("sh", "-c", TRY, "sh", envoy.certificate(), envoy.trust())


def volume(member: str) -> str:
    return f"mesh-keys-{member}"


def files(members: tuple[Member, ...], settings: Mapping[str, Any], *, first: bool) -> dict[str, str]:
    """path in the project -> text. None of them holds a secret. `first`: with those that all sidecars have alike."""
    folder = settings["mesh_folder"]
    texts = {f"{each.name}.yaml": envoy.configuration(each.sidecar) for each in members}
    texts |= {"certificate.yaml": envoy.certificate(), "trust.yaml": envoy.trust()} if first else {}
    return {posixpath.join(folder, name): text for name, text in texts.items()}


def operations(stack: Stack, members: tuple[Member, ...], image: str, settings: Mapping[str, Any], facts: Facts) -> list[Operation]:  # fmt: skip
    """All that is added, then who moves."""
    made: list[Operation] = [AddResource("volumes", settings["mesh_authority"], {}, "the authority's own key outlives its container")]  # fmt: skip
    made += [operation for each in members for operation in resources(each)]
    made.append(AddService(settings["mesh_authority"], authority(members, image, stack, settings, facts), "makes certificates, and renews them"))  # fmt: skip
    for each in members:
        made.append(AddService(meshing.sidecar_name(each.name), sidecar(stack, each, settings, facts), f"mutual TLS for {each.name}"))  # fmt: skip
    for each in members:
        if each.serves and each.service.value.get("ports"):
            made.append(RemoveSetting(each.name, "ports", "plain text would get past the mesh there"))
        made += moved(each)
        made.append(AddDependency(each.name, meshing.sidecar_name(each.name), "service_healthy", "its connections go through its sidecar"))  # fmt: skip
    return made


def resources(member: Member) -> Iterator[Operation]:
    """What a member's sidecar has for itself beside the services."""
    yield AddResource("networks", meshing.network_name(member.name), network(member), f"{member.name} and its sidecar alone")  # fmt: skip
    yield AddResource("volumes", volume(member.name), keys(), "keys are in memory alone")


def digest(member: Member) -> str:
    """What tells one file of a sidecar from another, in its label."""
    return sha256(envoy.configuration(member.sidecar).encode()).hexdigest()[:12]


def moved(member: Member) -> Iterator[Operation]:
    """Who serves is left on the network of its sidecar alone, so that no other way leads to it; who calls is there too."""
    own = meshing.network_name(member.name)
    if member.serves:
        yield SetSetting(member.name, ("networks",), (own,), "only its sidecar reaches it")
    elif isinstance(member.service.value.get("networks"), Mapping):
        yield SetSetting(member.name, ("networks", own, "aliases"), (member.name,), "finds its sidecar there")
    else:
        yield SetSetting(member.name, ("networks",), (*member.networks, own), "finds its sidecar there")


def network(member: Member) -> dict[str, Any]:
    """Room for the gateway, the sidecar, and containers from the middle on. It leads out where the member's own ones did."""
    subnet = member.subnet
    upper = list(subnet.subnets(prefixlen_diff=1))[1]
    config = {"subnet": str(subnet), "gateway": str(subnet[1]), "ip_range": str(upper)}
    return {**({"internal": True} if member.inside else {}), "ipam": {"config": [config]}}


def keys() -> dict[str, Any]:
    """In memory: gone with the last container that has them, made anew by the authority."""
    return {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=65532,gid=65532,mode=0700"}}  # fmt: skip


def authority(members: tuple[Member, ...], image: str, stack: Stack, settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # fmt: skip
    """It waits for nobody, and others wait for it."""
    networks = images.networks(each.service for each in members)
    asks = {
        f"ASK_{each.name}": " ".join(f"{meshing.sidecar_name(each.name)}:{envoy.FIRST + at} {each.name}:{port.number}" for at, port in enumerate(each.sidecar.ports))
        for each in members if each.serves
    }  # fmt: skip
    days = settings["mesh_certificate_days"]
    return {
        "image": image,
        "user": USER,
        **_bounded(),
        **({"networks": networks} if networks != ["default"] else {}),
        "environment": {
            "DOMAIN": stack.spec.name, "MEMBERS": " ".join(each.name for each in members),
            "DAYS": str(days), "RENEW_S": str(days * DAY_S // 7),
            "ROOT_DAYS": str(settings["mesh_authority_days"]), **asks,
        },
        "volumes": [f"{settings['mesh_authority']}:/authority", *(f"{volume(each.name)}:{envoy.CERTIFICATES}/{each.name}" for each in members)],
        "tmpfs": [f"{envoy.CERTIFICATES}/{AUTHORITY}:uid=65532,gid=65532,mode=0700", "/tmp"],  # noqa: S108 - inside its container
        "healthcheck": _check(["CMD", "python3", "-c", LIVE], facts),
        "deploy": {"resources": {"limits": {"cpus": "0.25", "memory": "96M"}}},
        "labels": {images.ADDED: NAME},
    }  # fmt: skip


def sidecar(stack: Stack, member: Member, settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """A member's Envoy, on its old networks and on the one that only the two of them are on."""
    folder, target = settings["mesh_folder"], envoy.INSIDE
    names = [name for call in member.sidecar.calls for name in call.names]
    names += [name for passed in member.sidecar.passes for name in passed.names]
    aliases = list(dict.fromkeys(names))
    own: dict[str, Any] = {"ipv4_address": member.sidecar.address, **({"aliases": aliases} if aliases else {})}
    return {
        "image": settings["mesh_image"],
        "user": USER,
        **_bounded(),
        "entrypoint": ["sh", "-c", envoy.WAIT.replace("$", "$$"), "sh"],
        "command": list(envoy.WORDS),
        "networks": {**{each: {} for each in member.networks}, meshing.network_name(member.name): own},
        "volumes": [
            f"./{folder}/{member.name}.yaml:{target}/envoy.yaml:ro", f"./{folder}/certificate.yaml:{target}/certificate.yaml:ro",
            f"./{folder}/trust.yaml:{target}/trust.yaml:ro", f"{volume(member.name)}:{envoy.CERTIFICATES}:ro",
        ],
        "depends_on": {settings["mesh_authority"]: {"condition": "service_healthy"}},
        "healthcheck": _check(["CMD", "bash", "-c", READY], facts),
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "256M"}}},
        "labels": {images.ADDED: NAME, images.CONTENT: digest(member)},
    }  # fmt: skip


def _bounded() -> dict[str, Any]:
    return {"restart": "unless-stopped", "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}  # fmt: skip


def _check(test: list[str], facts: Facts) -> dict[str, Any]:
    check: dict[str, Any] = {"test": test, "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}
    return check | ({"start_interval": "1s"} if quick_starts(facts) else {})
