"""Predicts a cold start of a stack: when each service starts, is ready and counts as healthy, and what it waits for.

The model, with its sources:
- A strong edge waits until the dependency is healthy (or has completed), a weak one only until its container runs.
- A health check first runs after a whole `interval` (30 s by default), also when the service is ready long before;
  inside a `start_period` engines of version 25 and later check every `start_interval` (5 s by default) instead.
- A service that is started before what it needs is ready crashes, and is restarted after 100 ms, doubling up to one
  minute (the engine's restart manager). While `up` waits for a service that crashes, `up` fails, and the operator
  runs it again at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from inventory.values import frozen
from runbooks.compose import graph
from runbooks.compose.model import HealthCheck, Service, Stack

INTERVAL_S = 30.0
START_INTERVAL_S = 5.0
FIRST_RESTART_S = 0.1
LONGEST_RESTART_S = 60.0
LAUNCH_S = 0.8
"""Creating and starting a container: a start over five levels took 125 s where the health intervals alone make 121."""


@frozen
class Start:
    """One service's cold start, in seconds since `up`. `healthy_s` is None for a service without a health check.

    `waits_for` is the dependency that decided when it was ready; `restarts` how often it crashed before.
    """

    started_s: float
    ready_s: float
    healthy_s: float | None
    restarts: int = 0
    waits_for: str | None = None


@frozen
class Startup:
    """A predicted cold start. `seconds`: until every service is ready; `ups`: how many `up` commands that takes.

    `redundant` edges (service, dependency) are implied by others.
    """

    groups: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    seconds: float
    services: Mapping[str, Start] = field(default_factory=dict)
    ups: int = 1
    redundant: tuple[tuple[str, str], ...] = ()


def predict(
    stack: Stack,
    ready_s: Mapping[str, float],
    *,
    checked_by_image: Collection[str] = (),
    start_interval_supported: bool = True,
    tolerates: Collection[tuple[str, str]] = (),
) -> Startup:
    """How a cold start of the active services goes.

    `ready_s`: seconds from a service's start to its first answer, when what it needs is there (0 where not given).
    `checked_by_image`: services whose image brings a health check (its times are the engine's defaults).
    `start_interval_supported`: Engine >= 25. `tolerates`: edges (service, dependency) that the service can do without.
    Raises InputError on a dependency cycle.
    """
    found: dict[str, Start] = {}
    crashes: set[float] = set()
    edges = graph.needs(stack)
    waited_for = _waited_for(stack)
    for name in graph.order(stack):
        service = stack.services[name]
        checked = name in checked_by_image
        start = _start(service, edges[name], found, ready_s.get(name, 0.0), frozenset(tolerates))
        failed = _crash_times(start.started_s, start.ready_s - ready_s.get(name, 0.0))
        healthy = _healthy(service.health_check, checked, start, ready_s, name, start_interval_supported)
        found[name] = Start(start.started_s, start.ready_s, healthy, len(failed), start.waits_for)
        if name in waited_for:
            crashes.update(round(at) for at in failed)
    last = max(found, key=lambda name: found[name].ready_s, default=None)
    return Startup(
        groups=graph.groups(stack),
        critical_path=_path(found, last),
        seconds=round(found[last].ready_s, 1) if last is not None else 0.0,
        services=found,
        ups=1 + len(crashes),
        redundant=graph.redundant(stack),
    )


def _waited_for(stack: Stack) -> set[str]:
    """Services that another one waits for until they are healthy or done."""
    return {
        name
        for service in stack.services.values()
        if service.active
        for name, edge in service.edges.items()
        if edge.condition != "service_started"
    }


def _start(
    service: Service,
    wanted: Collection[str],
    found: Mapping[str, Start],
    takes_s: float,
    tolerates: frozenset[tuple[str, str]],
) -> Start:
    """When a service is started, and when it is ready after the crashes that it needs to find its dependencies."""
    begin, decided = 0.0, None
    present, missed = 0.0, None
    for name in wanted:
        dependency = found[name]
        edge = service.edges.get(name)
        strong = edge is not None and edge.condition != "service_started"
        until = _satisfied(dependency, strong)
        if until > begin:
            begin, decided = until, name
        needs_it = edge is not None and not strong and (service.name, name) not in tolerates
        if needs_it and dependency.ready_s > present:
            present, missed = dependency.ready_s, name
    begin += LAUNCH_S
    settled = _settled(begin, present)
    return Start(begin, settled + takes_s, None, 0, missed if settled > begin else decided)


def _satisfied(dependency: Start, strong: bool) -> float:
    if not strong:
        return dependency.started_s
    return dependency.ready_s if dependency.healthy_s is None else dependency.healthy_s


def _settled(begin: float, present: float) -> float:
    """The first attempt that finds everything there: attempts follow each other with a doubling delay."""
    at, delay = begin, FIRST_RESTART_S
    while at < present:
        at += delay
        delay = min(delay * 2, LONGEST_RESTART_S)
    return at


def _crash_times(begin: float, settled: float) -> list[float]:
    made, at, delay = [], begin, FIRST_RESTART_S
    while at < settled - 1e-9:
        made.append(at)
        at += delay
        delay = min(delay * 2, LONGEST_RESTART_S)
    return made


def _healthy(
    check: HealthCheck | None, by_image: bool, start: Start, ready_s: Mapping[str, float], name: str, supported: bool
) -> float | None:
    """When a service first counts as healthy: the first check at or after it is ready, since its last start."""
    if check is not None and check.disabled:
        return None
    if check is None and not by_image:
        return None
    interval = INTERVAL_S if check is None or not check.interval_s else check.interval_s
    period = 0.0 if check is None else check.start_period_s or 0.0
    quick = START_INTERVAL_S if check is None or not check.start_interval_s else check.start_interval_s
    if not supported:
        quick = interval
    takes = ready_s.get(name, 0.0)
    begin = start.ready_s - takes
    at = quick if period > 0 else interval
    while at < takes:
        at += quick if at < period else interval
    return begin + at


def _path(found: Mapping[str, Start], last: str | None) -> tuple[str, ...]:
    path: list[str] = []
    while last is not None:
        path.append(last)
        last = found[last].waits_for
    return tuple(reversed(path))
