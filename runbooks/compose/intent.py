"""What a stack means, and what it must mean after some operations: plain data to compare, text left aside.

`meaning` is everything that Compose would see of a project, with the forms of `depends_on` and `environment` made one.
`intended` is computed from the meaning before by applying the operations to it; nothing of the editing is used for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.compose import interpolation, project
from runbooks.compose.interpolation import Lookup
from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import (
    AddDependency,
    AddResource,
    AddService,
    Operation,
    ReferText,
    RemoveDependency,
    RemoveSetting,
    ReplaceText,
    SetCondition,
    SetHealthCheck,
    SetSetting,
    SetVariable,
)
from runbooks.compose.remembered import remembered

_APART = ("depends_on", "environment", "healthcheck")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A project's services part by part, and the rest of it. Comparing two meanings compares everything."""

    edges: dict[str, dict[str, dict[str, Any]]]
    environment: dict[str, dict[str, str | None]]
    health: dict[str, dict[str, Any] | None]
    rest: dict[str, dict[str, Any]]
    sections: dict[str, Any]
    unset: frozenset[str]


@remembered
def meaning(stack: Stack) -> Meaning:
    """What a stack says. Extensions (`x-`) at the top level are left out: Compose does not see them."""
    services = stack.services.values()
    return Meaning(
        edges={service.name: _edges(service.value.get("depends_on")) for service in services},
        environment={
            service.name: {name: variable.value for name, variable in service.environment.items()}
            for service in services
        },
        health={service.name: service.value.get("healthcheck") for service in services},
        rest={service.name: _without(service) for service in services},
        sections={
            key: _named(value) for key, value in stack.value.items() if key != "services" and not key.startswith("x-")
        },
        unset=frozenset(name for name, _ in stack.warnings),
    )


def _named(section: Any) -> Any:
    """A section beside the services; Compose reads an entry of `{}` and one of nothing as the same."""
    return {name: value or None for name, value in section.items()} if isinstance(section, dict) else section


def _without(service: Service) -> dict[str, Any]:
    return _rest(service.value)


def _rest(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: child for key, child in value.items() if key not in _APART}


def _edges(value: Any) -> dict[str, dict[str, Any]]:
    if isinstance(value, list):
        return {str(name): _edge({}) for name in value}
    return {name: _edge(entry) for name, entry in value.items()} if isinstance(value, dict) else {}


def _edge(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"condition": "service_started", "required": True, "restart": False, **entry}


def intended(before: Meaning, operations: Iterable[Operation], stack: Stack) -> Meaning:
    """The meaning that a stack must have after the operations. What none of them names is that of before, not a copy."""
    edges, environment = _Copied(before.edges), _Copied(before.environment)
    health, rest, sections = dict(before.health), dict(before.rest), dict(before.sections)
    texts: dict[tuple[str, str], list[ReplaceText | ReferText]] = {}
    operations = list(operations)
    known = project.tree(stack).scope.lookup
    new = {each.name: each.text for each in operations if isinstance(each, ReferText)}

    def lookup(name: str) -> str | None:
        found = known(name)
        return new.get(name) if found is None else found

    for operation in operations:
        service = operation.service
        if isinstance(operation, SetCondition | AddDependency):
            found = edges.of(service)
            found[operation.dependency] = wanted_edge(found.get(operation.dependency), operation)
        elif isinstance(operation, RemoveDependency):
            edges.of(service).pop(operation.dependency, None)
        elif isinstance(operation, SetHealthCheck):
            health[service] = {**(health[service] or {}), **_settings(operation)}
        elif isinstance(operation, SetVariable):
            value = operation.value
            environment.of(service)[operation.name] = resolved(value, lookup) if operation.refers else value
        elif isinstance(operation, SetSetting):
            rest[service] = _set(rest[service], operation.path, resolved(operation.value, lookup))
        elif isinstance(operation, RemoveSetting):
            rest[service] = {key: child for key, child in rest[service].items() if key != operation.key}
        elif isinstance(operation, AddService):
            value = resolved(operation.definition, lookup)
            edges.add(service, _edges(value.get("depends_on")))
            environment.add(service, _variables(value.get("environment")))
            health[service], rest[service] = value.get("healthcheck"), _rest(value)
        elif isinstance(operation, AddResource):
            # A name alone says all: Compose reads `{}` and nothing as the same.
            made = resolved(operation.definition, lookup) or None
            sections[operation.section] = {operation.name: made, **(sections.get(operation.section) or {})}
        else:
            texts.setdefault((service, operation.variable), []).append(operation)
    for (service, name), replacements in texts.items():
        value = stack.services[service].environment[name].value or ""
        environment.of(service)[name] = replaced(value, replacements)
    return Meaning(edges.all, environment.all, health, rest, sections, before.unset)


