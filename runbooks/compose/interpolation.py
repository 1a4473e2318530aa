"""Compose's `$NAME` and `${NAME...}` in values, piece by piece, so that each piece can be followed to its origin.

Forms: `$NAME`, `${NAME}`, `${NAME:-text}`, `${NAME-text}`, `${NAME:?text}`, `${NAME?text}`, `${NAME:+text}`,
`${NAME+text}`, nested, and `$$` for a dollar. A dollar before anything else stands for itself. The rules are those of
the Compose Specification ("Interpolation") as compose-go applies them, its greedy braces included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

_NAME = "[_a-zA-Z][_a-zA-Z0-9]*"
_PATTERN = re.compile(rf"\$(?:(\$)|({_NAME})|\{{(?:({_NAME}(?::?[-+?].*)?)\}}|()))")
_PLAIN = re.compile(rf"\$\{{({_NAME})(?:(:?)-([^${{}}]*))?\}}")
_BRACED = re.compile(rf"({_NAME})(:?[-+?])?(.*)", re.DOTALL)

Lookup = Callable[[str], str | None]


class BadTemplate(Exception):
    """A value that Compose refuses: `message` says why, `mend` what to do. The caller knows the place."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.message, self.mend = message, mend


class Piece(NamedTuple):
    """`text` came from characters `start:end` of the template.

    `reference` is the outermost `${...}` around it, if any; `name` the variable whose value it is (kind "variable").
    """

    text: str
    kind: Literal["literal", "escape", "variable"]
    start: int
    end: int
    reference: tuple[int, int] | None = None
    name: str = ""


def pieces(template: str, lookup: Lookup, unset: Callable[[str], None] = lambda _: None) -> list[Piece]:
    """The pieces of a template's value, in order. `unset` hears of variables that become a blank.

    Raises BadTemplate for a malformed reference and for a required variable without a value.
    """
    if "$" not in template:
        return [Piece(template, "literal", 0, len(template))]
    return list(_expand(template, 0, None, lookup, unset))


def substitute(template: str, lookup: Lookup, unset: Callable[[str], None] = lambda _: None) -> str:
    """A template's value. Raises BadTemplate, as `pieces` does."""
    dollars = template.count("$")
    if 2 * template.count("$$") == dollars:
        return template.replace("$$", "$")
    plain = list(_PLAIN.finditer(template))
    if len(plain) == dollars == template.count("{") == template.count("}"):
        return _filled(template, plain, lookup, unset)
    return "".join(piece.text for piece in pieces(template, lookup, unset))


def _filled(template: str, plain: list[re.Match[str]], lookup: Lookup, unset: Callable[[str], None]) -> str:
    """The value where nothing but `${NAME}`, `${NAME-text}` and `${NAME:-text}` stands: nearly always, and soon done."""
    made, at = "", 0
    for found in plain:
        name, colon, default = found.groups()
        value = lookup(name)
        if default is not None and (value is None or (colon and not value)):
            value = default
        elif value is None:
            unset(name)
        made += template[at : found.start()] + (value or "")
        at = found.end()
    return made + template[at:]


def references(template: str) -> bool:
    """Whether a text refers to any variable."""
    return any(found[1] is None for found in _PATTERN.finditer(template))


def _expand(
    template: str, base: int, outer: tuple[int, int] | None, lookup: Lookup, unset: Callable[[str], None]
) -> Iterator[Piece]:
    at = 0
    for found in _PATTERN.finditer(template):
        if found.start() > at:
            yield Piece(template[at : found.start()], "literal", base + at, base + found.start(), outer)
        at = found.end()
        start = base + found.start()
        if found[1]:
            yield Piece("$", "escape", start, start + 2, outer)
        elif found[2]:
            yield _variable(found[2], (start, base + at), outer, lookup, unset)
        else:
            yield from _braced(found[0], start, outer, lookup, unset)
    if at < len(template):
        yield Piece(template[at:], "literal", base + at, base + len(template), outer)


def _braced(
    text: str, start: int, outer: tuple[int, int] | None, lookup: Lookup, unset: Callable[[str], None]
) -> Iterator[Piece]:
    """One `${...}`, and what a greedy match took along after its closing brace."""
    rest = ""
    if text.find("}") == len(text) - 1 and text.rfind("{") == 1:
        inner = _BRACED.fullmatch(text[2:-1])
    else:
        closing = _closing(text)
        if closing >= 0:
            text, rest = text[: closing + 1], text[closing + 1 :]
        again = _PATTERN.match(text)
        inner = _BRACED.fullmatch(again[3]) if again and again[3] else None
    if inner is None:
        shown = re.match(r"\$\{?\w{0,40}", text)
        raise BadTemplate(
            f"{shown[0] if shown else '$'}... is not a valid reference", "write ${NAME}, or $$ for a dollar sign"
        )
    name, operator, word = inner[1], inner[2], inner[3]
    reference = outer or (start, start + len(text))
    if operator is None:
        yield _variable(name, reference, outer, lookup, unset)
        return
    word_at = start + 2 + inner.start(3)
    value = lookup(name)
    there = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("?") and not there:
        message = substitute(word, lookup, unset)
        raise BadTemplate(
            f"required variable {name} is missing a value"
            + (f": {' '.join(message.split())[:120]}" if message else ""),
            f"set {name} in an env file",
        )
    if (operator.endswith("-") and not there) or (operator.endswith("+") and there):
        yield from _expand(word, word_at, reference, lookup, unset)
    elif value:
        yield Piece(value, "variable", start, start + len(text), reference, name)
    if rest:
        yield from _expand(rest, start + len(text), outer, lookup, unset)


def _variable(
    name: str, place: tuple[int, int], outer: tuple[int, int] | None, lookup: Lookup, unset: Callable[[str], None]
) -> Piece:
    value = lookup(name)
    if value is None:
        unset(name)
    return Piece(value or "", "variable", place[0], place[1], outer or place, name)


def _closing(text: str) -> int:
    """The brace that closes the first open one, counted as compose-go counts: what follows an open one is skipped."""
    depth, at = 0, 0
    while at < len(text):
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        if text[at] == "{":
            depth += 1
            at += 1
        at += 1
    return -1
