"""Spans: which bytes of which file each piece of a resolved value came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from runbooks.compose.interpolation import Piece
from runbooks.compose.model import Span
from runbooks.compose.runs import Run

_WIDE = re.compile(r"[^\x00-\x7f]+")


def spans(made: Iterable[Run], source: str, path: str, byte: Callable[[int], int]) -> tuple[Span, ...]:
    """Runs of a file's characters as spans of its bytes. Characters of several bytes get spans of their own, so that
    any other span can be cut to size."""
    found: list[Span] = []
    for run in made:
        if not run.exact or source.isascii():
            found.append(Span(run.start, run.end, path, byte(run.src), byte(run.stop), run.exact))
            continue
        for low, high in _stretches(source[run.src : run.stop]):
            found.append(Span(run.start + low, run.start + high, path, byte(run.src + low), byte(run.src + high), True))
    return tuple(found)


def _stretches(text: str) -> list[tuple[int, int]]:
    cuts = sorted({0, len(text), *(at for match in _WIDE.finditer(text) for at in match.span())})
    return list(pairwise(cuts))


def follow(
    parts: Iterable[Piece], template: Iterable[Span], variables: Mapping[str, tuple[Span, ...]]
) -> tuple[str, tuple[Span, ...]]:
    """An interpolated value and its spans: literal pieces by the template's spans, variables by their own.

    `template` are the spans of the template's own text. Each span of a variable or of a default names the whole
    reference that brought it, in bytes of the template's file.
    """
    template = tuple(template)
    made: list[Span] = []
    texts: list[str] = []
    at = 0
    for part in parts:
        reference = _reference(template, part.reference)
        if part.kind == "variable":
            source = list(variables.get(part.name, ()))
        else:
            source = clip(template, part.start, part.end)
            if part.kind != "literal":
                source = _whole(source, len(part.text))
        texts.append(part.text)
        for span in source:
            made.append(
                Span(at + span.start, at + span.end, span.path, span.from_byte, span.to_byte, span.exact, reference)
            )
        at += len(part.text)
    return "".join(texts), tuple(made)


def clip(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """The spans of characters `start:end`, counted from 0. Exact spans of one byte a character are cut to size."""
    found = []
    for span in spans:
        low, high = max(span.start, start), min(span.end, end)
        if low >= high:
            continue
        exact = span.exact and span.to_byte - span.from_byte == span.end - span.start
        whole = (low, high) == (span.start, span.end)
        begin = span.from_byte + (low - span.start if exact else 0)
        stop = span.from_byte + high - span.start if exact else span.to_byte
        sure = exact or (whole and span.exact)
        found.append(Span(low - start, high - start, span.path, begin, stop, sure, span.reference))
    return found


def _whole(source: list[Span], length: int) -> list[Span]:
    if not source or not length:
        return []
    return [Span(0, length, source[0].path, source[0].from_byte, source[-1].to_byte, False)]


def _reference(template: tuple[Span, ...], area: tuple[int, int] | None) -> tuple[str, int, int] | None:
    if area is None:
        return None
    found = clip(template, *area)
    return (found[0].path, found[0].from_byte, found[-1].to_byte) if found else None
