"""What a host, a log or a Compose file says, made safe to print: a terminal must show it, never obey it.

An escape sequence in a service's log could clear the screen, hide a line of a plan or answer in the operator's name;
a right-to-left mark could show one command and mean another. Each such character is shown as its number instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 but tab and line feed, DEL, C1, and what changes the direction of text (Unicode's Bidi_Control) or ends a line."""


def visible(text: str) -> str:
    """`text` with each character that a terminal would obey as its number; tabs and line feeds stay."""
    return _OBEYED.sub(_number, text)


def in_json(text: str) -> str:
    """A JSON document with the same characters as JSON's own escapes: it means the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def guarded(console: Console) -> Console:
    """The console, from now on printing only what `visible` gives; its own styles stay."""
    from rich.console import RenderHook
    from rich.segment import Segment

    class Seen:
        def __init__(self, inner: ConsoleRenderable) -> None:
            self.inner = inner

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self.inner, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    class Guard(RenderHook):
        def process_renderables(self, renderables: Iterable[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Seen(each) for each in renderables]

    console.push_render_hook(Guard())
    return console
