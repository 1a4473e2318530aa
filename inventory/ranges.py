"""Ansible's host ranges: `web[01:20]`, `db[a:f]`, `n[1:9:2]`. Pure."""

from __future__ import annotations

import re
from string import ascii_letters

from inventory import text
from inventory.errors import InputError

_RANGE = re.compile(r"\[([^\[\]]*)\]")
LIMIT = 100_000
MANY = 8


def expand(pattern: str, path: str, line: int) -> list[str]:
    """The host names that a pattern stands for, leading zeros kept. Raises InputError for a range that is none."""
    match = _RANGE.search(pattern)
    if pattern.count("[") > MANY:
        raise InputError(
            f"has more than {MANY} ranges", path=path, line=line, key=pattern[:40], mend="use fewer ranges"
        )
    if not match or ":" not in match[1]:
        return [pattern]
    names = members(match[1], path, line, pattern)
    rest = expand(pattern[match.end() :], path, line)
    if len(names) * len(rest) > LIMIT:
        raise InputError(
            f"stands for more than {LIMIT} hosts", path=path, line=line, key=pattern, mend="use smaller ranges"
        )
    return [pattern[: match.start()] + name + tail for name in names for tail in rest]


def members(inside: str, path: str, line: int, pattern: str) -> list[str]:
    parts = inside.split(":")
    first, last = parts[0] or "0", parts[1] if len(parts) > 1 else ""
    step = parts[2] if len(parts) == 3 else "1"
    stride, begin, end = text.number(step), text.number(first), text.number(last)
    if len(parts) <= 3 and stride:
        if begin is not None and end is not None and begin <= end <= begin + LIMIT:
            width = len(first) if first.startswith("0") and len(first) > 1 else 0
            return [str(number).zfill(width) for number in range(begin, end + 1, stride)]
        if len(first) == len(last) == 1 and first in ascii_letters and last in ascii_letters:
            begin, end = ascii_letters.index(first), ascii_letters.index(last)
            if begin <= end:
                return list(ascii_letters[begin : end + 1 : stride])
    raise InputError(
        f"[{inside}] is not a range", path=path, line=line, key=pattern, mend="write [1:20], [01:20], [a:f] or [1:9:2]"
    )
