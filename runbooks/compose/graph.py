"""The start order of a stack as a graph: who waits for whom, in which groups, and what a new edge would close.

Edges are those of `depends_on` and the ones that Compose adds itself: `links`, `volumes_from`, and a namespace shared
with another service (`network_mode`, `ipc`, `pid`, `uts: service:NAME`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inventory.errors import InputError
from runbooks.compose.model import Condition, Service, Stack
from runbooks.compose.remembered import remembered

Needs = Mapping[str, Iterable[str]]
_SHARED = ("network_mode", "ipc", "pid", "uts")
_IMPLY = frozenset((*_SHARED, "links", "volumes_from"))
_STRENGTH: dict[Condition, int] = {"service_started": 0, "service_completed_successfully": 1, "service_healthy": 1}


def implied(service: Service) -> tuple[str, ...]:
    """Services that Compose starts before this one without a `depends_on`."""
    if _IMPLY.isdisjoint(service.value):
        return ()
    found: dict[str, None] = {}
    for key in _SHARED:
        value = service.value.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            found[value.removeprefix("service:")] = None
    for link in _words(service.value.get("links")):
        found[link.partition(":")[0]] = None
    for source in _words(service.value.get("volumes_from")):
        if not source.startswith("container:"):
            found[source.partition(":")[0]] = None
    return tuple(found)


def _words(value: object) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


@remembered
def needs(stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """For each active service the services that are started before it; names that are not there are left out."""
    return _needs({name: service for name, service in stack.services.items() if service.active})


@remembered
def needs_of_all(stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """The same, whichever profiles are chosen."""
    return _needs(stack.services)


def _needs(chosen: Mapping[str, Service]) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(
            dependency for dependency in dict.fromkeys((*service.edges, *implied(service))) if dependency in chosen
        )
        for name, service in chosen.items()
    }


def cycle(edges: Needs) -> tuple[str, ...] | None:
    """A cycle as its services in order, the first one again at the end; None when there is none."""
    state: dict[str, int] = {}
    for root in edges:
        if root in state:
            continue
        state[root] = 1
        trail = [root]
        todo = [iter(edges.get(root, ()))]
        while todo:
            following = next(todo[-1], None)
            if following is None:
                state[trail.pop()] = 2
                todo.pop()
            elif state.get(following) == 1:
                return (*trail[trail.index(following) :], following)
            elif following not in state and following in edges:
                state[following] = 1
                trail.append(following)
                todo.append(iter(edges[following]))
    return None


def order(stack: Stack) -> tuple[str, ...]:
    """The active services, each after what it needs; else in the order of the file. Raises InputError on a cycle."""
    return tuple(name for group in groups(stack) for name in group)


@remembered
def groups(stack: Stack) -> tuple[tuple[str, ...], ...]:
    """Services that can start together: each group needs only groups before it. Raises InputError on a cycle."""
    edges = needs(stack)
    found = cycle(edges)
    if found is not None:
        place = stack.services[found[0]].place
        raise InputError(
            f"dependency cycle detected: {' -> '.join(found)}", mend="take one of these dependencies out",
            path=place.path, line=place.line, key=f"services.{found[0]}.depends_on",
        )  # fmt: skip
    level: dict[str, int] = {}
    for name in _sorted(edges):
        level[name] = 1 + max((level[dependency] for dependency in edges[name]), default=-1)
    made: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in edges:
        made[level[name]].append(name)
    return tuple(tuple(group) for group in made)


def _sorted(edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names after all that they need, without recursion. There is no cycle."""
    left = {name: len(found) for name, found in edges.items()}
    users: dict[str, list[str]] = {name: [] for name in edges}
    for name, found in edges.items():
        for dependency in found:
            users[dependency].append(name)
    ready = [name for name, count in left.items() if not count]
    for name in ready:
        for user in users[name]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    return ready


def dependents(stack: Stack, service: str) -> tuple[str, ...]:
    """All services that need this one, directly or through others, in the order of the file."""
    edges = needs_of_all(stack)
    found = {service}
    todo = [service]
    users: dict[str, list[str]] = {}
    for name, wanted in edges.items():
        for dependency in wanted:
            users.setdefault(dependency, []).append(name)
    while todo:
        for user in users.get(todo.pop(), ()):
            if user not in found:
                found.add(user)
                todo.append(user)
    return tuple(name for name in edges if name in found and name != service)


def adds_cycle(stack: Stack, service: str, dependency: str) -> bool:
    """Whether `service` depending on `dependency` would close a cycle, whichever profiles are chosen."""
    seen, todo = {dependency}, [dependency]
    while todo:
        name = todo.pop()
        if name == service:
            return True
        needed = stack.services.get(name)
        more = {*needed.edges, *implied(needed)} - seen if needed is not None else set()
        seen |= more
        todo += more
    return False


@remembered
def redundant(stack: Stack) -> tuple[tuple[str, str], ...]:
    """Edges (service, dependency) that others imply: the dependency is reached, as strongly, over another service.

    They cost nothing at start, but they make a graph look more serial than it is. An edge with `restart: true` or
    `required: false` says more than an order, and is never redundant.
    """
    found = []
    level = _levels(stack)
    for name, service in stack.services.items():
        for dependency, edge in service.edges.items():
            if edge.restart or not edge.required or dependency not in stack.services:
                continue
            others = [other for other in service.edges if other != dependency]
            if any(
                _reaches(stack, other, dependency, _STRENGTH[edge.condition], level)
                for other in others
                if _STRENGTH[service.edges[other].condition] >= _STRENGTH[edge.condition]
            ):
                found.append((name, dependency))
    return tuple(found)


def _levels(stack: Stack) -> dict[str, int]:
    """How many services at most start one after another before each; empty where there is a cycle."""
    edges = needs_of_all(stack)
    level: dict[str, int] = {}
    for name in _sorted(edges):
        level[name] = 1 + max((level[dependency] for dependency in edges[name]), default=-1)
    return level if len(level) == len(edges) else {}


def _reaches(stack: Stack, start: str, end: str, strength: int, level: Mapping[str, int]) -> bool:
    """Whether required edges of at least a strength lead from one service to another. They only lead to lower levels."""
    seen, todo = {start}, [start]
    lowest = level.get(end, -1)
    while todo:
        at = todo.pop()
        service = stack.services.get(at)
        if service is None or level.get(at, lowest + 1) <= lowest:
            continue
        for name, edge in service.edges.items():
            if not edge.required or _STRENGTH[edge.condition] < strength:
                continue
            if name == end:
                return True
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return False


def serial(stack: Stack, parallel: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    """Edges (service, dependency) inside a group that somebody calls parallel."""
    edges = needs_of_all(stack)
    found = []
    for group in parallel:
        members = set(group)
        found += [(name, need) for name in edges if name in members for need in edges[name] if need in members]
    return tuple(found)
