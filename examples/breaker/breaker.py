"""A circuit breaker inside an application: five failures in a row open it for 30 s, three good trials close it.

The proposal's numbers (its section 4). Copy it, or take a library of your language that has these three numbers; what
matters is around it: what counts as a failure, and what is served instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Open(Exception):
    """The dependency was not asked: it failed too often a moment ago."""


class Breaker:
    """Guards one dependency, for all threads of a process. `failures`: exceptions that say that it is not well."""

    def __init__(
        self,
        failures: tuple[type[Exception], ...],
        *,
        most: int = 5,
        open_s: float = 30.0,
        trials: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures, self.most, self.open_s, self.trials, self.clock = failures, most, open_s, trials, clock
        self.trips = 0
        self._failed = self._good = self._trying = 0
        self._opened: float | None = None
        self._lock = threading.Lock()

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` gives. Raises Open without asking while the breaker is open, and whatever `ask` raises."""
        with self._lock:
            if self._opened is not None:
                # Half open: as many callers as trials are missing may ask, the others still may not.
                if self.clock() - self._opened < self.open_s or self._good + self._trying >= self.trials:
                    raise Open
                self._trying += 1
        try:
            found = ask()
        except self.failures:
            self._told(well=False)
            raise
        except BaseException:
            self._told(well=None)  # a mistake of the caller's own says nothing about the dependency
            raise
        self._told(well=True)
        return found

    def _told(self, *, well: bool | None) -> None:
        with self._lock:
            half_open = self._opened is not None
            self._trying -= self._trying > 0
            if well is None:
                return
            if well:
                self._failed = 0
                self._good += half_open
                if half_open and self._good >= self.trials:
                    self._opened, self._good = None, 0
                return
            self._failed += 1
            if half_open or self._failed >= self.most:
                self.trips += not half_open
                self._opened, self._failed, self._good = self.clock(), 0, 0
