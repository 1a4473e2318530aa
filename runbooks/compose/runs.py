"""Where the characters of a text came from: runs of characters that map to stretches of a source.

A scalar's text, a `.env` value and an interpolated value are all read through such runs, so that a character of a
resolved value can be followed back to the very characters of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """Characters `start:end` of a text came from characters `src:stop` of its source.

    `exact`: the source's characters are these very ones, one for one. Otherwise the run is only known as a whole (an
    escape, a fold, a doubled quote).
    """

    start: int
    end: int
    src: int
    stop: int
    exact: bool


def straight(length: int, src: int) -> tuple[Run, ...]:
    """The runs of a text whose characters stand in the source as they are."""
    return (Run(0, length, src, src + length, True),) if length else ()


def opaque(length: int, src: int, stop: int) -> tuple[Run, ...]:
    """The runs of a text that is only known to come from a stretch as a whole."""
    return (Run(0, length, src, stop, False),) if length else ()


def gather(pieces: Iterable[tuple[str, int, int]], source: str) -> tuple[str, tuple[Run, ...]]:
    """A text and its runs from pieces (text, src, stop), joined where they are exact and adjacent."""
    texts: list[str] = []
    runs: list[Run] = []
    at = 0
    for text, src, stop in pieces:
        texts.append(text)
        if not text:
            continue
        exact = stop - src == len(text) and source[src:stop] == text
        last = runs[-1] if runs else None
        if exact and last is not None and last.exact and last.stop == src:
            runs[-1] = Run(last.start, at + len(text), last.src, stop, True)
        else:
            runs.append(Run(at, at + len(text), src, stop, exact))
        at += len(text)
    return "".join(texts), tuple(runs)


def cut(runs: Sequence[Run], start: int, end: int, to: int = 0) -> list[Run]:
    """The runs of characters `start:end`, counted from `to`. A run that is not exact is kept whole in its source."""
    found = []
    for run in runs:
        low, high = max(run.start, start), min(run.end, end)
        if low >= high:
            continue
        if run.exact:
            src, stop = run.src + low - run.start, run.src + high - run.start
        else:
            src, stop = run.src, run.stop
        found.append(Run(to + low - start, to + high - start, src, stop, run.exact))
    return found


def extent(runs: Sequence[Run], start: int, end: int) -> tuple[int, int] | None:
    """The stretch of the source from the first to the last of characters `start:end`; None when there are none."""
    found = cut(runs, start, end)
    return (found[0].src, found[-1].stop) if found else None
