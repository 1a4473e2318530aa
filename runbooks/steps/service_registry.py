"""Adds etcd as the registry of services, and a registrar that keeps it true by their health (the proposal's section 2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks import shipped
from runbooks.compose import splice, units
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddResource, AddService, Operation
from runbooks.model import Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.steps import bounds, dependencies, health_aggregator, images, registry_cluster
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.health_checks import quick_starts
from runbooks.steps.registry_cluster import Member

NAME = "service_registry"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "registry_services": (dict, {}, "service -> HOST:PORT where others find it, or skip; else its name and port in the stack"),
    "registry_name": (str, "service-registry", "what the registry is called"),
    "registry_registrar": (str, "service-registrar", "what the registrar is called"),
    "registry_image": (str, "quay.io/coreos/etcd:v3.5.17", "etcd's image"),
    "registry_registrar_image": (str, "", "an image of yours that holds the registrar; else it is built on the host"),
    "registry_instance": (str, "", "what tells this stack's entries from another's; else the member's or the project's name"),
    "registry_lease": (str, "15s", "how long an entry lives that is not renewed"),
    **registry_cluster.SETTINGS,
}  # fmt: skip
PORT = 2379
DATA = "/registry-data"
REGISTRAR = "compose-runbook.registrar"
"""The label of the registrar, by which `discovery.*` find it."""
CLUSTER = "service-registry"
USER = "65532:65532"
"""Nobody of the image or the host: the number that distroless images use for `nonroot`."""
LIVE = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/live', timeout=4)"
_PLACE = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}")


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name in ("registry_name", "registry_registrar") and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        return f"{value!r} is no name of a service", "write small letters, digits, - and _"
    if name == "registry_instance" and value and not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", value):
        return f"{value!r} is no name of an instance", "write letters, digits, - . and _"
    if name == "registry_lease" and not 3 <= (units.seconds(value) or 0) <= 3600:
        return f"{value!r} is no lease", "write 15s, from 3s to 1h"
    for service, given in value.items() if name == "registry_services" else ():
        if given != "skip" and not (isinstance(given, str) and _PLACE.fullmatch(given) and 1 <= int(given.rpartition(":")[2]) <= 65535):  # fmt: skip
            return f"{service}: {given!r} is no place", "write HOST:PORT, or skip"
    return registry_cluster.problem(name, value)


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: what there is to ask, the aggregator was asked."""
    return ()


def standing(stack: Stack) -> str | None:
    """The registrar that a stack has already."""
    return next((each.name for each in stack.services.values() if images.added(each) == NAME and "REGISTRY_URL" in each.environment), None)  # fmt: skip


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds registry and registrar. Raises InputError for a service that is not there."""
    there = standing(stack)
    if there:
        return _kept(stack, Kept(there, "registry", "is there already"))
    aggregator = health_aggregator.standing(stack)
    if aggregator is None:
        return _kept(stack, Kept("", "registry", "who is well is the health aggregator's to say, which is not there: health_aggregator comes first", True))  # fmt: skip
    for name in settings["registry_services"]:
        if name not in stack.services:
            raise InputError(f"there is no service {name}", key="registry_services", mend=bounds.near(str(name), tuple(stack.services)))  # fmt: skip
    member = registry_cluster.member(settings)
    kept: list[Kept] = []
    places = places_of(stack, aggregator, facts, settings, kept)
    if not places:
        return _kept(stack, *kept, Kept("", "registry", "there is nothing to register"))
    registry, registrar = settings["registry_name"], settings["registry_registrar"]
    for key in ("registry_name", "registry_registrar"):
        if settings[key] in stack.services:
            place = stack.services[settings[key]].place
            refusal = Refusal(settings[key], place.path, place.line, "registry", "a service of that name is there, and is another", f"choose another {key}")  # fmt: skip
            return Change(step=NAME, risk="high", stack=stack, kept=tuple(kept), refused=(refusal,))
    context = shipped.program("registrar")
    image = settings["registry_registrar_image"] or shipped.image("service-registrar", context)
    operations: list[Operation] = [
        AddResource("volumes", volume(settings), {}, "what the registry knows outlives its container"),
        AddService(registry, etcd(stack, aggregator, member, settings, facts), "one place that knows where services are"),
        AddService(registrar, definition(stack, aggregator, image, places, settings, facts), "registers who is well, on a lease"),
    ]  # fmt: skip
    applied = splice.apply(stack, operations)
    told, failed = refusals(applied, "registry")
    if failed:
        return Change(step=NAME, risk="high", stack=stack, kept=tuple(kept), refused=told)
    return Change(
        step=NAME, risk="high", stack=applied.stack, edits=applied.edits, operations=tuple(operations),
        altered=altered(applied.stack, places, image, settings), kept=tuple(kept),
        notes=(f"nothing asks the registry yet: ./inv discovery.list shows it, and http://{registry}:{PORT} (etcd's v3 API) is in the stack's own networks only", *(registry_cluster.notes(member) if member else ())),
        probes=(*health_probes(applied.stack, (registry, registrar)), Probe("registry", f"registry:{registrar}", registrar, {}, 10.0)),
        images=(
            NeededImage(registry, settings["registry_image"], argv=("etcd", "--version")),
            NeededImage(registrar, image, {} if settings["registry_registrar_image"] else context),
        ),
        abreast=f"the registry of {', '.join(member.others)}" if member else "",
    )  # fmt: skip


def places_of(
    stack: Stack, aggregator: str, facts: Facts, settings: Mapping[str, Any], kept: list[Kept]
) -> dict[str, str]:
    """service -> HOST:PORT, of those whose health the aggregator knows."""
    known = {name.removeprefix("CHECK_") for name in stack.services[aggregator].environment if name.startswith("CHECK_")}  # fmt: skip
    own = settings["registry_services"]
    usual = {name: default for name, (_, default, _) in health_aggregator.SETTINGS.items()}
    asked = {each.service.name: each for each in health_aggregator.wanted(stack, facts, usual)[0]}
    found: dict[str, str] = {}
    for name in stack.services:
        given = own.get(name)
        if given == "skip":
            kept.append(Kept(name, "registry", "registry_services says skip"))
        elif name not in known:
            if given:
                kept.append(Kept(name, "registry", f"{aggregator} does not ask it, so nobody knows whether it is well", True))  # fmt: skip
        elif given:
            found[name] = given
        elif name in asked:
            found[name] = f"{name}:{dependencies.of(stack, asked[name]).port}"
        else:
            kept.append(Kept(name, "registry", "no port of it is known: name its place in registry_services", True))
    return found


def volume(settings: Mapping[str, Any]) -> str:
    return f"{settings['registry_name']}-data"


def etcd(stack: Stack, aggregator: str, member: Member | None, settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # fmt: skip
    """The registry: an etcd for the stack's own networks, alone or as a member of a cluster."""
    check = ["CMD", "etcdctl", f"--endpoints=http://127.0.0.1:{PORT}", "endpoint", "health"]
    return {
        "image": settings["registry_image"],
        **_bounded(stack, aggregator),
        "command": etcd_words(f"http://{settings['registry_name']}:{PORT}", member=member),
        **(member.parts() if member else {}),
        "environment": {"ETCDCTL_API": "3"},
        "volumes": [f"{volume(settings)}:{DATA}", *(member.volumes() if member else ())],
        "healthcheck": _check(check, facts),
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "512M"}}},
        "labels": {images.ADDED: NAME},
    }


