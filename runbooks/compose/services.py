"""The parts of a service that steps ask for, read from the merged tree, each with its place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from ruamel.yaml.nodes import MappingNode

from runbooks.compose.assemble import Assembly
from runbooks.compose.model import Condition, Edge, HealthCheck, Service
from runbooks.compose.tree import Item, plain
from runbooks.compose.units import boolean, container_ports, seconds
from runbooks.compose.variables import EnvFiles, variables

_CONDITIONS = get_args(Condition)


def services(assembly: Assembly, env_files: EnvFiles, known: dict[int, Any]) -> dict[str, Service]:
    """Every service of a project. `known`: the plain data that was made so far.

    Raises InputError, with the place, where a part that is read has a wrong type.
    """
    profiles = assembly.spec.profiles
    if not profiles and (chosen := assembly.scope.lookup("COMPOSE_PROFILES")):
        profiles = tuple(name.strip() for name in chosen.split(",") if name.strip())
    return {
        name: _service(name, item, assembly, env_files, frozenset(profiles), known)
        for name, item in assembly.services.items()
    }


def _service(
    name: str, item: Item, assembly: Assembly, env_files: EnvFiles, profiles: frozenset[str], known: dict[int, Any]
) -> Service:
    parts: Mapping[str, Item] = item.value if isinstance(item.value, dict) else {}
    own = _texts(parts.get("profiles"), f"services.{name}.profiles")
    active = not own or "*" in profiles or not profiles.isdisjoint(own)
    first = assembly.owns[name][0]
    return Service(
        name=name,
        place=first.item.source.document.place(first.key.node),
        value=plain(item, known) if parts else {},
        image=_text(parts, "image", name),
        builds="build" in parts and parts["build"].value is not None,
        container_name=_text(parts, "container_name", name),
        edges=_edges(parts.get("depends_on"), name),
        health_check=_health_check(parts.get("healthcheck"), name),
        environment=variables(name, parts, assembly, env_files, active=active),
        ports=_ports(parts, name),
        profiles=own,
        restart=_text(parts, "restart", name),
        command=_command(parts.get("command"), name),
        active=active,
    )


def _text(parts: Mapping[str, Item], key: str, service: str) -> str | None:
    item = parts.get(key)
    if item is None or item.value is None:
        return None
    if isinstance(item.value, dict | list):
        raise item.bad(f"services.{service}.{key}", "must be a text", f"write {key}: VALUE")
    return str(item.value).lower() if isinstance(item.value, bool) else str(item.value)


def _texts(item: Item | None, key: str) -> tuple[str, ...]:
    if item is None or item.value is None:
        return ()
    if not isinstance(item.value, list):
        raise item.bad(key, "must be a list", "write - NAME under it")
    for element in item.value:
        if isinstance(element.value, dict | list):
            raise element.bad(key, "must be a list of texts", "write - NAME under it")
    return tuple(str(element.value) for element in item.value)


def _edges(item: Item | None, service: str) -> dict[str, Edge]:
    key = f"services.{service}.depends_on"
    if item is None or item.value is None:
        return {}
    if isinstance(item.value, list):
        found: dict[str, Edge] = {}
        for element in item.value:
            edge = _listed(element, key)
            if edge.dependency in found and not item.layers:
                raise element.bad(key, f"names {edge.dependency} twice", "keep one of the two")
            found[edge.dependency] = edge
        return found
    if not isinstance(item.value, dict):
        raise item.bad(key, "must be a list or a mapping of services", "write - NAME under it")
    return {name: _mapped(name, entry, f"{key}.{name}", item) for name, entry in item.value.items()}


def _listed(element: Item, key: str) -> Edge:
    if isinstance(element.value, dict | list) or element.value is None:
        raise element.bad(key, "must be a list of names", "write - NAME under it, or use the long form")
    place = element.source.document.place(element.node)
    return Edge(str(element.value), "service_started", True, False, "list", place)


def _mapped(name: str, entry: Item, key: str, edges: Item) -> Edge:
    if not isinstance(entry.value, dict):
        raise entry.bad(key, "must be a mapping", "write condition: service_started under it")
    condition = entry.value.get("condition")
    word = "service_started" if condition is None else condition.value
    if word not in _CONDITIONS:
        raise (condition or entry).bad(
            f"{key}.condition", f"{str(word)[:40]!r} is not a condition", f"write one of {', '.join(_CONDITIONS)}"
        )
    form: Literal["list", "map"] = "map" if isinstance(entry.node, MappingNode) else "list"
    here = edges.keys.get(name)
    node = here.node if here is not None and form == "map" else entry.node
    return Edge(
        dependency=name,
        condition=cast("Condition", word),
        required=_flag(entry, "required", key, default=True),
        restart=_flag(entry, "restart", key, default=False),
        form=form,
        place=entry.source.document.place(node),
    )


def _flag(entry: Item, name: str, key: str, *, default: bool) -> bool:
    item = entry.value.get(name)
    if item is None or item.value is None:
        return default
    found = boolean(item.value)
    if found is None or isinstance(item.value, dict | list):
        raise item.bad(f"{key}.{name}", "must be true or false", f"write {name}: true")
    return found


def _health_check(item: Item | None, service: str) -> HealthCheck | None:
    key = f"services.{service}.healthcheck"
    if item is None or item.value is None:
        return None
    if not isinstance(item.value, dict):
        raise item.bad(key, "must be a mapping", "write test: under it")
    test = _test(item.value.get("test"), key)
    return HealthCheck(
        test=test,
        disabled=_flag(item, "disable", key, default=False) or test[:1] == ("NONE",),
        interval_s=_seconds(item, "interval", key),
        timeout_s=_seconds(item, "timeout", key),
        start_period_s=_seconds(item, "start_period", key),
        start_interval_s=_seconds(item, "start_interval", key),
        retries=_count(item, "retries", key),
        place=item.source.document.place(item.node),
    )


def _test(item: Item | None, key: str) -> tuple[str, ...]:
    if item is None or item.value is None:
        return ()
    if isinstance(item.value, dict):
        raise item.bad(f"{key}.test", "must be a text or a list", 'write ["CMD", "PROGRAM", "ARGUMENT"]')
    if not isinstance(item.value, list):
        return ("CMD-SHELL", str(item.value))
    for element in item.value:
        if not isinstance(element.value, str):
            raise element.bad(f"{key}.test", "must be a list of texts", "write numbers in quotes")
    words = _texts(item, f"{key}.test")
    if words and words[0] not in ("CMD", "CMD-SHELL", "NONE"):
        raise item.bad(f"{key}.test", f"starts with {words[0][:40]!r}", "start it with CMD, CMD-SHELL or NONE")
    return words


def _seconds(item: Item, name: str, key: str) -> float | None:
    found = item.value.get(name)
    if found is None or found.value is None:
        return None
    value = None if isinstance(found.value, dict | list) else seconds(str(found.value))
    if value is None:
        raise found.bad(f"{key}.{name}", "is not a duration", "write it with a unit: 30s, 1m30s")
    return value


def _count(item: Item, name: str, key: str) -> int | None:
    found = item.value.get(name)
    if found is None or found.value is None:
        return None
    text = str(found.value)
    if isinstance(found.value, bool | dict | list) or not text.lstrip("-").replace(".0", "").isdigit():
        raise found.bad(f"{key}.{name}", "is not a number", f"write {name}: 3")
    return int(float(text))


def _ports(parts: Mapping[str, Item], service: str) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for section in ("ports", "expose"):
        item = parts.get(section)
        if item is None or item.value is None:
            continue
        if not isinstance(item.value, list):
            raise item.bad(f"services.{service}.{section}", "must be a list", 'write - "80" under it')
        for element in item.value:
            target = element.value.get("target") if isinstance(element.value, dict) else element
            if target is not None and not isinstance(target.value, dict | list):
                found.update(dict.fromkeys(container_ports(str(target.value))))
    return tuple(found)


def _command(item: Item | None, service: str) -> tuple[str, ...] | None:
    if item is None or item.value is None:
        return None
    if isinstance(item.value, list):
        return _texts(item, f"services.{service}.command")
    if isinstance(item.value, dict):
        raise item.bad(f"services.{service}.command", "must be a text or a list", "write command: PROGRAM")
    try:
        return tuple(shlex.split(str(item.value)))
    except ValueError:
        return tuple(str(item.value).split())
