"""Puts HAProxy as a circuit breaker between services and what they depend on (the proposal's section 4)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks.compose import splice, units
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddDependency, AddService, Operation, ReplaceText, SetSetting
from runbooks.model import Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.steps import (
    bounds,
    breaker_numbers,
    dependencies,
    haproxy,
    haproxy_file,
    health_aggregator,
    images,
    pgbouncer,
)
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.dependencies import Dependency
from runbooks.steps.haproxy import Breaker
from runbooks.steps.health_checks import quick_starts
from runbooks.steps.pooling import Pointer

NAME = "circuit_breakers"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "breakers": (dict, {}, "dependency -> skip, or its fallback (host:port), status, body and limit"),
    "breaker_name": (str, "circuit-breaker", "what the service is called"),
    "breaker_image": (str, "haproxy:3.2-alpine", "HAProxy's image"),
    "breaker_config": (str, "infrastructure/circuit-breaker/haproxy.cfg", "the file that is created, in the project"),
    "breaker_failures": (int, 5, "failures in a row that open a breaker"),
    "breaker_open": (str, "30s", "how long it stays open at least"),
    "breaker_closes": (int, 3, "good checks in a row that close it"),
}
OWN = ("fallback", "status", "body", "limit")
READY = f"wget -q -O /dev/null http://127.0.0.1:{haproxy.STATS}/ready || curl -fsS -o /dev/null http://127.0.0.1:{haproxy.STATS}/ready || exit 1"  # fmt: skip
TRY = ("sh", "-c", "cat >/tmp/haproxy.cfg && exec haproxy -c -q -f /tmp/haproxy.cfg")
"""HAProxy's own verdict on the file, in its own image, before anything is written."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "breaker_name" and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        return f"{value!r} is no name of a service", "write small letters, digits, - and _"
    if name in ("breaker_failures", "breaker_closes") and not 1 <= value <= 100:
        return f"{value} is no count", "write 1 to 100"
    if name == "breaker_open" and not 1 <= (units.seconds(value) or 0) <= 3600:
        return f"{value!r} is no time", "write 30s, at most 1h"
    if name == "breaker_config" and (value.startswith("/") or ".." in value.split("/") or not re.fullmatch(r"[\w./-]+", value)):  # fmt: skip
        return f"{value!r} is no file in the project", "write a relative path"
    for service, given in value.items() if name == "breakers" else ():
        if given == "skip":
            continue
        if not isinstance(given, Mapping):
            return f"{service}: {given!r} says nothing", "write skip, or fallback: HOST:PORT below it"
        for key, own in given.items():
            if key not in OWN:
                return f"{service}: {key} is no key of a breaker", bounds.near(str(key), OWN)
            if key == "fallback" and not (isinstance(own, str) and re.fullmatch(r"[\w.-]+:\d{1,5}", own)):
                return f"{service}: {own!r} is no fallback", "write HOST:PORT"
            if key == "status" and not (isinstance(own, int) and 200 <= own <= 599):
                return f"{service}: {own!r} is no status", "write a number from 200 to 599"
            if key == "limit" and not (isinstance(own, str) and units.seconds(own)):
                return f"{service}: {own!r} is no time", "write 60s"
            if key == "body" and not (isinstance(own, str) and own.isprintable()):
                return f"{service}: its body is no line of text", "write one line"
        if "fallback" in given and ("status" in given or "body" in given):
            return f"{service}: has a fallback and an answer of its own", "keep one of the two"
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """The file of breakers that are there. What there is to ask of dependencies, the aggregator was asked."""
    there = standing(stack)
    return breaker_numbers.asks(stack, there) if there else ()


