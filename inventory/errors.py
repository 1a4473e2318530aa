"""The error tree: everything that an operator can mend is a RunbookError, raised where the fact is known.

A message is one line that names what is wrong and where; `mend` says what to do about it. `cli.finish` prints the two
and exits with the error's `code`: no RunbookError ever shows a traceback.
"""

from __future__ import annotations


class RunbookError(Exception):
    """An error with a mend. `code` is the exit code of the command line (DESIGN, "The command line")."""

    code = 1

    def __init__(
        self, message: str, *, mend: str = "", path: str = "", line: int | None = None, key: str = "", host: str = ""
    ) -> None:
        """`path`, `line` (from 1) and `key` say where in a file; `host` where in the fleet."""
        super().__init__(message)
        self.message, self.mend, self.path, self.line, self.key, self.host = message, mend, path, line, key, host

    def __str__(self) -> str:
        place = self.path + (f":{self.line}" if self.path and self.line is not None else "")
        parts = [part for part in (self.host, place, self.key) if part]
        text = ": ".join([*parts, self.message])
        return f"{text} ({self.mend})" if self.mend else text


class InputError(RunbookError):
    """A file, option or variable that cannot be used as it is."""


class Refused(RunbookError):
    """What was asked for is understood and not done: lock, evidence, risk, drift or baseline."""

    code = 4


class Drift(Refused):
    """A file no longer has the bytes that were read."""


class Locked(Refused):
    """Another run holds the host's lock."""


class Busy(Refused):
    """What an earlier run began on the host still goes on there, and ends by itself."""


class Unreachable(RunbookError):
    """A host gave no answer, or not the one that it must give (host key, login)."""

    code = 5


class HostFailed(RunbookError):
    """A program on a host failed in a way that the caller did not expect."""

    code = 5


class GateFailed(RunbookError):
    """A gate failed and its step was rolled back."""

    code = 3


class RollbackFailed(RunbookError):
    """A gate failed and the rollback did not end well either: the message says exactly what stands where."""

    code = 6


class GateInconclusive(RunbookError):
    """A gate could not measure enough to decide: the run is paused."""

    code = 7


class Interrupted(RunbookError):
    """The operator stopped the run; every host is whole."""

    code = 130
