"""Where a command speaks to: people on a terminal, or one JSON document on standard output. All through the Mask."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import InputError, Refused, RunbookError
from inventory.secrets import Mask
from runbooks.screen import console
from runbooks.visible import in_json, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

PICTURE_WIDTH = 120


class Output:
    """One command's output. With `as_json` standard output holds the document alone, and people read standard error."""

    def __init__(self, *, as_json: bool = False, yes: bool = False, as_lines: bool = False) -> None:
        """`as_lines`: standard output is for a run's events, a line of JSON each; people read standard error."""
        if as_json and as_lines:
            raise InputError("are two forms of one output", key="--json, --json-lines", mend="name one of them")
        self.mask, self.as_json, self.as_lines, self._yes = Mask(), as_json, as_lines, yes
        self.console = console(stderr=as_json or as_lines)
        self.errors = console(stderr=True)

    def show(self, *parts: RenderableType, style: str = "") -> None:
        """Shows lines, tables and the like. Text is masked here; what is built of parts was masked when it was built."""
        shown = [self.mask.hide(part) if isinstance(part, str) else part for part in parts]
        if shown:
            self.console.print(*shown, sep="\n", style=style or None, markup=False, soft_wrap=not self.console.record)

    def document(self, found: Any) -> None:
        """The document of `--json`; nothing without it."""
        if self.as_json:
            sys.stdout.write(in_json(json.dumps(self.mask.hide_in(found), ensure_ascii=False, indent=2)) + "\n")

    def raw(self, text: str) -> None:
        """Bytes for another program, as they are: the caller has seen to the secrets. People see them made safe."""
        text = visible(text) if sys.stdout.isatty() else text
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()

    def warn(self, text: str) -> None:
        """A line that an operator must read, beside the document."""
        self.errors.print(self.mask.hide(text), style="yellow", markup=False, soft_wrap=True)

    def error(self, error: RunbookError) -> None:
        """One line about what is wrong and the mend."""
        self.errors.print(self.mask.hide(f"error: {error}"), style="red", markup=False, soft_wrap=True)

    def may_picture(self, path: str) -> None:
        """Raises InputError where a picture could not be written in the end: what it shows may take minutes."""
        folder = Path(path).resolve().parent
        if path and not (folder.is_dir() and os.access(folder, os.W_OK) and not Path(path).is_dir()):
            raise InputError("cannot be written", path=path, key="--picture", mend="name a file in a folder of yours")

    @contextmanager
    def pictured(self, path: str, title: str) -> Iterator[None]:
        """Keeps what is shown within as a picture (SVG) too; nothing for an empty path. Raises InputError."""
        if not path:
            yield
            return
        self.console.record, self.console.width = True, PICTURE_WIDTH
        yield
        try:
            self.console.save_svg(path, title=title)
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", path=path, mend="name a file in a folder of yours"
            ) from None

    def confirm(self, question: str) -> None:
        """Asks before something is changed. Raises Refused for a no, and where nobody can answer."""
        if self._yes:
            return
        if not sys.stdin.isatty():
            raise Refused("this would change hosts, and nobody can be asked here", mend="add --yes to do it")
        self.errors.print(f"{question} [y/N] ", end="", markup=False)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused("not confirmed, so nothing was changed")
