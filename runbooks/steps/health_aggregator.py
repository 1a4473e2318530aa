"""Adds one small service that asks all others at once, and answers for the health of the whole (the proposal's section 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks import shipped
from runbooks.compose import splice, units
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddService
from runbooks.model import Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.steps import asked, bounds, images
from runbooks.steps.asked import Asked
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.health_checks import quick_starts

NAME = "health_aggregator"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "aggregator_name": (str, "health-aggregator", "what the service is called"),
    "aggregator_image": (str, "", "an image of yours that holds it; else it is built on the host"),
    "aggregator_checks": (dict, {}, "service -> its URL (http, tcp, postgresql, redis), or skip"),
    "aggregator_optional": (list, [], "services that the rest can do without, besides telemetry"),
    "aggregator_needed": (list, [], "services that the rest cannot do without, telemetry or not"),
    "aggregator_publish": (str, "", "where the host publishes it, 127.0.0.1:8081; else only the stack reaches it"),
    "aggregator_limit": (str, "3s", "how long a service has for its answer"),
}
PORT = 8080
USER = "65532:65532"
"""Nobody of the image or the host: the number that distroless images use for `nonroot`."""
LIVE = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/live', timeout=4)"
"""That it runs. Not `/health`, as the proposal has it: a stack that is down would get its messenger restarted."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "aggregator_name" and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        return f"{value!r} is no name of a service", "write small letters, digits, - and _"
    if name == "aggregator_publish" and value and not re.fullmatch(r"(?:\d{1,3}(?:\.\d{1,3}){3}:)?\d{1,5}", value):
        return f"{value!r} is no address on the host", "write 127.0.0.1:8081"
    if name == "aggregator_limit" and not 0 < (units.seconds(value) or 0) <= 60:
        return f"{value!r} is no time limit", "write 3s, at most 60s"
    for service, url in value.items() if name == "aggregator_checks" else ():
        if url != "skip" and not (isinstance(url, str) and re.match(r"(?:https?|tcp|postgres(?:ql)?|rediss?)://[^/\s]", url)):  # fmt: skip
            return f"{service}: {url!r} is no URL that can be asked", "write http://, tcp://, postgresql:// or redis://, or skip"  # fmt: skip
        if isinstance(url, str) and re.search(r"://[^@/$]*:[^@$]+@", url):
            return (
                f"{service}: its URL holds a password",
                "put it in the project's .env, and write ${NAME} in its place",
            )
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Whether each service answers the same question now, asked by its network name in a container that can."""
    if standing(stack):
        return ()
    found, _ = wanted(stack, facts, settings)
    return tuple(each.question for each in found if each.question)


def standing(stack: Stack) -> str | None:
    """The aggregator that a stack has already."""
    return next((service.name for service in stack.services.values() if images.added(service) == NAME), None)


def wanted(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[list[Asked], list[Kept]]:
    """What it is to ask. Raises InputError for a service that is not there."""
    for key in ("aggregator_checks", "aggregator_optional", "aggregator_needed"):
        for name in settings[key]:
            if str(name) not in stack.services:
                raise InputError(f"there is no service {name}", key=key, mend=bounds.near(str(name), tuple(stack.services)))  # fmt: skip
    return asked.find(
        stack, facts, settings["aggregator_checks"], settings["aggregator_optional"], settings["aggregator_needed"]
    )


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds the service. What does not answer now is left out, and said: it would be down from the first minute on."""
    there = standing(stack)
    if there:
        return Change(step=NAME, risk="low", stack=stack, kept=(Kept(there, "aggregator", "is there already"),))
    name = settings["aggregator_name"]
    found, kept = wanted(stack, facts, settings)
    answering = []
    for each in found:
        outcome, said = each.proof(facts)
        if outcome == "failed":
            kept.append(Kept(each.service.name, "aggregator", f"does not answer {each.shown} now, and is left out: {said}", True))  # fmt: skip
        else:
            answering.append(each)
    if not answering:
        return Change(step=NAME, risk="low", stack=stack, kept=(*kept, Kept("", "aggregator", "there is nothing to ask")))  # fmt: skip
    if name in stack.services:
        place = stack.services[name].place
        refusal = Refusal(name, place.path, place.line, "aggregator", "a service of that name is there, and is another", "choose another aggregator_name")  # fmt: skip
        return Change(step=NAME, risk="low", stack=stack, kept=tuple(kept), refused=(refusal,))
    context = shipped.aggregator()
    image = settings["aggregator_image"] or shipped.image("health-aggregator", context)
    operation = AddService(name, definition(stack, answering, image, settings, facts), "the health of all in one place")
    applied = splice.apply(stack, [operation])
    told, failed = refusals(applied, "aggregator")
    if failed:
        return Change(step=NAME, risk="low", stack=stack, kept=tuple(kept), refused=told)
    place = applied.stack.services[name].place
    needed = {each.service.name for each in answering if not each.optional}
    altered = (
        Altered(name, place.path, place.line, "service", "none", image, "not needed", operation.reason),
        *(
            Altered(name, place.path, place.line, "aggregator", "none", f"{each.service.name}: {each.shown}",
                    "proven" if each.proof(facts)[0] == "proven" else "unproven",
                    "needed" if each.service.name in needed else "optional: without it the stack is degraded")
            for each in answering
        ),
    )  # fmt: skip
    notes = () if settings["aggregator_publish"] else (
        f"only the stack's own networks reach http://{name}:{PORT}/: set aggregator_publish to see its page from the host",
    )  # fmt: skip
    return Change(
        step=NAME, risk="low", stack=applied.stack, edits=applied.edits, operations=(operation,), altered=altered,
        kept=tuple(kept), notes=notes, probes=(*health_probes(applied.stack, (name,)), Probe("aggregator", f"aggregator:{name}", name)),
        images=(NeededImage(name, image, {} if settings["aggregator_image"] else context),),
    )  # fmt: skip


def definition(stack: Stack, found: list[Asked], image: str, settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # fmt: skip
    """The service, as a Compose file has it."""
    environment: dict[str, str] = {}
    for each in found:
        environment[f"CHECK_{each.service.name}"] = each.url
        environment |= each.more
    optional = " ".join(each.service.name for each in found if each.optional)
    environment |= {"OPTIONAL": optional} if optional else {}
    environment["LIMIT_S"] = f"{units.seconds(settings['aggregator_limit']):g}"
    check: dict[str, Any] = {"test": ["CMD", "python3", "-c", LIVE], "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}  # fmt: skip
    check |= {"start_interval": "1s"} if quick_starts(facts) else {}
    networks = images.networks(each.service for each in found)
    return {
        "image": image,
        "restart": "unless-stopped",
        "user": USER,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        **({"ports": [f"{settings['aggregator_publish']}:{PORT}"]} if settings["aggregator_publish"] else {}),
        **({"networks": networks} if networks != ["default"] else {}),
        "environment": environment,
        "healthcheck": check,
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "128M"}}},
        "labels": {images.ADDED: NAME},
    }
