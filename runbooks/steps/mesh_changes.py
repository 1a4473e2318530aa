"""A mesh that stands, and what the inventory wishes of it now: who comes in, who serves from now on, other ports and rates. Pure.

What was before the mesh is told from the mesh itself: a service's networks are its sidecar's. Nobody is taken out: that
is a rollback's, which puts the bytes of before back.
"""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import AddDependency, AddService, Operation, RemoveSetting, SetSetting, SetVariable
from runbooks.model import Facts, Kept
from runbooks.steps import envoy, images, mesh_services, meshing
from runbooks.steps.meshing import Member

_ANEW = "it is made anew with what changed"


@dataclass(frozen=True)
class Standing:
    """The mesh that a stack has. `subnets`: its members with their networks; `serves`: who serves, at which ports.

    `bare`: the stack as it would be without the mesh, to be read, not to be edited.
    """

    authority: str
    folder: str
    subnets: Mapping[str, ipaddress.IPv4Network]
    serves: Mapping[str, tuple[int, ...]]
    bare: Stack


def standing(stack: Stack, authority: str) -> Standing | None:
    """What stands, by the files; None where they are not as this version writes them."""
    asks = {name.removeprefix("ASK_"): each.value or "" for name, each in stack.services[authority].environment.items() if name.startswith("ASK_")}  # fmt: skip
    serves = {name: tuple(int(each.rpartition(":")[2]) for each in said.split()[1::2]) for name, said in asks.items()}
    subnets: dict[str, ipaddress.IPv4Network] = {}
    folders: set[str] = set()
    services: dict[str, Service] = {}
    known: Any = stack.value.get("networks") or {}
    for name, service in stack.services.items():
        if images.added(service) == mesh_services.NAME:
            continue
        sidecar = stack.services.get(meshing.sidecar_name(name))
        if sidecar is None or images.added(sidecar) != mesh_services.NAME:
            services[name] = service
            continue
        own = meshing.network_name(name)
        config = ((known.get(own) or {}).get("ipam") or {}).get("config") or [{}]
        sources = [str(each).partition(":")[0] for each in sidecar.value.get("volumes") or () if f":{envoy.INSIDE}/envoy.yaml" in str(each)]  # fmt: skip
        if not config[0].get("subnet") or len(sources) != 1:
            return None
        subnets[name] = ipaddress.IPv4Network(config[0]["subnet"])
        folders.add(posixpath.normpath(posixpath.dirname(sources[0])))
        services[name] = _bare(service, sidecar, own, serves.get(name))
    left = {name for name, each in stack.services.items() if images.added(each) == mesh_services.NAME} - {authority}
    if len(folders) != 1 or left != set(map(meshing.sidecar_name, subnets)) or not serves.keys() <= subnets.keys():
        return None
    return Standing(authority, folders.pop(), subnets, serves, replace(stack, services=services))


def _bare(service: Service, sidecar: Service, own: str, ports: tuple[int, ...] | None) -> Service:
    """A member without its sidecar: on the networks of before, and at the ports that it serves at, which may have been dropped."""
    if ports is None:
        there: Any = service.value.get("networks")
        networks: Any = {name: each for name, each in there.items() if name != own} if isinstance(there, Mapping) else [each for each in there if each != own]  # fmt: skip
        return replace(service, value={**service.value, "networks": networks})
    networks = [each for each in sidecar.value["networks"] if each != own]
    return replace(service, value={**service.value, "networks": networks}, ports=ports)


def wishes(there: Standing, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Kept]]:
    """`mesh_services` with all who are in the mesh, and who would be out of it or serve no more if it were as wished."""
    found, kept = dict(given), list[Kept]()
    for name in there.subnets:
        own, serves = given.get(name), name in there.serves
        added = images.added(there.bare.services[name])
        if serves and (not isinstance(own, Mapping) or not own.get("serves", True)):
            found[name] = {key: each for key, each in own.items() if key != "serves"} if isinstance(own, Mapping) else {}  # fmt: skip
        elif not serves and not added and not isinstance(own, Mapping):
            found[name] = {"serves": False}
        else:
            continue
        kept.append(Kept(name, "mesh", "roll the mesh back and plan anew to take it out", True))
    return found, kept


def operations(stack: Stack, there: Standing, members: tuple[Member, ...], settings: Mapping[str, Any], facts: Facts) -> list[Operation]:  # fmt: skip
    """All that differs, then who moves."""
    new = [each for each in members if each.name not in there.subnets]
    made: list[Operation] = [operation for each in new for operation in mesh_services.resources(each)]
    made += _authority(stack.services[there.authority], mesh_services.authority(members, "", stack, settings, facts))
    for each in members:
        name, wanted = meshing.sidecar_name(each.name), mesh_services.sidecar(stack, each, settings, facts)
        if each in new:
            made.append(AddService(name, wanted, f"mutual TLS for {each.name}"))
        else:
            made += _sidecar(stack.services[name], meshing.network_name(each.name), wanted)
    for each in members:
        if each.serves and each.name not in there.serves:
            if each.service.value.get("ports"):
                made.append(RemoveSetting(each.name, "ports", "plain text would get past the mesh there"))
            made += mesh_services.moved(each)
        elif each in new:
            made += mesh_services.moved(each)
        if each in new:
            made.append(AddDependency(each.name, meshing.sidecar_name(each.name), "service_healthy", "its connections go through its sidecar"))  # fmt: skip
    return made


def _authority(now: Service, wanted: Mapping[str, Any]) -> Iterator[Operation]:
    for name, value in wanted["environment"].items():
        variable = now.environment.get(name)
        if variable is None or variable.value != value:
            yield SetVariable(now.name, name, value, _ANEW)
    for key in ("networks", "volumes"):
        if key in wanted and list(wanted[key]) != list(now.value.get(key) or ()):
            yield SetSetting(now.name, (key,), tuple(wanted[key]), _ANEW)


def _sidecar(now: Service, own: str, wanted: Mapping[str, Any]) -> Iterator[Operation]:
    aliases = wanted["networks"][own].get("aliases", [])
    if aliases != ((now.value["networks"] or {}).get(own) or {}).get("aliases", []):
        yield SetSetting(now.name, ("networks", own, "aliases"), tuple(aliases), _ANEW)
    digest = wanted["labels"][images.CONTENT]
    if (now.value.get("labels") or {}).get(images.CONTENT) != digest:
        yield SetSetting(now.name, ("labels", images.CONTENT), digest, _ANEW)


def changed(stack: Stack, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """The members whose sidecars are new, or are told something else than they were. `stack`: with the mesh that stands."""

    def told(member: Member) -> str:
        there = stack.services.get(meshing.sidecar_name(member.name))
        return str((there.value.get("labels") or {}).get(images.CONTENT, "")) if there else ""

    return tuple(each for each in members if told(each) != mesh_services.digest(each))
