"""Scalars of YAML as they are written: which characters of the file make which of the value, and how to write one.

`traced` follows every character of a scalar's value to the file; `write` makes a scalar from a value in the style of
its neighbours; `splice` changes a part of one in the style that it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ruamel.yaml.nodes import ScalarNode

from runbooks.compose import runs
from runbooks.compose.nodes import Document, content_start, end
from runbooks.compose.runs import Run

_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_WRITTEN = {
    **{code: f"\\u{code:04x}" for code in (*range(32), 0x7F, 0xFEFF)},
    **{ord(made): f"\\{code}" for code, made in _ESCAPES.items() if code not in " /\t"},
}
"""How characters are written between double quotes that cannot stand there as they are."""
_CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]")
_HEX = {"x": 2, "u": 4, "U": 8}
_NOT_PLAIN_START = set(",[]{}#&*!|>'\"%@`")
_WORDS = re.compile(
    r"(?:~|null|true|false|yes|no|on|off|y|n|<<|=|[-+]?\.inf|\.nan|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?"
    r"|[-+]?\.[0-9][0-9_]*(?:e[-+]?[0-9]+)?|0x[0-9a-f_]+|0o?[0-7_]+|0b[01_]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?)?",
    re.IGNORECASE,
)


def traced(document: Document, node: ScalarNode) -> tuple[Run, ...]:
    """The runs of a scalar's value, in characters of the file. Never fails: at worst one run for the whole."""
    text, begin, stop = document.text, content_start(document, node), end(node)
    value: str = node.value
    if not node.style and text.startswith(value, begin):
        return runs.straight(len(value), begin)
    if node.style in ("'", '"') and stop - begin == len(value) + 2 and text.startswith(value, begin + 1):
        return runs.straight(len(value), begin + 1)
    if node.style in ("|", ">"):
        pieces = list(_block(document, node, begin, stop))
    else:
        pieces = list(_flow(text, node.style or "", begin, stop))
    made, found = runs.gather(pieces, text)
    return found if made == value else runs.opaque(len(value), begin, stop)


def _flow(text: str, style: str, begin: int, stop: int) -> Iterator[tuple[str, int, int]]:
    at, last = (begin + 1, stop - 1) if style else (begin, stop)
    while at < last:
        char = text[at]
        if char in "\r\n" or (char in " \t" and _folds(text, at, last)):
            after, breaks = _fold(text, at, last)
            yield ("\n" * (breaks - 1) or " ", at, after)
            at = after
        elif style == "'" and text.startswith("''", at):
            yield ("'", at, at + 2)
            at += 2
        elif style == '"' and char == "\\":
            made, after = _escape(text, at, last)
            yield (made, at, after)
            at = after
        else:
            yield (char, at, at + 1)
            at += 1


def _folds(text: str, at: int, last: int) -> bool:
    """Whether blanks end a line, so that they are folded away with the line's end."""
    while at < last and text[at] in " \t":
        at += 1
    return at < last and text[at] in "\r\n"


def _fold(text: str, at: int, last: int) -> tuple[int, int]:
    breaks = 0
    while at < last and text[at] in " \t\r\n":
        breaks += text[at] == "\n" or (text[at] == "\r" and not text.startswith("\r\n", at))
        at += 1
    return at, breaks


def _escape(text: str, at: int, last: int) -> tuple[str, int]:
    code = text[at + 1 : at + 2]
    if code in _HEX:
        after = at + 2 + _HEX[code]
        return chr(int(text[at + 2 : after], 16)), after
    if code in ("\r", "\n"):
        after, breaks = _fold(text, at + 1, last)
        return "\n" * (breaks - 1), after
    return _ESCAPES.get(code, code), at + 2


def _block(document: Document, node: ScalarNode, begin: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """The lines of a literal or folded scalar; what the chomping leaves out is cut off at the end of the value."""
    text, value = document.text, node.value
    at = document.line_end(begin)
    at += 2 if text.startswith("\r\n", at) else 1
    lines: list[tuple[int, int, int]] = []
    while at < stop:
        until = document.line_end(at)
        after = until + (2 if text.startswith("\r\n", until) else 1)
        lines.append((at, until, after))
        at = after
    indent = _indent(text, lines)
    made = 0
    folded = node.style == ">"
    for number, (first, until, after) in enumerate(lines):
        content = text[min(first + indent, until) : until]
        if content:
            yield (content, first + indent, until)
            made += len(content)
        if made >= len(value):
            return
        following = lines[number + 1] if number + 1 < len(lines) else None
        joint = _joint(text, indent, (first, until, after), following) if folded else "\n"
        yield (joint, until, after)
        made += len(joint)
        if made >= len(value):
            return


def _joint(text: str, indent: int, line: tuple[int, int, int], following: tuple[int, int, int] | None) -> str:
    """What a folded scalar puts between two lines: a blank, or a line's end where one of them is indented or empty."""
    this = text[line[0] + indent : line[1]]
    if following is None or this.startswith((" ", "\t")):
        return "\n"
    if not this:
        return "\n"
    then = text[following[0] + indent : following[1]]
    if not then:
        return ""
    return "\n" if then.startswith((" ", "\t")) else " "


def _indent(text: str, lines: list[tuple[int, int, int]]) -> int:
    for first, until, _ in lines:
        line = text[first:until]
        if line.strip(" "):
            return len(line) - len(line.lstrip(" "))
    return 0


@lru_cache(4096)
def write(value: str, *, style: str | None = None, flow: bool = False, key: bool = False) -> str:
    """A scalar with this very value: plain where that is safe and no quote is asked for, in one line."""
    if _CONTROLS.search(value):
        return _double(value)
    if style == '"':
        return _double(value)
    if style == "'" or not is_plain(value, flow=flow or key):
        return "'" + value.replace("'", "''") + "'"
    return value


@lru_cache(4096)
def is_plain(value: str, *, flow: bool = False) -> bool:
    """Whether a text can stand without quotes and still be this very string for every reader of YAML."""
    if _WORDS.fullmatch(value) or value != value.strip() or value[0] in _NOT_PLAIN_START:
        return False
    if value[0] in "-?:" and (len(value) == 1 or value[1] in " \t,[]{}"):
        return False
    if ": " in value or " #" in value or value.endswith(":") or "\t" in value or value.startswith(("---", "...")):
        return False
    return not (flow and any(char in ",[]{}" for char in value))


def _double(value: str) -> str:
    return f'"{value.translate(_WRITTEN)}"'


def inside(text: str, style: str | None) -> str | None:
    """A text as it is written inside a scalar of this style; None where that style cannot hold it as it is."""
    if _CONTROLS.search(text):
        return _double(text)[1:-1] if style == '"' else None
    if style == '"':
        return _double(text)[1:-1]
    return text.replace("'", "''") if style == "'" else text
