"""Who is in a mesh, as files and inventory have it: who serves, who calls whom, what leads out of it, and what is in the way. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from inventory.errors import InputError
from runbooks.compose.model import Service, Stack
from runbooks.model import Facts, Kept, Refusal
from runbooks.steps import asked, bounds, envoy, images, mesh_names, pooling
from runbooks.steps.envoy import Pass, Port, Protocol, Sidecar, Target

AUTHORITY = "mesh-authority"
"""The authority's own identity, with which it tries whether the mesh is in force."""
NOBODY: Mapping[str, ipaddress.IPv4Network] = {}
PREFIX = 27
"""Each member has a network of 32 addresses: the sidecar has the third, containers the upper half."""


@dataclass(frozen=True)
class Member:
    """A service with a sidecar. `networks`: those that it was on. Who does not serve only calls, and stays on them."""

    service: Service
    subnet: ipaddress.IPv4Network
    networks: tuple[str, ...]
    inside: bool
    """Whether none of those leads out of the host."""
    sidecar: Sidecar

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def serves(self) -> bool:
        return bool(self.sidecar.ports)


@dataclass(frozen=True)
class Found:
    """The members, what is in the way of the whole, and what an operator should know of them."""

    members: tuple[Member, ...]
    refused: tuple[Refusal, ...]
    kept: tuple[Kept, ...]


def sidecar_name(service: str) -> str:
    return f"{service}-mesh"


def network_name(service: str) -> str:
    return f"mesh-{service}"


def find(stack: Stack, facts: Facts, settings: Mapping[str, Any], there: Mapping[str, ipaddress.IPv4Network] = NOBODY) -> Found:  # fmt: skip
    """The mesh of a stack, with all that is in its way. `there`: members that have a network already, which they keep.

    Raises InputError for a name that is not there, or too few addresses.
    """
    given: Mapping[str, Any] = settings["mesh_services"]
    refused: list[Refusal] = []
    serving: dict[str, tuple[Port, ...]] = {}
    for name, own in given.items():
        for each in (name, *(reached.partition(":")[0] for reached in _reaches(own))):
            if each not in stack.services:
                raise InputError(f"there is no service {each}", key="mesh_services", mend=bounds.near(str(each), tuple(stack.services)))  # fmt: skip
        service = stack.services[name]
        if own == "skip" or not own.get("serves", True):
            continue
        why = list(_obstacles(stack, service, facts, own))
        refused += [_refusal(service, *each) for each in why]
        if not why:
            serving[name] = ports_of(stack, service, own)
    for name in serving:
        refused += [_refusal(stack.services[caller], *why) for caller, why in _stranded(stack, name, given)]
    chosen = list(_members(stack, serving, given))
    rooms = list(base(stack, settings["mesh_subnet"]).subnets(new_prefix=PREFIX))
    free = [each for each in rooms if not any(each.overlaps(taken) for taken in there.values())]
    if len([each for each in chosen if each.name not in there]) > len(free):
        raise InputError(f"holds {len(rooms)} networks, and {len(chosen)} are needed", key="mesh_subnet", mend="write a larger one, or leave it out")  # fmt: skip
    members: list[Member] = []
    kept: list[Kept] = []
    coming = iter(free)
    for service in chosen:
        subnet = there[service.name] if service.name in there else next(coming)
        calls, passes, why, left = _outbound(stack, service, serving, given.get(service.name) or {})
        kept += [Kept(service.name, "mesh", f"waits for {each} and names it nowhere, so no way leads there: reaches: [{each}:PORT] makes one", True) for each in left]  # fmt: skip
        refused += [_refusal(service, *each) for each in why]
        networks = tuple(images.networks([service]))
        made = Sidecar(service.name, stack.spec.name, str(subnet[2]), serving.get(service.name, ()), (), calls, passes)
        members.append(Member(service, subnet, networks, _inside(stack, networks), made))
    callers = {name: [each.name for each in members if any(target.service == name for target in each.sidecar.calls)] for name in serving}  # fmt: skip
    found = tuple(
        replace(each, sidecar=replace(each.sidecar, callers=(*callers[each.name], AUTHORITY))) if each.serves else each
        for each in members
    )
    kept += [Kept(name, "mesh", "nobody in the stack calls it", True) for name, who in callers.items() if not who]
    return Found(found, tuple(dict.fromkeys(refused)), tuple(kept))


def _refusal(service: Service, reason: str, mend: str) -> Refusal:
    return Refusal(service.name, service.place.path, service.place.line, "mesh", reason, mend)


