"""Lines of text as people read them, and a console for where there is no terminal: neither loads rich."""

from __future__ import annotations

import os
import sys
import threading
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from runbooks.visible import guarded, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

LOG_WIDTH = 160
"""Columns of a table that goes to a log or a pipe."""
_DROPPED = dict.fromkeys((7, 8, 11, 12, 13))
"""What rich leaves out of a text: bell, backspace, vertical tab, form feed, carriage return."""


class Line(NamedTuple):
    """One line, as parts of text with a style each. Rich shows it as its own Text; without a terminal it is the text."""

    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, *parts: str | tuple[str, str]) -> Line:
        """A line of parts: a text, or a text with its style."""
        return cls(tuple((part, "") if isinstance(part, str) else part for part in parts))

    @property
    def plain(self) -> str:
        """The text alone."""
        return "".join(text for text, _ in self.parts)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text.assemble(*self.parts)


def line(text: str, style: str = "") -> Line:
    """A line of one part."""
    return Line(((text, style),))


class Columns(NamedTuple):
    """Rows whose parts stand below each other. On a terminal rich folds the columns of these numbers where it is narrow."""

    rows: tuple[tuple[Line, ...], ...]
    folds: tuple[int, ...]

    @property
    def plain(self) -> str:
        """The rows, none cut or folded."""
        texts = [[cell.plain.split("\n") for cell in row] for row in self.rows]
        widths = [max(width(text) for cell in column for text in cell) for column in zip(*texts, strict=True)]
        return "\n".join(
            "  ".join(text + " " * (wide - width(text)) for text, wide in zip(row, widths, strict=True)).rstrip()
            for cells in texts
            for row in zip_longest(*cells, fillvalue="")
        )

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        for number in range(len(self.rows[0])):
            table.add_column(no_wrap=number not in self.folds, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def width(text: str) -> int:
    """The columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


class PlainConsole:
    """What rich's console is where there is no terminal. Lines are written as they are; for all else it makes rich's own."""

    is_terminal = False
    is_dumb_terminal = False

    def __init__(self, *, stderr: bool = False) -> None:
        self.stderr, self._lock = stderr, threading.Lock()
        self._made: Console | None = None

    @property
    def file(self) -> TextIO:
        return sys.stderr if self.stderr else sys.stdout

    @property
    def rich(self) -> Console:
        """Rich's own console, for tables and pictures."""
        if self._made is None:
            from rich.console import Console

            self._made = guarded(Console(stderr=self.stderr, highlight=False, width=LOG_WIDTH))
        return self._made

    def print(self, *parts: Any, sep: str = " ", end: str = "\n", **how: Any) -> None:
        """Writes lines; what rich alone can show, and what it records, goes through it. Ends the program as rich does where nobody reads."""
        texts = [part.plain if isinstance(part, Line | Columns) else part for part in parts]
        if self.record or not all(isinstance(text, str) for text in texts):
            self.rich.print(*parts, sep=sep, end=end, **how)
            return
        text = sep.join(text.translate(_DROPPED) for text in texts)
        lines = (each.expandtabs() for each in text.split("\n"))
        try:
            with self._lock:
                self.file.write(visible("\n".join(lines)) + end)
                self.file.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
            raise SystemExit(1) from None

    @property
    def record(self) -> bool:
        """Whether what is shown is kept for a picture."""
        return self._made is not None and self._made.record

    @record.setter
    def record(self, whether: bool) -> None:
        self.rich.record = whether

    @property
    def width(self) -> int:
        return self.rich.width

    @width.setter
    def width(self, columns: int) -> None:
        self.rich.width = columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich, name)


def on_terminal(stream: TextIO) -> bool:
    """Whether rich would take a stream for a terminal, by the same variables of the environment."""
    compatible, forced = os.environ.get("TTY_COMPATIBLE", ""), os.environ.get("FORCE_COLOR")
    if compatible in ("0", "1"):
        return compatible == "1"
    if forced is not None:
        return forced != ""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False
