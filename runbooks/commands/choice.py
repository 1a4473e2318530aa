"""Which phase, steps and hosts a command is about, and how several hosts' errors make one exit code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import InputError, RunbookError
from runbooks import book
from runbooks.book import Phase

SOME_FAILED = 5


@dataclass(frozen=True)
class Choice:
    """What an operator chose. `environment` is empty where local files are meant."""

    phase: str
    environment: str = ""
    inventory: Path | None = None
    limit: str | None = None
    steps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def read(self) -> Phase:
        """The phase with the chosen steps. Raises InputError."""
        if not self.phase:
            raise InputError("names no phase", key="--phase", mend="add --phase 1")
        return book.select(book.load(self.phase), self.steps, self.tags)


def exit_code(errors: Mapping[str, RunbookError], done: Collection[object]) -> int:
    """0 without errors; the errors' own code where it is the same for every host; else "some hosts failed"."""
    codes = {error.code for error in errors.values()}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 and not done else SOME_FAILED
