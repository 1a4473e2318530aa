"""Env files as Compose reads them, each value with the place of every piece of it.

Grammar (Compose's own dotenv): `NAME=value`, `NAME: value`, `export NAME=value`, `NAME` alone (taken from what is
known already), `#` comments, comments after a blank behind an unquoted value, single quotes (no interpolation), double
quotes (escapes and interpolation), both over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from inventory.errors import InputError
from runbooks.compose import interpolation, origins, runs
from runbooks.compose.interpolation import BadTemplate
from runbooks.compose.model import Place, Span
from runbooks.compose.runs import Run

Quote = Literal["", "'", '"']
_BLANKS = "\t\v\f\r \x85\xa0"
_EXPORT = re.compile(r"export\s+")
_ESCAPE = re.compile(r'\\([abcfnrtv$"\\]|0\d{0,3})')
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Bound:
    """A variable's value and where its pieces stand. `path` is empty for one that the shell has."""

    value: str
    spans: tuple[Span, ...] = ()
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement of an env file: its value's bytes `start:end` within the quotes, if any."""

    name: str
    place: Place
    start: int
    end: int
    quote: Quote
    bound: Bound


@dataclass
class Scope:
    """What names mean while one file is interpolated. `unset` collects the names that became a blank."""

    bound: Mapping[str, Bound]
    unset: list[tuple[str, Place]] = field(default_factory=list)

    def lookup(self, name: str) -> str | None:
        found = self.bound.get(name)
        return None if found is None else found.value

    def warn(self, place: Place) -> Callable[[str], None]:
        return lambda name: self.unset.append((name, place))


def shell(values: Mapping[str, str]) -> dict[str, Bound]:
    """What the shell adds: values without a file."""
    return {
        name: Bound(value, (Span(0, len(value), "", 0, 0, False),) if value else ()) for name, value in values.items()
    }


