"""What shows a run: on a terminal a screen that is redrawn in place below the lines that stay, else lines; JSON lines for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inventory.model import Host
from runbooks import events
from runbooks.lines import PlainConsole
from runbooks.progress import Progress, grouped
from runbooks.screen_progress import view
from runbooks.screen_run import JsonLines, RunScreen

if TYPE_CHECKING:
    from rich.console import RenderableType

    from runbooks.output import Output

REDRAWS = 4
"""A second: each costs a look at all hosts."""


class Shown:
    """A sink for people (and, with `--json-lines`, a program that follows). `redrawn` is the time in which a screen is live."""

    def __init__(self, out: Output, hosts: Sequence[Host] = ()) -> None:
        self._out, self._screen = out, RunScreen(out.console, out.mask)
        self._lines = JsonLines(out.raw, out.mask) if out.as_lines else None
        self._progress = Progress(out.mask, grouped((host.name, host.groups) for host in hosts))

    def __call__(self, event: events.Event) -> None:
        self._progress.take(event, time.monotonic())
        self._screen(event)
        if self._lines is not None:
            self._lines(event)

    @contextmanager
    def redrawn(self, reading: Sequence[str] = (), title: str = "") -> Iterator[None]:
        """Keeps a screen live below what is printed, where there is a terminal. `reading`: hosts that are read meanwhile."""
        console = self._out.console
        if reading:
            self._progress.reading(reading, title, time.monotonic())
            self._screen.reading(len(reading))
        if isinstance(console, PlainConsole) or not console.is_terminal or console.is_dumb_terminal or console.record:
            yield
            return
        from rich.live import Live

        def drawn() -> RenderableType:
            return view(self._progress, time.monotonic(), console.width, console.height)

        self._screen.counts = False  # the live screen does
        with Live(console=console, get_renderable=drawn, refresh_per_second=REDRAWS, transient=True):
            yield