def standing(stack: Stack) -> str | None:
    """The service that this step added earlier."""
    return next((each.name for each in stack.services.values() if images.added(each) == NAME), None)


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds the breaker with its configuration, and points consumers at it; one that is there gets other numbers."""
    there, aggregator = standing(stack), health_aggregator.standing(stack)
    if there and (aggregator is None or not facts.live):
        return kept_only(stack, Kept(there, "breaker", "is there already"))
    if aggregator is None:
        return kept_only(stack, Kept("", "breaker", "its checks are the health aggregator's, which is not there: health_aggregator comes first", True))  # fmt: skip
    for name in settings["breakers"]:
        if name not in stack.services:
            raise InputError(f"there is no service {name}", key="breakers", mend=bounds.near(name, tuple(stack.services)))  # fmt: skip
    if there:
        return renumbered(stack, there, aggregator, facts, settings)
    front, kept = settings["breaker_name"], list[Kept]()
    if front in stack.services:
        place = stack.services[front].place
        refusal = Refusal(front, place.path, place.line, "breaker", "a service of that name is there, and is another", "choose another breaker_name")  # fmt: skip
        return Change(step=NAME, risk="medium", stack=stack, refused=(refusal,))
    moves, breakers, refused = planned(stack, aggregator, facts, settings, kept)
    if not moves:
        kept.append(Kept("", "breaker", "no service names a dependency that could stand behind one"))
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=tuple(refused))
    data, path = breaker_numbers.file(stack, breakers, aggregator, settings), posixpath.join(stack.spec.directory, settings["breaker_config"])  # fmt: skip
    names = dict.fromkeys(move.service for move in moves)
    others: list[Operation] = [
        AddService(front, definition(stack, breakers, data, [*names, aggregator], settings, facts), "the breaker between services and what they need"),
        *(AddDependency(name, front, "service_healthy", "its connections go through the breaker") for name in names),
    ]  # fmt: skip
    applied, done, failures = pgbouncer.carried_out(
        stack, list(dict.fromkeys(moves)), others, "breaker", "the breaker, not the dependency itself"
    )
    refused += failures
    if not any(isinstance(each, ReplaceText) for each in done):
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=tuple(refused))
    touched = [*dict.fromkeys(operation.service for operation in done)]
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=tuple(done), created={path: data},
        altered=tuple(told(stack, applied.stack, operation, breakers, settings) for operation in done), kept=tuple(kept), refused=tuple(refused),
        notes=notes(breakers, settings),
        probes=(*health_probes(applied.stack, touched), _closed(front)),
        images=(NeededImage(front, settings["breaker_image"], argv=TRY, data=data),),
    )  # fmt: skip


def planned(
    stack: Stack, aggregator: str, facts: Facts, settings: Mapping[str, Any], kept: list[Kept]
) -> tuple[list[Pointer], list[Breaker], list[Refusal]]:
    """The consumers' places that move, the breakers that they move to, and what cannot move."""
    known = {name.removeprefix("CHECK_"): variable.value or "" for name, variable in stack.services[aggregator].environment.items() if name.startswith("CHECK_")}  # fmt: skip
    optional = stack.services[aggregator].environment.get("OPTIONAL")
    without = frozenset((optional.value or "").split()) if optional else frozenset[str]()
    found, _ = health_aggregator.wanted(stack, facts, {name: default for name, (_, default, _) in health_aggregator.SETTINGS.items()})  # fmt: skip
    moves: list[Pointer] = []
    breakers: list[Breaker] = []
    refused: list[Refusal] = []
    taken = {haproxy.STATS, haproxy.ASKS}
    for each in found:
        name, own = each.service.name, settings["breakers"].get(each.service.name)
        if own == "skip":
            kept.append(Kept(name, "breaker", "breakers says skip"))
            continue
        if images.stands_for(each.service):
            kept.append(Kept(name, "breaker", "follows the master, and closes connections at once while there is none"))
            continue
        dependency = dependencies.of(stack, each)
        if dependency.pooler is not None and known.get(name, "").startswith("tcp://"):
            # Its login was found since the aggregator was made, or its check was named: a port that accepts is no proof of a database.
            kept.append(Kept(name, "breaker", f"{aggregator} asks its port alone, not with a query: name a URL in aggregator_checks before it is added"))  # fmt: skip
            continue
        if own is None and name in without and any(_pointers(stack, dependency, settings, dependency.port, facts)):
            kept.append(Kept(name, "breaker", "is optional: name it in breakers to put it behind one"))
            continue
        if own is None and name in without:
            continue
        listen = next(port for port in range(dependency.port, 65536) if port not in taken)
        pointers = list(_pointers(stack, dependency, settings, listen, facts))
        if pointers and name not in known:
            kept.append(Kept(name, "breaker", f"{aggregator} does not ask it, so nobody could tell when to close it", True))  # fmt: skip
            continue
        good = [pointer for pointer in pointers if not _why_not(stack, pointer, settings)]
        for pointer in pointers:
            reason = _why_not(stack, pointer, settings)
            if reason:
                place = stack.services[pointer.service].environment[pointer.variable].place
                refused.append(Refusal(pointer.service, place.path, place.line, "breaker", reason, f"mend that, or write {name}: skip in breakers"))  # fmt: skip
        bad = {pointer.service for pointer in pointers} - {pointer.service for pointer in good}
        good = [pointer for pointer in good if pointer.service not in bad]
        if good:
            taken.add(listen)
            moves += good
            breakers.append(_breaker(dependency, listen, own or {}))
    return moves, breakers, refused


