"""Adds a Redis that is only a cache, points those who cache at it, and a keeper that warms and watches it (the proposal's section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks import shipped
from runbooks.compose import units
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddDependency, AddService, Operation, ReferText, ReplaceText
from runbooks.model import Altered, Change, Facts, Kept, NeededImage, Question, Refusal
from runbooks.steps import (
    asked,
    bounds,
    cache_clients,
    cache_services,
    discovery_variables,
    images,
    moved_secrets,
    pgbouncer,
    pooling,
)
from runbooks.steps.cache_clients import Client
from runbooks.steps.common import health_probes
from runbooks.steps.moved_secrets import Moved

NAME = "shared_cache"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "cache_consumers": (dict, {}, "service -> its variables that name a Redis which is only a cache, or skip"),
    "cache_warm": (list, [], "what is in the cache before traffic: {key, url} or {query, from}, with ttl and db"),
    "cache_name": (str, "redis-cache", "what the cache is called"),
    "cache_keeper": (str, "cache-keeper", "what its keeper is called"),
    "cache_image": (str, "redis:8-alpine", "the cache's image"),
    "cache_keeper_image": (str, "", "an image of yours that holds the keeper; else it is built on the host"),
    "cache_memory": (str, "1gb", "how much the cache holds before it evicts"),
    "cache_events": (str, "KA", "notify-keyspace-events: which changes are told, for invalidation"),
    "cache_warm_limit": (str, "60s", "how long traffic waits for warming at most"),
    "cache_password": (str, "", "the password as ${NAME} of the project's .env, where consumers do not show it by reference"),
    "env_file_mode": (str, "0600", "permissions of the .env that takes passwords, or keep"),
}  # fmt: skip
WARM_KEYS = ("key", "url", "query", "from", "ttl", "db")


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name in ("cache_name", "cache_keeper") and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", value):
        return f"{value!r} is no name of a service", "write small letters, digits, - and _"
    if name == "cache_memory" and not re.fullmatch(r"[1-9]\d{0,5}(?:mb|gb)", value):
        return f"{value!r} is no size as Redis has it", "write 512mb or 1gb"
    if name == "cache_events" and not (re.fullmatch(r"[KEg$lshzxetdmnA]+", value) and "K" in value and set(value) & set("Ag$")):  # fmt: skip
        return (
            f"{value!r} would not tell a service that a key of it has changed",
            "write KA, or K and the classes g$ at least",
        )
    if name == "cache_warm_limit" and not 1 <= (units.seconds(value) or 0) <= 600:
        return f"{value!r} is no time limit", "write 60s, at most 10m"
    if name == "cache_password" and value and not re.fullmatch(r"\$\{[A-Za-z_]\w*\}", value):
        return "it is no reference", "put the password in the project's .env, and write ${NAME} here"
    if name == "env_file_mode":
        return discovery_variables.problem(name, value)
    for service, given in value.items() if name == "cache_consumers" else ():
        if given != "skip" and not (isinstance(given, list) and given and all(isinstance(each, str) for each in given)):
            return f"{service}: {given!r} names no variables", "write [CACHE_URL], or skip"
    for number, given in enumerate(value, 1) if name == "cache_warm" else ():
        found = _warm_problem(given)
        if found:
            return f"entry {number}: {found[0]}", found[1]
    return None


def _warm_problem(given: Any) -> tuple[str, str] | None:
    if not isinstance(given, dict):
        return (
            f"{given!r} says nothing",
            "write {key: KEY, url: http://SERVICE/PATH} or {query: select ..., from: SERVICE}",
        )
    for key in given:
        if key not in WARM_KEYS:
            return f"{key} is no key of it", bounds.near(str(key), WARM_KEYS)
    if ("url" in given) == ("query" in given):
        return "needs a url or a query, and not both", "keep one of the two"
    if "url" in given and not re.fullmatch(r"http://[a-z0-9][a-z0-9_.-]*(?::\d{1,5})?/[^\s@]*", str(given["url"])):
        return f"{given['url']!r} is no address of a service", "write http://SERVICE:PORT/PATH, without a login"
    if ("key" in given) != ("url" in given) or ("from" in given) != ("query" in given):
        return "a url goes with its key, a query with the service it is from", "write {key, url} or {query, from}"
    if "ttl" in given and not 1 <= (units.seconds(str(given["ttl"])) or 0) <= 86400:
        return f"{given['ttl']!r} is no time to live", "write 5m, at most 24h"
    if not isinstance(given.get("db", 0), int) or not 0 <= given.get("db", 0) <= 15:
        return f"db {given['db']!r} is none of Redis' databases", "write 0 to 15"
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: the cache's own program judges its settings when its image is there."""
    return ()


