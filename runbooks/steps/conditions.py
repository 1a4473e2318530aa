"""Makes weak edges strong: a service starts when what it needs is healthy, not merely started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks.compose import splice
from runbooks.compose.model import Edge, Service, Stack
from runbooks.compose.operations import SetCondition
from runbooks.model import Altered, Change, Facts, Kept, Proof, Question
from runbooks.steps import images
from runbooks.steps.common import health_probes, refusals

NAME = "conditions"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "telemetry_edges": (
        str,
        "strong",
        "strong, optional (required: false) or keep: edges to mere logs, traces and metrics",
    ),
}
TELEMETRY_EDGES = ("strong", "optional", "keep")
OPTIONAL_SINCE = (2, 20, 2)
"""Compose knows `required: false` from 2.20.2."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "telemetry_edges" and value not in TELEMETRY_EDGES:
        return f"{value!r} is no way to treat them", f"write {', '.join(TELEMETRY_EDGES[:-1])} or {TELEMETRY_EDGES[-1]}"
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: containers' health is among the facts, and added checks are proven by `health_checks`."""
    return ()


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Gives each weak edge whose dependency can be waited for the condition `service_healthy`."""
    operations: list[SetCondition] = []
    proofs: dict[tuple[str, str], Proof] = {}
    kept: list[Kept] = []
    notes: list[str] = []
    for service in stack.services.values():
        if not service.active:
            continue
        for name, edge in service.edges.items():
            if edge.condition != "service_started":
                continue
            reason, attention = why_not(stack, service, edge, facts, settings)
            if reason:
                kept.append(Kept(service.name, f"condition on {name}", reason, attention))
                continue
            dependency = stack.services[name]
            optional = None
            why = f"{service.name} starts when {name} is healthy"
            if images.is_telemetry(dependency) and not images.is_telemetry(service):
                if settings["telemetry_edges"] == "optional":
                    optional = False
                elif edge.required:
                    notes.append(
                        f"{service.name} will not start while {name}, which is telemetry, is unhealthy: "
                        "set telemetry_edges to optional or keep if it should"
                    )
            operations.append(SetCondition(service.name, name, "service_healthy", optional, why))
            proofs[service.name, name] = proof(facts)
    applied = splice.apply(stack, operations)
    refused, failed = refusals(applied, "condition")
    done = [operation for operation in operations if operation not in failed]
    touched = sorted({operation.service for operation in done} | {operation.dependency for operation in done})
    return Change(
        step=NAME, risk="low", stack=applied.stack, edits=applied.edits, refused=refused, kept=tuple(kept),
        operations=tuple(done), notes=tuple(dict.fromkeys(notes)),
        altered=tuple(
            Altered(
                operation.service, edge.place.path, edge.place.line, "condition",
                f"{operation.dependency}: service_started" + (" (list)" if stack.services[operation.service].edges[operation.dependency].form == "list" else ""),
                f"{operation.dependency}: service_healthy", proofs[operation.service, operation.dependency], operation.reason,
            )
            for operation in done
            for edge in (applied.stack.services[operation.service].edges[operation.dependency],)
        ),
        probes=health_probes(applied.stack, touched),
    )  # fmt: skip


def why_not(stack: Stack, service: Service, edge: Edge, facts: Facts, settings: Mapping[str, Any]) -> tuple[str, bool]:
    """Why a weak edge stays as it is, and whether an operator should read that; an empty reason: it need not."""
    dependency = stack.services.get(edge.dependency)
    if dependency is None:
        return f"{edge.dependency} is not in this project", True
    if not dependency.active:
        return f"{edge.dependency} belongs to a profile that is off", False
    if images.is_one_shot(stack, dependency, facts):
        return f"{edge.dependency} runs once and ends", False
    if not images.has_check(dependency, facts):
        return f"{edge.dependency} has no health check, and `up` fails on a condition without one", True
    if images.is_telemetry(dependency) and not images.is_telemetry(service):
        if settings["telemetry_edges"] == "keep":
            return f"{edge.dependency} is telemetry, and telemetry_edges is keep", False
        if settings["telemetry_edges"] == "optional" and facts.live and facts.compose < OPTIONAL_SINCE:
            return f"{edge.dependency} is telemetry, and this Compose does not know required: false", True
    unwell = [
        container
        for container in facts.containers.get(dependency.name, ())
        if container.health in ("unhealthy", "starting")
    ]
    if facts.live and unwell:
        return f"{edge.dependency} is {unwell[0].health} now: mend it first", True
    if facts.live and not any(container.state == "running" for container in facts.containers.get(dependency.name, ())):
        return f"{edge.dependency} does not run now, so that it gets healthy is not proven", True
    return "", False


def proof(facts: Facts) -> Proof:
    """Proven: it is healthy now, or its new check passed in its container now (else it would have none)."""
    return "proven" if facts.live else "unproven"