def _pointers(stack: Stack, dependency: Dependency, settings: Mapping[str, Any], listen: int, facts: Facts) -> list[Pointer]:  # fmt: skip
    return list(dependencies.pointers(stack, dependency, settings["breaker_name"], listen, facts))


def _breaker(dependency: Dependency, listen: int, own: Mapping[str, Any]) -> Breaker:
    return breaker_numbers.wished(Breaker(dependency.name, dependency.port, listen, dependency.http), own)


def _why_not(stack: Stack, pointer: Pointer, settings: Mapping[str, Any]) -> str:
    if stack.services[pointer.service].value.get("network_mode"):
        return "is on no network of the project, so it would not reach the breaker"
    return pointer.problem


def renumbered(stack: Stack, there: str, aggregator: str, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """The breakers that are there, with the numbers and answers that the inventory has now. Who is behind one stays so."""
    path, was, reason = breaker_numbers.found(stack, there, facts)
    if was is None:
        return kept_only(stack, Kept(there, "breaker", reason, True))
    behind = {each.service for each in was.breakers}
    kept = [
        Kept(name, "breaker", "roll back and plan anew to " + ("put it behind one" if name not in behind else "take it from behind one"), True)
        for name, own in settings["breakers"].items() if (own == "skip") == (name in behind)
    ]  # fmt: skip
    breakers = [breaker_numbers.wished(each, settings["breakers"].get(each.service)) for each in was.breakers]
    data = breaker_numbers.file(stack, breakers, aggregator, settings)
    if data == was.text().encode():
        return Change(step=NAME, risk="medium", stack=stack, kept=(*kept, Kept(there, "breaker", "is there already")))
    far = next((each for each in breakers if not reached(stack, there, each.fallback)), None)
    if far:
        place = stack.services[there].place
        refusal = Refusal(there, place.path, place.line, "breaker", f"{far.fallback} shares no network with {there}", "name another fallback, or roll back and plan anew")  # fmt: skip
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=(refusal,))
    anew = SetSetting(there, ("labels", images.CONTENT), breaker_numbers.digest(data), "it is made anew with the new file")  # fmt: skip
    applied = splice.apply(stack, [anew])
    refused, _ = refusals(applied, "breaker")
    if refused:
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=refused)
    service = applied.stack.services[there]
    now = haproxy_file.read(data.decode())
    assert now is not None  # noqa: S101 - it was written so
    touched = [there, *(each.name for each in applied.stack.services.values() if there in each.edges)]
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=(anew,), created={path: data}, kept=tuple(kept),
        altered=tuple(Altered(there, service.place.path, service.place.line, "breaker", old, new, "not needed", anew.reason)
                      for old, new in breaker_numbers.differences(was, now)),
        notes=notes(breakers, settings),
        probes=(*health_probes(applied.stack, touched), _closed(there)),
        images=(NeededImage(there, service.image or "", argv=TRY, data=data),),
    )  # fmt: skip


