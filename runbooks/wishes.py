"""What an inventory wishes of a phase, read before any host is asked: a mistake must not show itself half way through a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from checks import gate
from inventory.errors import InputError
from inventory.model import Inventory
from runbooks import batches, book, preflight
from runbooks.book import Phase

Reads = Callable[[Any, str, int | None], object]


def check(phase: Phase, found: Inventory) -> None:
    """Raises InputError, with file, line and the mend, for a variable that a step, the gates or the batches cannot take."""
    seen: set[tuple[str, str, str]] = set()
    for host in found.hosts:
        for name, reads in readers(phase, host.variables):
            path, line = host.places.get(name, (found.path, None))
            value = host.variables[name]
            # A group's variable is the same for a thousand hosts.
            if (once := (name, f"{path}:{line}", repr(value))) not in seen:
                seen.add(once)
                reads(value, path, line)


def readers(phase: Phase, variables: Mapping[str, Any]) -> Iterator[tuple[str, Reads]]:
    """The host's variables that this phase takes, each with what reads it."""
    for step in phase.steps:
        for name in book.STEPS[step.kind].SETTINGS:
            if name in variables:
                yield name, partial(setting, step.kind, name)
    for name, reads in (("gate", gate.parse), ("serial", serial), ("max_fail_percentage", percentage), ("preflight_warn", warned)):  # fmt: skip
        if name in variables:
            yield name, reads


def setting(kind: str, name: str, value: Any, path: str, line: int | None) -> None:
    """A setting of a step."""
    placed(lambda: book.check_setting(kind, name, value, path, line), name, path, line)


def serial(value: Any, path: str, line: int | None) -> None:
    """The sizes of batches."""
    placed(lambda: batches.sizes(value), "serial", path, line)


def warned(value: Any, path: str, line: int | None) -> None:
    """The checks before a run that only warn."""
    placed(lambda: preflight.wanted({"preflight_warn": value}), "preflight_warn", path, line)


def percentage(value: Any, path: str, line: int | None) -> None:
    """The share of hosts that may fail, in per cent."""
    if not 0 <= value <= 100:
        raise InputError(f"{value} is no share", path=path, line=line, key="max_fail_percentage", mend="write 0 to 100")


def placed(read: Callable[[], object], key: str, path: str, line: int | None) -> None:
    """Reads what does not know where it stands. Raises its InputError with the place."""
    try:
        read()
    except InputError as error:
        raise InputError(
            error.message.removeprefix(f"{key}: "), path=path, line=line, key=key, mend=error.mend
        ) from None
