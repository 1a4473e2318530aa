"""Predicts which containers a change recreates, why, in which order, for how long, and what that could cost. Pure.

The runner brings services up one at a time with `up --no-deps`, so a service is recreated only for what changes in
itself; a plain `up` would take its dependents along.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from runbooks.compose import graph
from runbooks.compose.intent import Meaning, meaning
from runbooks.compose.model import Service, Stack
from runbooks.compose.startup import INTERVAL_S, LAUNCH_S
from runbooks.model import Container, Facts
from runbooks.plan_model import Restart
from runbooks.ready import HOLDS_DATA, ready
from runbooks.steps.common import argv
from runbooks.steps.images import repository

STOP_S = 1.0
"""Seconds that a program takes to end when it is told to, typically; one that does not listen costs its grace period."""
WAIT_S = 60.0
"""How long a service without a check is waited for, at most."""
PROXIES = re.compile(r"\b(nginx|haproxy|envoy|varnish|squid|httpd|caddy)\b")
"""Programs that look an upstream's address up when they start, as they are usually configured."""
_PASSING = re.compile(
    r"^/(?:tmp|run|var/run|var/tmp|var/cache|var/log|proc|sys|dev|etc|root/\.cache|home/[^/]+/\.cache)(?:/|$)"
    r"|__pycache__|\.pyc$|\.pid$|\.sock$|\.lock$|/\.s\.PGSQL"
)
"""What a container writes anew at each start, or can do without."""


def predict(
    before: Stack,
    after: Stack,
    facts: Facts,
    *,
    measured_s: Mapping[str, float] | None = None,
    changed_files: Iterable[str] = (),
    layers: Mapping[str, tuple[str, ...]] | None = None,
    spared: frozenset[str] = frozenset(),
    also: frozenset[str] = frozenset(),
) -> tuple[Restart, ...]:
    """The containers that a change recreates or makes, in the order of the waves.

    `layers`: per service, what its container has written beside its volumes. `spared`: services that Compose itself
    says it would not recreate; `also`: those that it would, for a reason of its own. Services that do not run are left
    alone. Without a live host every active service counts as running.
    """
    was, will = meaning(before), meaning(after)
    files = frozenset(changed_files)
    found = []
    for name in graph.order(after):
        running = _running(facts, name)
        new = name not in before.services
        if facts.live and not running and not new:
            continue
        reason = "it is new" if new else _reason(was, will, name) if name not in spared else ""
        mounted = [source for each in running for kind, source, _ in each.mounts if kind == "bind" and source in files]
        renew = bool(mounted and not reason)
        if renew:
            reason = f"it mounts {posixpath.basename(mounted[0])} as a single file, and would keep the old one"
        if not reason and name in also:
            reason = "Compose would recreate it"
        if reason:
            lost = lasting((layers or {}).get(name, ()))
            made = _restart(after.services[name], reason, facts, measured_s or {}, lost, created=new)
            found.append(replace(made, renew=renew, needs=_needs(before, after, facts, name)))
    return tuple(found)


def _needs(before: Stack, after: Stack, facts: Facts, name: str) -> tuple[str, ...]:
    """What a service waits for until it is healthy: what runs now, or is new. What was stopped stays so, and is not needed."""
    return tuple(
        edge.dependency
        for edge in after.services[name].edges.values()
        if edge.condition == "service_healthy" and edge.required
        if not facts.live or edge.dependency not in before.services or _running(facts, edge.dependency)
    )


def _running(facts: Facts, service: str) -> list[Container]:
    return [each for each in facts.containers.get(service, ()) if each.state == "running" and not each.one_off]


def _reason(was: Meaning, will: Meaning, name: str) -> str:
    """What changes in a service's own configuration, in words; empty when nothing does."""
    parts = []
    if was.health[name] != will.health[name]:
        parts.append("gains a health check" if was.health[name] is None else "changes its health check")
    if was.edges[name] != will.edges[name]:
        parts.append("changes what it waits for")
    variables = _changed(was.environment[name], will.environment[name])
    if variables:
        parts.append(f"changes {', '.join(variables)}")
    rest = _changed(was.rest[name], will.rest[name])
    if rest:
        parts.append(f"changes {', '.join(rest)}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 2 else parts)


def _changed(was: Mapping[str, Any], will: Mapping[str, Any]) -> list[str]:
    return [key for key in dict.fromkeys([*was, *will]) if was.get(key) != will.get(key)]


def _restart(
    service: Service,
    reason: str,
    facts: Facts,
    measured_s: Mapping[str, float],
    lost: tuple[str, ...],
    *,
    created: bool,
) -> Restart:
    start = ready(service, measured_s)
    running = _running(facts, service.name)
    return Restart(
        service=service.name,
        reason=reason,
        holds_data=_holds_data(service, running),
        downtime_s=0.0 if created else round(STOP_S + LAUNCH_S + start.seconds, 1),
        basis=start.basis,
        wait_s=_wait_s(service, start.seconds),
        scale=max(1, len(running)),
        created=created,
        loses=lost,
        check=argv(check.test) if (check := service.health_check) and check.test and not check.disabled else (),
    )


def _holds_data(service: Service, running: Iterable[Container]) -> bool:
    volumes = any(kind == "volume" for each in running for kind, _, _ in each.mounts)
    declared = any(_is_volume(entry) for entry in service.value.get("volumes") or ())
    return volumes or declared or repository(service.image) in HOLDS_DATA


def _is_volume(entry: Any) -> bool:
    """Whether an entry of `volumes` names a volume, not a path of the host."""
    if isinstance(entry, Mapping):
        return entry.get("type") == "volume"
    source, mark, _ = str(entry).partition(":")
    return bool(mark) and not source.startswith((".", "/", "~", "$"))


def _wait_s(service: Service, ready_s: float) -> float:
    """How long to wait for health: until the engine itself would call it unhealthy, and a quarter more."""
    check = service.health_check
    if check is None or check.disabled:
        return WAIT_S
    interval = check.interval_s or INTERVAL_S
    limit = (check.start_period_s or 0.0) + ((check.retries or 3) + 1) * (interval + (check.timeout_s or 30.0))
    return max(WAIT_S, round(min(limit, 900.0) * 1.25), ready_s * 3)


def lasting(paths: Iterable[str]) -> tuple[str, ...]:
    """What of a writable layer would be missed: the deepest paths, without what every start writes anew."""
    known = sorted(set(paths))
    parents = {posixpath.dirname(path) for path in known}
    return tuple(path for path in known if path not in parents and not _PASSING.search(path))


def stale_proxies(stack: Stack, restarts: Iterable[Restart]) -> tuple[str, ...]:
    """Lines that name proxies which may keep the old address of something that is recreated under them."""
    renewed = [restart.service for restart in restarts]
    found = []
    for service in stack.services.values():
        if not service.active or service.name in renewed or not PROXIES.search(repository(service.image)):
            continue
        behind = [name for name in renewed if name in service.edges or _mentions(service, name)]
        if behind:
            found.append(
                f"{service.name} may keep the old address of {', '.join(behind)}: reload it after the run if it does"
            )
    return tuple(found)


def _mentions(service: Service, name: str) -> bool:
    return any(
        re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", each.value or "") for each in service.environment.values()
    )
