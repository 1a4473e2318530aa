"""When what a step wrote takes effect: at once, or at the next `up` that somebody makes (`apply: on_next_up`). Pure.

A phase whose every chosen step waits for the next `up` asks no engine: hosts need not even have one. Nothing is proven
then, and its gate only sees that the files stand as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args

from checks.model import Gate, Probe
from inventory.errors import InputError

Apply = Literal["up", "on_next_up"]
LATER: Apply = "on_next_up"
ONCE = Gate(window_s=0.001, interval_s=0.001, min_samples=1)
"""The gate of a step that brings nothing up, one round, unless the phase names one: nothing can show only after a while."""
NOTE = "written only: containers take it at the next `up`; the gate sees that the files stand as written, and proves no more"


class Applied(Protocol):
    """What a step of a phase says about itself."""

    @property
    def name(self) -> str: ...
    @property
    def apply(self) -> Apply: ...
    @property
    def line(self) -> int: ...
    @property
    def together(self) -> str | None: ...


def read(value: Any, where: str, line: int | None) -> Apply:
    """The word after `apply:`. Raises InputError for any other."""
    if value not in get_args(Apply):
        words = " or ".join(get_args(Apply))
        raise InputError(
            f"{value!r} is no way to apply a step", path=where, line=line, key="apply", mend=f"write {words}"
        )
    found: Apply = value
    return found


def check_order(steps: Sequence[Applied], where: str) -> None:
    """Raises InputError where a step that brings services up would make others take what was to wait."""
    waiting: Applied | None = None
    for step in steps:
        if waiting is not None and step.apply != LATER:
            raise InputError(
                f"{step.name} brings services up after {waiting.name}, which waits for the next up", path=where,
                line=step.line, key="apply", mend="put the steps that wait at the end",
            )  # fmt: skip
        waiting = step if step.apply == LATER else waiting
    for one, two in pairwise(steps):
        if one.together is not None and one.together == two.together and one.apply != two.apply:
            raise InputError(
                f"{two.name} is applied in another way than {one.name}", path=where, line=two.line, key="apply",
                mend="steps that stand together are applied together",
            )  # fmt: skip


def asks_engine(steps: Iterable[Applied]) -> bool:
    """Whether a phase needs the hosts' engines."""
    return any(step.apply != LATER for step in steps)


def files_probe(files: Iterable[tuple[str, str | None]]) -> Probe:
    """What watches that files stand as they were written. `files`: (path, SHA-256 digest; None: absent)."""
    found = dict(files)
    return Probe("files", "files as written", "", {"sha256": {path: found[path] or "absent" for path in sorted(found)}})
