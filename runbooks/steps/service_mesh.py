"""Puts Envoy beside chosen services: mutual TLS between them, retries, outlier detection, rate limits (the proposal's section 8)."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from checks.model import Probe
from runbooks import shipped
from runbooks.compose import splice
from runbooks.compose.model import Stack
from runbooks.compose.operations import (
    AddDependency,
    AddService,
    Applied,
    Operation,
    RemoveSetting,
    SetSetting,
    SetVariable,
)
from runbooks.model import Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.steps import bounds, envoy, images, mesh_changes, mesh_services, meshing
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.meshing import Member

NAME = mesh_services.NAME
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "mesh_services": (
        dict,
        {},
        "service -> port, protocol, rate, reaches, serves, drop; {} for what its files say; or skip",
    ),
    "mesh_image": (str, "envoyproxy/envoy:v1.40.0", "Envoy's image"),
    "mesh_authority": (str, "mesh-authority", "what the service that makes certificates is called"),
    "mesh_authority_image": (str, "", "an image of yours that holds it; else it is built on the host"),
    "mesh_folder": (str, "infrastructure/mesh", "where in the project the sidecars' files go"),
    "mesh_subnet": (str, "", "where the members' networks are, 10.200.0.0/20; else told from the project's name"),
    "mesh_certificate_days": (int, 7, "how long a certificate is good; another is made when a seventh of that is over"),
    "mesh_authority_days": (
        int,
        365,
        "how long the authority's own is good; another follows it when half of that is over",
    ),
}
KEYS = ("drop", "port", "protocol", "rate", "reaches", "serves")


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "mesh_authority" and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        return f"{value!r} is no name of a service", "write small letters, digits, - and _"
    if name == "mesh_folder" and (not re.fullmatch(r"[\w./-]+", value) or value.startswith(("/", "-")) or ".." in value.split("/")):  # fmt: skip
        return f"{value!r} is no folder inside the project", "write infrastructure/mesh"
    if name == "mesh_certificate_days" and not 1 <= value <= 90:
        return f"{value} is no number of days", "write 7, from 1 to 90"
    if name == "mesh_authority_days" and not 360 <= value <= 3650:
        return f"{value} is no number of days", "write 365, from 360 to 3650"
    if name == "mesh_subnet" and value:
        return _subnet(value)
    for service, given in value.items() if name == "mesh_services" else ():
        found = _problem(given)
        if found:
            return f"{service}: {found[0]}", found[1]
    return None


def _subnet(value: str) -> tuple[str, str] | None:
    try:
        found = ipaddress.IPv4Network(value)
    except ValueError:
        return f"{value!r} is no network", "write 10.200.0.0/20"
    if not found.is_private or not 12 <= found.prefixlen <= meshing.PREFIX:
        return f"{value} is no private network from /12 to /{meshing.PREFIX}", "write 10.200.0.0/20"
    return None


def _problem(given: Any) -> tuple[str, str] | None:
    """What is wrong with one service's entry."""
    if given == "skip":
        return None
    if not isinstance(given, Mapping):
        return f"{given!r} says nothing", "write {}, or skip"
    for key, own in given.items():
        if key not in KEYS:
            return f"{key} is no key of it", bounds.near(str(key), KEYS)
        if key == "port" and not (_number(own) and 1 <= own <= 65535):
            return f"{own!r} is no port", "write a number from 1 to 65535"
        if key == "rate" and not (_number(own) and 1 <= own <= 1_000_000):
            return f"{own!r} is no rate", "write how many a second, from 1"
        if key == "protocol" and own not in ("http", "tcp"):
            return f"{own!r} is no protocol that is told apart", "write http or tcp"
        if key == "serves" and not isinstance(own, bool):
            return "serves must be true or false", "write false where it only calls others"
        if key == "drop" and own != ["ports"]:
            return f"drop {own!r} names what cannot be dropped", "write [ports]"
        if key == "reaches" and not (isinstance(own, list) and all(_place(each) for each in own)):
            return f"reaches {own!r} is no list of places", "write [SERVICE:PORT]"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _place(value: Any) -> bool:
    match = re.fullmatch(r"[A-Za-z0-9_.-]+:(\d{1,5})", str(value))
    return bool(match) and 1 <= int(str(value).rpartition(":")[2]) <= 65535


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: files and inventory say it all."""
    return ()


def standing(stack: Stack) -> str | None:
    """The authority of the mesh that a stack has already."""
    return next((each.name for each in stack.services.values() if images.added(each) == NAME and "MEMBERS" in each.environment), None)  # fmt: skip


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds authority and sidecars, and moves who serves behind its own. All of it or nothing: half a mesh refuses the other half.

    Raises InputError for a service that is not there.
    """
    there = standing(stack)
    if there:
        return _anew(stack, there, facts, settings)
    if not settings["mesh_services"]:
        return _kept(stack, Kept("", "mesh", "no service is named in mesh_services"))
    found = meshing.find(stack, facts, settings)
    refused = list(found.refused)
    name = settings["mesh_authority"]
    if name in stack.services:
        place = stack.services[name].place
        refused.append(Refusal(name, place.path, place.line, "mesh", "a service of that name is there, and is another", "choose another mesh_authority"))  # fmt: skip
    if refused or not any(each.serves for each in found.members):
        return Change(step=NAME, risk="high", stack=stack, kept=found.kept, refused=tuple(refused))
    context = shipped.program("authority")
    image = settings["mesh_authority_image"] or shipped.image("mesh-authority", context)
    operations = mesh_services.operations(stack, found.members, image, settings, facts)
    applied = splice.apply(stack, operations)
    told, failed = refusals(applied, "mesh")
    if failed:
        return Change(step=NAME, risk="high", stack=stack, kept=found.kept, refused=told)
    return _made(stack, applied, operations, name, found, found.members, settings, (NeededImage(name, image, {} if settings["mesh_authority_image"] else context),))  # fmt: skip