def etcd_words(
    own: str, listen: str = f"http://0.0.0.0:{PORT}", peers: str = "", data: str = DATA, member: Member | None = None
) -> list[str]:
    """How etcd is started: `own` is where clients find it, `peers` where it listens for other members.

    A registry is small, and remembers an hour of changes.
    """
    peers = peers or (member.listen if member else "http://127.0.0.1:2380")
    alone = ["--name=registry", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=registry={peers}"]
    return [
        "etcd", *(member.words(CLUSTER) if member else alone), f"--data-dir={data}",
        f"--listen-client-urls={listen}", f"--advertise-client-urls={own}", f"--listen-peer-urls={peers}",
        "--auto-compaction-mode=periodic", "--auto-compaction-retention=1h", "--quota-backend-bytes=268435456",
    ]  # fmt: skip


def definition(
    stack: Stack, aggregator: str, image: str, places: Mapping[str, str], settings: Mapping[str, Any], facts: Facts
) -> dict[str, Any]:
    """The registrar. It waits for nobody: who is not there yet is asked again in the next round."""
    return {
        "image": image,
        "user": USER,
        **_bounded(stack, aggregator),
        "environment": {
            "REGISTRY_URL": f"http://{settings['registry_name']}:{PORT}",
            "HEALTH_URL": f"http://{aggregator}:{health_aggregator.PORT}/health",
            "INSTANCE": settings["registry_instance"] or settings["registry_member"] or stack.spec.name,
            "LEASE_S": f"{units.seconds(settings['registry_lease']) or 15:.0f}",
            **{f"PLACE_{name}": place for name, place in places.items()},
        },
        "healthcheck": _check(["CMD", "python3", "-c", LIVE], facts),
        "deploy": {"resources": {"limits": {"cpus": "0.25", "memory": "96M"}}},
        "labels": {images.ADDED: NAME, REGISTRAR: "true"},
    }


def altered(after: Stack, places: Mapping[str, str], image: str, settings: Mapping[str, Any]) -> tuple[Altered, ...]:
    """The two services, and each entry, as people and JSON see them."""
    registry, registrar = (after.services[settings[key]] for key in ("registry_name", "registry_registrar"))
    made = [
        Altered(registry.name, registry.place.path, registry.place.line, "service", "none", settings["registry_image"], "not needed", "one place that knows where services are"),
        Altered(registrar.name, registrar.place.path, registrar.place.line, "service", "none", image, "not needed", "registers who is well, on a lease"),
    ]  # fmt: skip
    for name, place in places.items():
        made.append(Altered(registrar.name, registrar.place.path, registrar.place.line, "registry", "none", f"{name}: {place}", "unproven", "while it is well"))  # fmt: skip
    return tuple(made)


def _bounded(stack: Stack, aggregator: str) -> dict[str, Any]:
    networks = images.networks([stack.services[aggregator]])
    return {
        "restart": "unless-stopped", "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        **({"networks": networks} if networks != ["default"] else {}),
    }  # fmt: skip


def _check(test: list[str], facts: Facts) -> dict[str, Any]:
    check: dict[str, Any] = {"test": test, "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}
    return check | ({"start_interval": "1s"} if quick_starts(facts) else {})


def _kept(stack: Stack, *kept: Kept) -> Change:
    return Change(step=NAME, risk="high", stack=stack, kept=kept)
