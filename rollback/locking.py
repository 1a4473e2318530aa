"""The lock of a project on a host: one run at a time, named with its operator, renewed while it works."""

from __future__ import annotations

from rollback import records
from rollback.door import Door
from rollback.model import Owner


class Locking(Door):
    """Takes, renews, gives back and breaks the lock."""

    def lock(self, *, wait: bool = True) -> None:
        """Takes the host's lock for this run. Raises Locked, naming who holds it since when.

        Without `wait` it is taken in the exchange of the next call, which then raises Locked and does nothing else.
        """
        self._ask("lock", b"", wait)

    def renew(self) -> None:
        """The heartbeat. Raises Locked when the lock is another's or gone."""
        self._call("renew")

    def release(self) -> str:
        """Gives the lock back, if this run holds it. Returns the journal's head as the run leaves it."""
        self.head = records.lines(self._call("release").text).get("head", "")
        return self.head

    def owner(self) -> Owner | None:
        """Who holds the lock."""
        return self._owner(self._call("owner").text)

    def unlock(self, run: str = "") -> str:
        """Breaks the lock of a run, or whoever holds it; says what it found. Raises Locked when another run holds it now."""
        header = records.packed([records.word(run, "run")] if run else [])
        return self._call("unlock", header).text.strip().removeprefix("released ")
