"""How long jobs of the lab tell how far they are, and the bars that show it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Hears what a job does now. `what` is `JOB: DOING`; `done` of `total` are steps, and a total of 0 is unknown."""

    def __call__(self, what: str, done: int = 0, total: int = 0, /) -> None: ...


@contextmanager
def bars() -> Iterator[Progress]:
    """Shows one bar a job on standard error: a moving one in a terminal, else one plain line for each new doing."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Bars(*columns, console=console, refresh_per_second=4) as shown:
        jobs: dict[str, TaskID] = {}

        def hear(what: str, done: int = 0, total: int = 0, /) -> None:
            job, _, doing = what.partition(": ")
            if job not in jobs:
                jobs[job] = shown.add_task(job, total=None)
            text = f"{job:<20} {doing[:60]}"
            finished = not doing or doing in FINAL
            shown.update(
                jobs[job],
                description=text,
                total=1 if finished else total or None,
                completed=1 if finished else done,
            )

        yield hear


FINAL = ("done", "the platform answers", "removed")
"""After these words a job's bar stands full."""


def lines() -> Progress:
    """A line for each new doing of a job; steps within it are left out."""
    told: dict[str, str] = {}

    def hear(what: str, done: int = 0, total: int = 0, /) -> None:
        job, _, doing = what.partition(": ")
        if total and told.get(job) is not None and done != total:
            return
        if told.get(job) != doing:
            told[job] = doing
            print(what, file=sys.stderr, flush=True)

    return hear