class _Copied:
    """A part of a meaning in which a service's own is copied when it is first changed, and only then."""

    def __init__(self, before: Mapping[str, dict[str, Any]]) -> None:
        self.all = dict(before)
        self._own: set[str] = set()

    def of(self, service: str) -> dict[str, Any]:
        if service not in self._own:
            self.add(service, dict(self.all[service]))
        return self.all[service]

    def add(self, service: str, found: dict[str, Any]) -> None:
        self._own.add(service)
        self.all[service] = found


def resolved(value: Any, lookup: Lookup) -> Any:
    """Plain data as Compose reads it from a file: references resolved, tuples as lists. Raises BadTemplate."""
    if isinstance(value, str):
        return interpolation.substitute(value, lookup)
    if isinstance(value, Mapping):
        return {key: resolved(child, lookup) for key, child in value.items()}
    return [resolved(child, lookup) for child in value] if isinstance(value, list | tuple) else value


def _set(value: Any, path: tuple[str, ...], made: Any) -> Any:
    if not path:
        return made
    below = value if isinstance(value, Mapping) else {}
    return {**below, path[0]: _set(below.get(path[0]), path[1:], made)}


def _variables(value: Any) -> dict[str, str | None]:
    return {name: None if given is None else str(given) for name, given in (value or {}).items()}


def wanted_edge(edge: Mapping[str, Any] | None, operation: SetCondition | AddDependency) -> dict[str, Any]:
    """An edge after an operation on it."""
    made = {**_edge(edge or {}), "condition": operation.condition}
    if isinstance(operation, SetCondition) and operation.required is not None:
        made["required"] = operation.required
    return made


def _settings(operation: SetHealthCheck) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in operation.settings.items()}


def replaced(value: str, replacements: Iterable[ReplaceText | ReferText]) -> str:
    """A text with stretches of it replaced; positions are those of the text before."""
    for each in sorted(set(replacements), key=lambda each: (each.start, each.end), reverse=True):
        value = value[: each.start] + each.text + value[each.end :]
    return value


def difference(wanted: Meaning, found: Meaning) -> tuple[str, str] | None:
    """The first thing in which two meanings differ: its service (or nothing), and words for it; None when equal."""
    for what, first, second in (
        ("dependencies", wanted.edges, found.edges),
        ("environment", wanted.environment, found.environment),
        ("health check", wanted.health, found.health),
        ("settings", wanted.rest, found.rest),
    ):
        if first == second:
            continue
        for name in first:
            if first[name] != second.get(name):
                return name, f"the {what} of service {name}{_detail(first[name], second.get(name))}"
        return "", "the list of services"
    if wanted.sections != found.sections:
        return "", "what stands beside the services"
    if not found.unset <= wanted.unset:
        return "", "which variables are unset"
    return None


def _detail(first: Any, second: Any) -> str:
    """The name of the entry that differs: never a value, which may be a secret."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return ""
    for name in [*first, *second]:
        if first.get(name) != second.get(name) or (name in first) != (name in second):
            return f" ({name})"
    return ""
