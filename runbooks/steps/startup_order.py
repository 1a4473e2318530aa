"""Reports the start-up order that the edges give: parallel groups, the critical path, edges that say nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks.compose import graph
from runbooks.compose.model import Stack
from runbooks.model import Change, Facts, Kept, Question

NAME = "startup_order"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {}


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: the order is in the files."""
    return ()


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """No edit: with strong edges Compose starts each service as soon as what it needs is healthy, in parallel."""
    groups = " -> ".join("{" + ", ".join(group) + "}" for group in graph.groups(stack))
    kept = tuple(
        Kept(service, f"edge to {dependency}", "is implied by its other edges; it does no harm")
        for service, dependency in graph.redundant(stack)
    )
    return Change(step=NAME, risk="low", stack=stack, kept=kept, notes=(f"starts in parallel groups: {groups}",))
