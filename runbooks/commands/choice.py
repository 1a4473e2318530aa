"""Which phase, steps and hosts a command is about."""

from __future__ import annotations

from pathlib import Path

from inventory.errors import InputError
from inventory.values import frozen
from runbooks import book
from runbooks.book import Phase


@frozen
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
