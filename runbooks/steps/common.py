"""What steps share: how what the splicer could not do is told, and what is watched after a change. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from checks.model import Probe
from inventory.errors import InputError
from runbooks.compose.model import Stack
from runbooks.compose.operations import Applied, Operation
from runbooks.model import Refusal
from runbooks.steps import bounds


def refusals(applied: Applied, what: str) -> tuple[tuple[Refusal, ...], tuple[Operation, ...]]:
    """The refusals of a step, and the operations that were not carried out."""
    failed = tuple(entry.operation for entry in applied.refused)
    told = tuple(
        Refusal(entry.operation.service, entry.place.path, entry.place.line, what, entry.reason, entry.mend)
        for entry in applied.refused
    )
    return tuple(dict.fromkeys(told)), failed


def must_be_there(stack: Stack, setting: str, names: Iterable[str]) -> None:
    """Raises InputError, with "did you mean", for a service that a setting names and the stack does not have."""
    for name in names:
        if name not in stack.services:
            raise InputError(f"there is no service {name}", key=setting, mend=bounds.near(name, tuple(stack.services)))


def health_probes(stack: Stack, services: Iterable[str]) -> tuple[Probe, ...]:
    """The engine's view of each service, and its own check asked anew in each round.

    The engine asks only every `interval`, 30 s by default, and reports three failures in a row: a gate that only read
    its verdict would miss what fails within its window.
    """
    found: list[Probe] = []
    for name in services:
        found.append(Probe("container", f"container:{name}", name))
        check = stack.services[name].health_check
        if check is not None and check.test and not check.disabled:
            limit = check.timeout_s if check.timeout_s else 5.0
            found.append(Probe("command", f"health:{name}", name, {"command": argv(check.test)}, limit))
    return tuple(found)


def argv(test: tuple[str, ...]) -> tuple[str, ...]:
    """How the engine runs a health check's test inside the container."""
    return ("/bin/sh", "-c", test[1]) if test and test[0] == "CMD-SHELL" else test[1:]