def standing(stack: Stack) -> str | None:
    """The keeper of a shared cache that a stack has already."""
    return next((each.name for each in stack.services.values() if images.added(each) == NAME and "CACHE_URL" in each.environment), None)  # fmt: skip


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds cache and keeper, and points consumers at the cache. Raises InputError for what the inventory names and is not there."""
    there = standing(stack)
    if there:
        return Change(step=NAME, risk="medium", stack=stack, kept=(Kept(there, "cache", "is there already"),))
    _named(stack, settings)
    cache, keeper, kept = settings["cache_name"], settings["cache_keeper"], list[Kept]()
    clients = list(cache_clients.find(stack, facts, cache, settings["cache_consumers"], kept))
    if not clients:
        kept.append(Kept("", "cache", "no variable says that it names a cache: name them in cache_consumers"))
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept))
    moved = _secrets(stack, clients, facts, settings)
    if moved.operations:
        clients = list(cache_clients.find(moved.stack, facts, cache, settings["cache_consumers"], []))
    refused = [*moved.refused, *_in_the_way(moved.stack, clients, facts, settings)]
    clients = [
        each for each in clients if not each.problem and not stack.services[each.service].value.get("network_mode")
    ]
    if any(not each.service or each.service in (cache, keeper) for each in refused) or not clients:
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=tuple(refused))
    template = settings["cache_password"] or next((each.template for each in clients if each.password), "") or ""
    pointers = [pointer for each in clients for pointer in each.pointers]
    names = [*dict.fromkeys(each.service for each in clients)]
    context = shipped.program("cache")
    image = settings["cache_keeper_image"] or shipped.image("cache-keeper", context)
    others: list[Operation] = [
        *moved.operations,
        AddService(cache, cache_services.cache(stack, names, template, settings, facts), "one cache for all, which evicts what is used least"),
        AddService(keeper, cache_services.keeper(moved.stack, names, template, image, clients[0].db, settings, facts), "warms the cache before traffic, and watches it"),
        *(AddDependency(name, cache, "service_healthy", "it caches there") for name in names),
        *(AddDependency(name, keeper, "service_healthy", "the cache is warm before traffic") for name in names if settings["cache_warm"]),
    ]  # fmt: skip
    applied, done, failures = pgbouncer.carried_out(
        stack, list(dict.fromkeys(pointers)), others, "cache", "the shared cache"
    )
    refused += failures
    if not any(isinstance(each, ReplaceText) for each in done):
        return Change(step=NAME, risk="medium", stack=stack, kept=tuple(kept), refused=tuple(refused))
    touched = [*dict.fromkeys(operation.service for operation in done)]
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=tuple(done),
        altered=(
            *moved.lines(applied.stack),
            *(moved.altered(applied.stack, each, facts) if isinstance(each, ReferText) else told(stack, applied.stack, each, settings) for each in done),
        ),
        kept=tuple(kept), refused=tuple(refused), notes=(*notes(stack, clients, settings), *moved.notes), modes=moved.modes,
        probes=(*health_probes(applied.stack, touched), *probes(keeper)),
        images=(
            NeededImage(cache, settings["cache_image"], argv=cache_services.tried(settings)),
            NeededImage(keeper, image, {} if settings["cache_keeper_image"] else context),
        ),
    )  # fmt: skip


def _secrets(stack: Stack, clients: Sequence[Client], facts: Facts, settings: Mapping[str, Any]) -> Moved:
    """What puts the passwords into `.env` that cache and keeper need and that the Compose file itself spells out."""
    good = [each for each in clients if not each.problem and not stack.services[each.service].value.get("network_mode")]
    passwords = {each.password for each in good}
    named: list[tuple[str, str]] = []
    for given in settings["cache_warm"]:
        if "from" in given and cache_services.database(stack, facts, given["from"]) is None:
            pooler, _ = pooling.find(stack)
            named += [(given["from"], name) for name in ("DATABASE_URL", *asked.PASSWORDS)]
            if pooler and pooler.service.name == given["from"]:
                named += [(pooler.database.name, name) for name in asked.PASSWORDS]
    if len(passwords) == 1 and passwords != {""} and not settings["cache_password"] and not any(each.template for each in good):  # fmt: skip
        (password,) = passwords
        own = [(each.service, each.secret) for each in good]
        of_servers = [(name, variable.name) for name, variable in cache_clients.servers(stack, password)]
        for wanted in (own, of_servers):
            moved = moved_secrets.move(stack, [*wanted, *named], settings, facts)
            if moved.refused or any((each.service, each.variable) in wanted for each in moved.operations):
                return moved
    return moved_secrets.move(stack, named, settings, facts)


def probes(keeper: str) -> tuple[Probe, ...]:
    """What is asked of a shared cache, in a gate and in a soak."""
    return tuple(
        Probe("cache", f"cache_{of}:{keeper}", keeper, {"of": of}, 10.0) for of in ("invalidation", "warm", "hits")
    )


def _named(stack: Stack, settings: Mapping[str, Any]) -> None:
    """Raises InputError for a service or a variable that is not there."""
    wanted = [(name, "cache_consumers") for name in settings["cache_consumers"]]
    wanted += [(given["from"], "cache_warm") for given in settings["cache_warm"] if "from" in given]
    for name, key in wanted:
        if name not in stack.services:
            raise InputError(f"there is no service {name}", key=key, mend=bounds.near(str(name), tuple(stack.services)))
    for name, given in settings["cache_consumers"].items():
        for variable in given if given != "skip" else ():
            there = stack.services[name].environment
            if variable not in there:
                raise InputError(f"{name} has no variable {variable}", key="cache_consumers", mend=bounds.near(variable, tuple(there)))  # fmt: skip


def _in_the_way(stack: Stack, clients: Sequence[Client], facts: Facts, settings: Mapping[str, Any]) -> list[Refusal]:
    """What forbids the cache as a whole (no service, or one of its own), or one client."""
    found: list[Refusal] = []
    whole = next(iter(stack.services.values())).place

    def refuse(service: str, reason: str, mend: str) -> None:
        place = stack.services[service].place if service in stack.services else whole
        found.append(Refusal(service, place.path, place.line, "cache", reason, mend))

    for key in ("cache_name", "cache_keeper"):
        if settings[key] in stack.services:
            refuse(settings[key], "a service of that name is there, and is another", f"choose another {key}")
    for each in clients:
        if stack.services[each.service].value.get("network_mode"):
            refuse(each.service, "is on no network of the project, so it would not reach the cache", f"mend that, or write {each.service}: skip in cache_consumers")  # fmt: skip
        elif each.problem:
            refuse(each.service, f"{each.pointers[0].variable}: {each.problem}", f"mend that, or write {each.service}: skip in cache_consumers")  # fmt: skip
    good = [each for each in clients if not each.problem]
    passwords = {each.password for each in good}
    if len(passwords) > 1:
        refuse("", "its consumers would log in with different passwords, or some with none", "give them one password, or move them one by one to caches of their own")  # fmt: skip
    elif passwords - {""} and not settings["cache_password"]:
        if not any(each.template for each in good):
            refuse("", "the consumers' password stands in the file itself, or comes whole from elsewhere", "write ${NAME} there, with the password in the project's .env, or set cache_password: ${NAME}")  # fmt: skip
        elif "%" in next(iter(passwords)):
            refuse("", "the consumers' password is encoded in their URLs", "set cache_password: ${NAME} with the password as it is")  # fmt: skip
    room = cache_services.limit(settings["cache_memory"])
    if facts.memory and room > facts.memory / 2:
        refuse("", f"the cache may take {room >> 20} MB of the {facts.memory >> 20} MB that the host has", "set a smaller cache_memory")  # fmt: skip
    for given in settings["cache_warm"]:
        host = re.match(r"http://([^:/]+)", str(given.get("url", "")))
        if host and host[1] in {each.service for each in clients}:
            refuse("", f"{host[1]} waits for the warm cache, so it cannot warm it", "name a query in its place")
        if "from" in given and cache_services.database(stack, facts, given["from"]) is None:
            refuse("", f"the login of {given['from']} is not known by reference", "write its password as ${NAME}, or name a url in place of the query")  # fmt: skip
    return found


def notes(stack: Stack, clients: Sequence[Client], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operator should know of the cache as planned."""
    found = [
        f"what was cached stays in the Redis of before until it expires: the cache begins {'with what cache_warm names' if settings['cache_warm'] else 'empty'}",
        "the cache may evict any key: locks, sessions and queues stay where they are",
    ]
    return tuple(found)


def told(before: Stack, after: Stack, operation: Operation, settings: Mapping[str, Any]) -> Altered:
    """An operation as people and JSON see it."""
    if isinstance(operation, AddService):
        place = after.services[operation.service].place
        what = f"{operation.definition['image']}"
        if operation.service == settings["cache_name"]:
            what += f": {settings['cache_memory']}, {cache_services.POLICY}"
        else:
            what += f": {len(settings['cache_warm'])} entries to warm"
        return Altered(
            operation.service, place.path, place.line, "service", "none", what, "not needed", operation.reason
        )
    if isinstance(operation, AddDependency):
        edge = after.services[operation.service].edges[operation.dependency]
        return Altered(operation.service, edge.place.path, edge.place.line, "condition", "none",
                       f"{operation.dependency}: {operation.condition}", "not needed", operation.reason)  # fmt: skip
    assert isinstance(operation, ReplaceText)  # noqa: S101 - the kinds that this step makes
    old, new = (stack.services[operation.service].environment[operation.variable] for stack in (before, after))
    return Altered(operation.service, new.place.path, new.place.line, "cache", f"{operation.variable}={old.value}",
                   f"{operation.variable}={new.value}", "unproven", "the shared cache; the gate asks")  # fmt: skip
