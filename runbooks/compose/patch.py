"""Unified diffs that `git apply` takes, in time linear in the file for changes that are small and far apart.

difflib alone needs seconds for a file of 20,000 lines. Here the two texts are walked side by side, and difflib sees only
the stretches where they differ.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Callable, Iterator

CONTEXT = 3
_SAME = 3
"""Equal lines in a row that end a stretch of differences."""
_FAR = 200
"""Lines to look ahead for them before difflib gets the rest."""

_Block = tuple[int, int, int, int]


def patch(before: bytes, after: bytes, path: str) -> str:
    """A unified diff; `path` is relative to where it is applied. Empty when nothing differs.

    Bytes that are not UTF-8 come out as surrogates (`surrogateescape`).
    """
    old, new = _lines(before), _lines(after)
    hunks = list(_hunks(list(_changes(old, new))))
    if not hunks:
        return ""
    text = [f"--- a/{path}\n", f"+++ b/{path}\n"]
    for hunk in hunks:
        text += _hunk(hunk, old, new)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in text)


def lines_before(before: bytes, after: bytes) -> Callable[[int], int]:
    """Tells of lines of the text after (counted from 1) where they stand in the text before; of a new one, which it follows."""
    blocks = list(_changes(_lines(before), _lines(after)))
    starts = [from_new for _, _, from_new, _ in blocks]

    def line_before(line: int) -> int:
        at = line - 1
        number = bisect_right(starts, at) - 1
        if number < 0:
            return line
        low, high, from_new, to_new = blocks[number]
        if at < to_new:
            return max(1, min(low + at - from_new, high - 1) + 1 if high > low else low)
        return at + high - to_new + 1

    return line_before


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _changes(old: list[str], new: list[str]) -> Iterator[_Block]:
    """Stretches (old from, old to, new from, new to) that differ."""
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        to_i, to_j = _meet(old, new, i, j)
        if i == to_i or j == to_j:
            yield i, to_i, j, to_j
            i, j = to_i, to_j
            continue
        for tag, a, b, c, d in difflib.SequenceMatcher(None, old[i:to_i], new[j:to_j], autojunk=False).get_opcodes():
            if tag != "equal":
                yield i + a, i + b, j + c, j + d
        i, j = to_i, to_j


def _meet(old: list[str], new: list[str], i: int, j: int) -> tuple[int, int]:
    """The nearest place where both texts go on alike; their ends when there is none near."""
    ends, ends_new = len(old), len(new)
    for far in range(1, _FAR):
        for ahead in range(far + 1):
            a, b = i + ahead, j + far - ahead
            if a < ends and b < ends_new:
                if old[a] == new[b] and old[a : a + _SAME] == new[b : b + _SAME]:
                    return a, b
            elif a == ends and b == ends_new:
                return a, b
    return ends, ends_new


def _hunks(changes: list[_Block]) -> Iterator[list[_Block]]:
    """Changes whose contexts touch belong to one hunk."""
    group: list[_Block] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(group: list[_Block], old: list[str], new: list[str]) -> list[str]:
    first, last = group[0], group[-1]
    before = min(CONTEXT, first[0], first[2])
    behind = min(CONTEXT, len(old) - last[1])
    begin, stop = first[0] - before, last[1] + behind
    other, until = first[2] - before, last[3] + behind
    made = [f"@@ -{_range(begin, stop)} +{_range(other, until)} @@\n"]
    at = begin
    for low, high, from_new, to_new in group:
        made += [" " + line for line in old[at:low]]
        made += ["-" + line for line in old[low:high]]
        made += ["+" + line for line in new[from_new:to_new]]
        at = high
    return made + [" " + line for line in old[at:stop]]


def _range(begin: int, stop: int) -> str:
    length = stop - begin
    if length == 1:
        return str(begin + 1)
    return f"{begin + 1 if length else begin},{length}"