def _obstacles(stack: Stack, service: Service, facts: Facts, own: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Why a service cannot be reached through a sidecar alone, each with the mend."""
    mode = service.value.get("network_mode")
    networks = service.value.get("networks")
    if images.added(service):
        yield "was added by a step of this tool", "leave it out: as a caller it is in the mesh by itself"
    if not service.active:
        yield "is in no profile that is chosen", "choose its profile, or leave it out of mesh_services"
    if mode:
        yield (
            f"has network_mode: {mode}, so it is on no network of the project",
            "take network_mode out, or leave it out of mesh_services",
        )
    if service.value.get("ports") and "ports" not in own.get("drop", ()):
        yield (
            "publishes ports on the host, where plain text would get past the mesh",
            f"publish a proxy that calls it, and write {service.name}: {{drop: [ports]}} in mesh_services",
        )
    if isinstance(networks, Mapping) and any(set(each or {}) - {"aliases"} for each in networks.values()):
        yield "has an address of its own on a network", "leave only aliases there, or leave it out of mesh_services"
    if service.value.get("links") or service.value.get("external_links"):
        yield "has links", "take them out: names reach it without"
    if images.is_one_shot(stack, service, facts):
        yield "runs once and ends", "leave it out of mesh_services, or write serves: false where it only calls"
    if any(images.stands_for(other) == service.name for other in stack.services.values()):
        yield "has its clients behind a front already", "leave it out of mesh_services"
    if not mode and not ports_of(stack, service, own):
        yield (
            "declares no port, and nobody names one",
            f'write expose: ["PORT"] at it, or mesh_services: {{{service.name}: {{port: PORT}}}}',
        )
    if sidecar_name(service.name) in stack.services:
        yield (
            f"its sidecar would be called {sidecar_name(service.name)}, which is another service",
            "rename that service",
        )


def ports_of(stack: Stack, service: Service, own: Mapping[str, Any]) -> tuple[Port, ...]:
    """The ports that it serves at: the inventory's, else all that it declares, else those that others name, else its image's."""
    numbers: tuple[int, ...] = (own["port"],) if "port" in own else tuple(dict.fromkeys(service.ports))
    if not numbers:
        named = {each.port for other in stack.services.values() if other.name != service.name for each in mesh_names.names(other, service)}  # fmt: skip
        numbers = tuple(sorted(each for each in named if each))
    usual = asked.port_of(service)
    numbers = numbers or ((usual,) if usual else ())
    return tuple(Port(each, own.get("protocol") or _protocol(stack, service, each), own.get("rate", 0)) for each in numbers)  # fmt: skip


def _protocol(stack: Stack, service: Service, port: int) -> Protocol:
    """HTTP where others speak plain HTTP to that port: only then requests can be told apart."""
    said = [http for other in stack.services.values() if other.name != service.name for number, http in mesh_names.names(other, service) if number == port]  # fmt: skip
    return "http" if said and all(said) else "tcp"


def _calls(stack: Stack, service: Service, name: str) -> bool:
    """Whether a service calls one that is in the mesh. A breaker's file is not seen: it may call all."""
    if images.added(service) == "circuit_breakers":
        return True
    if images.added(service) in ("service_registry", "service_mesh"):
        return False
    return mesh_names.calls(service, stack.services[name])


def _stranded(stack: Stack, name: str, given: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Callers of a service that could not reach it any more, and why."""
    for other in stack.services.values():
        own = given.get(other.name)
        if other.name == name or own == "skip" or not other.active or not _calls(stack, other, name):
            continue
        if other.value.get("network_mode"):
            yield other.name, (f"calls {name} and has network_mode: {other.value['network_mode']}, so it can have no sidecar", f"take network_mode out, or write {other.name}: skip in mesh_services where it does not call it")  # fmt: skip
        elif any(str(each).partition(":")[0] == name for each in other.value.get("links") or ()):
            yield other.name, (f"has a link to {name}", "take it out: the name reaches it without")
        elif own is None and not images.added(other):
            yield other.name, (f"calls {name} in plain text, which would be refused", f"write {other.name}: {{serves: false}} in mesh_services, or {other.name}: skip where it does not call it")  # fmt: skip


def _members(stack: Stack, serving: Mapping[str, tuple[Port, ...]], given: Mapping[str, Any]) -> Iterator[Service]:
    """Who serves, and who calls one of them, in the order of the files."""
    for service in stack.services.values():
        if given.get(service.name) == "skip" or not service.active:
            continue
        others = [name for name in serving if name != service.name]
        if service.name in serving or any(_calls(stack, service, name) for name in others):
            yield service


def _outbound(
    stack: Stack, service: Service, serving: Mapping[str, tuple[Port, ...]], own: Any
) -> tuple[tuple[Target, ...], tuple[Pass, ...], list[tuple[str, str]], list[str]]:
    """What a service calls in the mesh, what it needs outside of it, why that cannot be, and what is left away.

    Who serves is on no other network any more, so all that it needs comes through its sidecar. What it only waits for
    comes through too, where the port is free.
    """
    calls: list[Target] = []
    passes: list[Pass] = []
    wrong: list[tuple[str, str]] = []
    waits: list[Pass] = []
    for other in stack.services.values():
        if other.name == service.name or not other.active:
            continue
        if other.name in serving:
            if _calls(stack, service, other.name):
                names = tuple(sorted(pooling.names_of(other)))
                calls += [Target(other.name, names, port, sidecar_name(other.name), envoy.FIRST + at) for at, port in enumerate(serving[other.name])]  # fmt: skip
        elif service.name in serving:
            found, why = _passes(stack, service, other, own)
            passes += found
            wrong += why
            usual = asked.port_of(other)
            if not found and other.name in service.edges and usual and (made := _pass(stack, service, other, usual)):
                waits.append(made)
    # A breaker hands on the name that it was asked for itself, and its services could not be told apart by it.
    wrong += _clashes(calls, passes, told_apart=images.added(service) != "circuit_breakers")
    taken = [*(each.port.number for each in calls), *(each.port for each in passes), *(each.port for each in waits)]
    free = [each for each in waits if taken.count(each.port) == 1]
    return tuple(calls), (*passes, *free), wrong, [each.names[0] for each in waits if each not in free]


def _passes(stack: Stack, service: Service, other: Service, own: Any) -> tuple[list[Pass], list[tuple[str, str]]]:
    """The ports of another service that one needs past the mesh, and why that cannot be."""
    told = {int(each.rpartition(":")[2]) for each in _reaches(own) if each.rpartition(":")[0] == other.name}
    named = mesh_names.ports(service, other)
    if named is None and not told:
        return [], []
    if not named and not told:
        return [], [(f"names {other.name}, at a port that nothing says", f"write reaches: [{other.name}:PORT] for it in mesh_services")]  # fmt: skip
    found = [_pass(stack, service, other, port) for port in sorted(told | (named or set()))]
    if told and None in found:
        return [], [(f"reaches names {other.name}, which is on no network of it", "take that out")]
    return [each for each in found if each], []


def _pass(stack: Stack, service: Service, other: Service, port: int) -> Pass | None:
    """The way to another service by the first network that both are on; None where there is none."""
    there = () if other.value.get("network_mode") else images.networks([other])
    shared = next((each for each in images.networks([service]) if each in there), None)
    if shared is None:
        return None
    names = (other.name, *sorted(pooling.names_of(other) - {other.name}))
    return Pass(names, port, f"{other.name}.{_engine_name(stack, shared)}")


def _reaches(own: Any) -> list[str]:
    return list(own.get("reaches", ())) if isinstance(own, Mapping) else []


def _clashes(calls: list[Target], passes: list[Pass], *, told_apart: bool) -> Iterator[tuple[str, str]]:
    """A sidecar has one address: only HTTP services can be told apart behind one port of it."""
    users: dict[int, list[tuple[str, bool]]] = {}
    for each in calls:
        users.setdefault(each.port.number, []).append((each.service, told_apart and each.port.protocol == "http"))
    for passed in passes:
        users.setdefault(passed.port, []).append((passed.names[0], False))
    for port, found in users.items():
        if len(found) > 1 and not all(http for _, http in found):
            who = " and ".join(name for name, _ in found)
            yield (
                f"needs {who} at the same port {port}, which a sidecar can tell apart in plain HTTP alone",
                "give one of them another port, or leave it out of mesh_services",
            )


def _inside(stack: Stack, networks: tuple[str, ...]) -> bool:
    """Whether all of some networks are internal ones."""
    known: Any = stack.value.get("networks") or {}
    return all(isinstance(known.get(each), Mapping) and known[each].get("internal") is True for each in networks)


def base(stack: Stack, given: str) -> ipaddress.IPv4Network:
    """Where the members' networks are: as given, else told from the project's name, so that two stacks of a host differ."""
    if given:
        return ipaddress.IPv4Network(given)
    digest = sha256(stack.spec.name.encode()).digest()
    return ipaddress.IPv4Network(f"10.{192 + digest[0] % 60}.{digest[1] & 0xF0}.0/20")


def _engine_name(stack: Stack, network: str) -> str:
    """What the engine calls a network of the project."""
    known: Any = stack.value.get("networks") or {}
    said: Any = known.get(network) or {}
    return str(said.get("name") or (network if said.get("external") else f"{stack.spec.name}_{network}"))
