"""How several hosts' errors make one exit code."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from inventory.errors import RunbookError

SOME_FAILED = 5


def exit_code(errors: Mapping[str, RunbookError], done: Collection[object]) -> int:
    """0 without errors; the errors' own code where it is the same for every host; else "some hosts failed"."""
    codes = {error.code for error in errors.values()}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 and not done else SOME_FAILED
