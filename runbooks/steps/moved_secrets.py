"""Passwords that stand in a Compose file, put into the project's `.env`, so that what is added can name them. Pure.

As `discovery_variables` does it, and by its names. A step that only asked for that step first would find something to do
in the next run, when it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runbooks.compose import splice
from runbooks.compose.model import Stack
from runbooks.compose.operations import Operation, ReferText
from runbooks.model import Altered, Facts, Refusal
from runbooks.steps import discovery_variables, literals
from runbooks.steps.common import refusals

_USUAL = {name: default for name, (_, default, _) in discovery_variables.SETTINGS.items()}


@dataclass(frozen=True)
class Moved:
    """What puts some passwords into `.env`. `stack`: as it is then; `modes`: what the file's permissions become."""

    stack: Stack
    operations: tuple[ReferText, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    work: discovery_variables.Work | None = None

    def altered(self, after: Stack, operation: Operation, facts: Facts) -> Altered:
        """A reference, as people and JSON see it."""
        assert self.work is not None  # noqa: S101 - there is none without operations
        assert isinstance(operation, ReferText)  # noqa: S101 - its own operations are of this kind
        return discovery_variables.altered(self.work, after, operation, facts)

    def lines(self, after: Stack) -> tuple[Altered, ...]:
        """The new lines of `.env`."""
        return tuple(discovery_variables.lines(self.work, after, self.work.names)) if self.work else ()


def move(stack: Stack, variables: Iterable[tuple[str, str]], settings: Mapping[str, Any], facts: Facts) -> Moved:
    """The passwords in some variables (service, variable) that stand in the Compose file itself. `settings`: env_file_mode."""
    work = discovery_variables.Work(stack, {**_USUAL, "env_file_mode": settings["env_file_mode"]})
    for service, variable in dict.fromkeys(variables):
        for found in literals.find(stack, stack.services[service]):
            if found.kind == "secret" and found.variable == variable:
                discovery_variables.literal(work, found)
    discovery_variables.refuse_takers(work)
    applied = splice.apply(stack, work.operations)
    told, failed = refusals(applied, "secret")
    refused = (*work.refused, *told)
    done = tuple(each for each in work.operations if isinstance(each, ReferText) and each not in failed)
    if failed or not done:
        return Moved(stack, refused=refused)
    mode = discovery_variables.private(work, secret=True) if work.names else None
    modes = {work.path: mode} if mode else {}
    notes = tuple(discovery_variables.notes(work, facts, work.names, modes))
    return Moved(applied.stack, done, modes, refused, notes, replace(work, operations=list(done)))