def _anew(stack: Stack, authority: str, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """The mesh that is there, as the inventory wishes it now; who is in it stays in it."""
    as_it_is = Kept(authority, "mesh", "is there already")
    there = mesh_changes.standing(stack, authority)
    if not settings["mesh_services"]:
        return _kept(stack, as_it_is)
    if there is None:
        return _kept(stack, Kept(authority, "mesh", "stays as it is: its files are not as this version writes them", True))  # fmt: skip
    given, kept = mesh_changes.wishes(there, settings["mesh_services"])
    now = {**settings, "mesh_services": given, "mesh_authority": authority, "mesh_folder": there.folder}
    found = meshing.find(there.bare, facts, now, there.subnets)
    if found.refused:
        return Change(step=NAME, risk="high", stack=stack, kept=(*kept, *found.kept), refused=found.refused)
    operations = mesh_changes.operations(stack, there, found.members, now, facts)
    if not operations:
        return _kept(stack, *kept, as_it_is)
    applied = splice.apply(stack, operations)
    told, failed = refusals(applied, "mesh")
    if failed:
        return Change(step=NAME, risk="high", stack=stack, kept=(*kept, *found.kept), refused=told)
    return _made(stack, applied, operations, authority, replace(found, kept=(*kept, *found.kept)), mesh_changes.changed(stack, found.members), now, ())  # fmt: skip


def _made(stack: Stack, applied: Applied, operations: list[Operation], authority: str, found: meshing.Found, told: tuple[Member, ...],
          settings: Mapping[str, Any], more: tuple[NeededImage, ...]) -> Change:  # fmt: skip
    """The change. `told`: whose sidecars get a file, which Envoy judges in the image that the sidecar has; `more`: the authority's, at first."""
    files = {posixpath.join(stack.spec.directory, path): text.encode() for path, text in mesh_services.files(told, settings, first=bool(more)).items()}  # fmt: skip
    sidecars = [meshing.sidecar_name(each.name) for each in found.members]
    return Change(
        step=NAME, risk="high", stack=applied.stack, edits=applied.edits, operations=tuple(operations), created=files,
        altered=tuple(filter(None, (altered(stack, applied.stack, each, found.members) for each in operations))), kept=found.kept,
        notes=notes(found.members, settings),
        probes=(*health_probes(applied.stack, (authority, *sidecars, *(each.name for each in found.members))), probe(authority, applied.stack)),
        images=(
            *more,
            *(
                NeededImage(name, applied.stack.services[name].image or "", argv=mesh_services.trial(), data=envoy.configuration(member.sidecar).encode())
                for member in told for name in (meshing.sidecar_name(member.name),)
            ),
        ),
    )  # fmt: skip


def probe(authority: str, stack: Stack) -> Probe:
    """Whether each meshed service takes mutual TLS, and nothing else, at its sidecar and at its own address."""
    served = {name.removeprefix("ASK_"): _ports(each.value or "") for name, each in stack.services[authority].environment.items() if name.startswith("ASK_")}  # fmt: skip
    return Probe("mesh", f"mesh:{authority}", authority, {"services": served}, 15.0)


def _ports(asked: str) -> list[int]:
    return [int(each.rpartition(":")[2]) for each in asked.split()[1::2]]


def notes(members: tuple[Member, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operator should know of the mesh as planned."""
    served = ", ".join(each.name for each in members if each.serves)
    return (
        f"who calls {served} by a file of its own, or from another project, is not seen, and will be refused: name it in mesh_services",
        f"from when one of {served} is moved until its callers are, their calls to it fail",
        f"each sidecar's numbers are at http://SERVICE-mesh:{envoy.METRICS}/metrics in the stack's own networks",
    )


def altered(before: Stack, after: Stack, operation: Operation, members: tuple[Member, ...]) -> Altered | None:
    """An operation as people and JSON see it; networks and volumes are told with who uses them."""
    if isinstance(operation, AddService):
        service = after.services[operation.service]
        return Altered(service.name, service.place.path, service.place.line, "service", "none", service.image or "", "not needed", operation.reason)  # fmt: skip
    if isinstance(operation, AddDependency):
        edge = after.services[operation.service].edges[operation.dependency]
        return Altered(operation.service, edge.place.path, edge.place.line, "condition", "none", f"{operation.dependency}: {operation.condition}", "not needed", operation.reason)  # fmt: skip
    if isinstance(operation, RemoveSetting):
        old = before.services[operation.service].value.get(operation.key)
        place = before.services[operation.service].place
        return Altered(operation.service, place.path, place.line, operation.key, str(old), "none", "not needed", operation.reason)  # fmt: skip
    if isinstance(operation, SetVariable):
        variable, new = before.services[operation.service].environment.get(operation.name), after.services[operation.service].environment[operation.name]  # fmt: skip
        was = f"{operation.name}={variable.value}" if variable else "none"
        return Altered(operation.service, new.place.path, new.place.line, "mesh", was, f"{operation.name}={operation.value}", "not needed", operation.reason)  # fmt: skip
    if not isinstance(operation, SetSetting):
        return None
    member = next((each for each in members if each.name == operation.service), None)
    if member is None:
        # A sidecar or the authority: what it is told stands in files of their own, and in what it mounts.
        if operation.path != ("labels", images.CONTENT):
            return None
        place = after.services[operation.service].place
        return Altered(operation.service, place.path, place.line, "mesh", "what it was told", "its file anew", "unproven", "Envoy itself judges it before anything is written")  # fmt: skip
    place = after.services[member.name].place
    if member.serves:
        ports = ", ".join(f"{port.number} ({port.protocol}{f', {port.rate}/s' if port.rate else ''})" for port in member.sidecar.ports)  # fmt: skip
        callers = ", ".join(member.sidecar.callers[:-1]) or "nobody"
        return Altered(member.name, place.path, place.line, "mesh", f"plain text at {ports}", f"mutual TLS alone, from {callers}", "unproven", f"{operation.reason}; the gate tries it")  # fmt: skip
    called = ", ".join(dict.fromkeys(each.service for each in member.sidecar.calls))
    return Altered(member.name, place.path, place.line, "mesh", f"plain text to {called}", f"mutual TLS to {called}", "unproven", operation.reason)  # fmt: skip


def _kept(stack: Stack, *kept: Kept) -> Change:
    return Change(step=NAME, risk="high", stack=stack, kept=kept)