def reached(stack: Stack, there: str, fallback: str) -> bool:
    """Whether a fallback is on a network of the breaker; one outside the stack is nobody's to say."""
    other = stack.services.get(fallback.partition(":")[0])
    return other is None or bool({*images.networks([other])} & {*images.networks([stack.services[there]])})


def _closed(front: str) -> Probe:
    return Probe("breaker", f"breaker:{front}", front, {"closed": True})


def definition(stack: Stack, breakers: Sequence[Breaker], data: bytes, beside: Sequence[str], settings: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # fmt: skip
    """The service, as a Compose file has it. It waits for nobody: a breaker must start while what it guards is down."""
    near = [*(each.service for each in breakers), *(each.fallback.partition(":")[0] for each in breakers), *beside]
    networks = images.networks(stack.services[name] for name in near if name in stack.services)
    check: dict[str, Any] = {"test": ["CMD-SHELL", READY], "interval": "10s", "timeout": "5s", "retries": 3, "start_period": "30s"}  # fmt: skip
    check |= {"start_interval": "1s"} if quick_starts(facts) else {}
    return {
        "image": settings["breaker_image"],
        "restart": "unless-stopped",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        **({"networks": networks} if networks != ["default"] else {}),
        "volumes": [f"./{settings['breaker_config']}:{haproxy.FILE}:ro"],
        "healthcheck": check,
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "128M"}}},
        "labels": {images.ADDED: NAME, images.CONTENT: breaker_numbers.digest(data)},
    }


def notes(breakers: Sequence[Breaker], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operator should know of the breakers as planned."""
    found = [
        f"a breaker opens after {settings['breaker_failures']} failures in a row and closes no sooner than {settings['breaker_open']} "
        f"later, after {settings['breaker_closes']} good checks; its statistics: http://{settings['breaker_name']}:{haproxy.STATS}/stats"
    ]
    bare = [each.service for each in breakers if not each.http and not each.fallback]
    if bare:
        found.append(f"while {', '.join(bare)} is away its clients are told so at once; a fallback (host:port) in breakers would serve them")  # fmt: skip
    return tuple(found)


def told(before: Stack, after: Stack, operation: Operation, breakers: Sequence[Breaker], settings: Mapping[str, Any]) -> Altered:  # fmt: skip
    """An operation as people and JSON see it."""
    if isinstance(operation, AddService):
        place = after.services[operation.service].place
        what = ", ".join(f"{each.service} at :{each.listen}" + (f", else {each.fallback}" if each.fallback else "") for each in breakers)  # fmt: skip
        return Altered(operation.service, place.path, place.line, "service", "none", f"{settings['breaker_image']}: {what}", "not needed", operation.reason)  # fmt: skip
    if isinstance(operation, AddDependency):
        edge = after.services[operation.service].edges[operation.dependency]
        return Altered(operation.service, edge.place.path, edge.place.line, "condition", "none",
                       f"{operation.dependency}: {operation.condition}", "not needed", operation.reason)  # fmt: skip
    assert isinstance(operation, ReplaceText)  # noqa: S101 - the kinds that this step makes
    old, new = (stack.services[operation.service].environment[operation.variable] for stack in (before, after))
    return Altered(operation.service, new.place.path, new.place.line, "breaker", f"{operation.variable}={old.value}",
                   f"{operation.variable}={new.value}", "unproven", "the breaker, not the dependency itself; the gate asks")  # fmt: skip


def kept_only(stack: Stack, kept: Kept) -> Change:
    return Change(step=NAME, risk="medium", stack=stack, kept=(kept,))