def read(
    data: bytes, path: str, known: Mapping[str, Bound], found: dict[str, Bound], *, raw: bool = False
) -> list[Entry]:
    """The statements of one env file, in order; their values are added to `found` as they are read.

    Names in values are looked up in `known` first, then in `found`. `raw`: one `NAME=value` a line, taken as it is.
    Raises InputError with the line for what Compose would refuse.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError("is not UTF-8", mend="save it as UTF-8", path=path, line=line) from None
    reader = _Reader(text, path, len(data) - len(text.encode()), known, found)
    return reader.raw_statements() if raw else reader.statements()


class _Reader:
    """One pass over one env file."""

    def __init__(self, text: str, path: str, skipped: int, known: Mapping[str, Bound], found: dict[str, Bound]) -> None:
        self.text, self.path, self.skipped, self.known, self.found = text, path, skipped, known, found
        self.ascii = text.isascii()
        self.entries: list[Entry] = []
        self.counted = (0, 1)

    def statements(self) -> list[Entry]:
        at = 0
        while True:
            at = self._next(at)
            if at >= len(self.text):
                return self.entries
            at = self._statement(at)

    def raw_statements(self) -> list[Entry]:
        at = 0
        for line in self.text.splitlines(keepends=True):
            name, equals, rest = line.rstrip("\r\n").partition("=")
            if equals and name.strip() and not name.lstrip().startswith("#"):
                start = at + len(name) + 1
                self._add(name.strip(), at, rest, runs.straight(len(rest), start), (start, start + len(rest)), "")
            at += len(line)
        return self.entries

    def _next(self, at: int) -> int:
        """The start of the next statement, comments and blank lines skipped."""
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
            elif self.text[at] == "#":
                at = self.text.find("\n", at)
                if at < 0:
                    return len(self.text)
            else:
                break
        return at

    def _statement(self, at: int) -> int:
        begin = at
        exported = _EXPORT.match(self.text, at)
        if exported:
            at = self._blanks(at + len("export"))
        stop = at
        while stop < len(self.text) and self.text[stop] not in "=:\n":
            char = self.text[stop]
            if not (char.isalnum() or char in "_.-[]" or char in _BLANKS or char.isnumeric()):
                raise self._bad(begin, f"unexpected character {char!r} in a variable's name", "write NAME=value")
            stop += 1
        name = self.text[at:stop].rstrip()
        if " " in name:
            raise self._bad(begin, "a variable's name cannot contain a blank", "write NAME=value")
        if stop >= len(self.text):
            return stop
        if self.text[stop] == "\n":
            inherited = self.known.get(name) or self.found.get(name)
            if inherited is not None:
                self.found[name] = inherited
            return stop + 1
        at = self._blanks(stop + 1)
        if at < len(self.text) and self.text[at] in "'\"":
            return self._quoted(name, begin, at)
        return self._unquoted(name, begin, at)

    def _unquoted(self, name: str, begin: int, at: int) -> int:
        stop = self.text.find("\n", at)
        stop = len(self.text) if stop < 0 else stop
        value = self.text[at:stop].split(" #", 1)[0].rstrip()
        self._interpolated(name, begin, value, runs.straight(len(value), at), (at, at + len(value)), "")
        return stop + 1

    def _quoted(self, name: str, begin: int, at: int) -> int:
        quote = self.text[at]
        pieces: list[tuple[str, int, int]] = []
        stop = at + 1
        while stop < len(self.text) and self.text[stop] != quote:
            if self.text[stop] == "\\" and stop + 1 < len(self.text):
                following = self.text[stop + 1]
                pieces.append((following if following == quote else "\\" + following, stop, stop + 2))
                stop += 2
            else:
                pieces.append((self.text[stop], stop, stop + 1))
                stop += 1
        if stop >= len(self.text):
            raise self._bad(begin, f"the quote after {name} is never closed", f"close it with {quote}")
        value, made = runs.gather(pieces, self.text)
        if quote == "'":
            self._add(name, begin, value, made, (at + 1, stop), "'")
        else:
            value, made = _unescaped(value, made)
            self._interpolated(name, begin, value, made, (at + 1, stop), '"')
        return stop + 1

    def _interpolated(
        self, name: str, begin: int, value: str, made: tuple[Run, ...], area: tuple[int, int], quote: Quote
    ) -> None:
        if "$" not in value:
            self._add(name, begin, value, made, area, quote)
            return
        try:
            parts = interpolation.pieces(value, self._lookup)
        except BadTemplate as error:
            raise self._bad(begin, f"{name}: {error.message}", error.mend) from None
        bounds = {part.name: self._spans_of(part.name) for part in parts if part.kind == "variable"}
        text, spans = origins.follow(parts, self._spans(made), bounds)
        self._put(name, begin, Bound(text, spans, self._place(begin)), area, quote)

    def _add(
        self, name: str, begin: int, value: str, made: tuple[Run, ...], area: tuple[int, int], quote: Quote
    ) -> None:
        self._put(name, begin, Bound(value, self._spans(made), self._place(begin)), area, quote)

    def _put(self, name: str, begin: int, bound: Bound, area: tuple[int, int], quote: Quote) -> None:
        place = bound.place or self._place(begin)
        self.entries.append(Entry(name, place, self._byte(area[0]), self._byte(area[1]), quote, bound))
        self.found[name] = bound

    def _bound(self, name: str) -> Bound | None:
        return self.known.get(name) or self.found.get(name)

    def _spans_of(self, name: str) -> tuple[Span, ...]:
        found = self._bound(name)
        return () if found is None else found.spans

    def _lookup(self, name: str) -> str | None:
        found = self._bound(name)
        return None if found is None else found.value

    def _spans(self, made: Iterable[Run]) -> tuple[Span, ...]:
        return origins.spans(made, self.text, self.path, self._byte)

    def _byte(self, index: int) -> int:
        return self.skipped + (index if self.ascii else len(self.text[:index].encode()))

    def _place(self, index: int) -> Place:
        """Lines are counted onwards from the last one asked for: statements come in order."""
        at, line = self.counted if self.counted[0] <= index else (0, 1)
        self.counted = (index, line + self.text.count("\n", at, index))
        return Place(self.path, self.counted[1])

    def _blanks(self, at: int) -> int:
        while at < len(self.text) and self.text[at] in _BLANKS:
            at += 1
        return at

    def _bad(self, at: int, message: str, mend: str) -> InputError:
        return InputError(message, mend=mend, path=self.path, line=self._place(at).line)


def _unescaped(value: str, made: tuple[Run, ...]) -> tuple[str, tuple[Run, ...]]:
    """A double-quoted value after its escapes; `\\$` becomes the `$$` that interpolation leaves as a dollar."""
    texts: list[str] = []
    found: list[Run] = []
    at = length = 0

    def take(text: str, parts: Iterable[Run]) -> None:
        nonlocal length
        texts.append(text)
        found.extend(parts)
        length += len(text)

    for match in _ESCAPE.finditer(value):
        take(value[at : match.start()], runs.cut(made, at, match.start(), length))
        code = match[1]
        text = "$$" if code == "$" else _octal(code, match[0]) if code[0] == "0" else _ESCAPES.get(code, match[0])
        area = runs.extent(made, match.start(), match.end()) or (0, 0)
        take(text, [Run(length, length + len(text), area[0], area[1], False)])
        at = match.end()
    take(value[at:], runs.cut(made, at, len(value), length))
    return "".join(texts), tuple(found)


def _octal(code: str, as_written: str) -> str:
    """`\\0123` is Go's `\\123`: three octal digits, or no escape at all."""
    digits = code[1:]
    if len(digits) == 3 and all(digit in "01234567" for digit in digits) and int(digits, 8) < 256:
        return chr(int(digits, 8))
    return as_written
