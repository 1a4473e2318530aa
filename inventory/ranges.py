"""Ansible's host ranges: `web[01:20]`, `db[a:f]`, `n[1:9:2]`. Pure."""

from __future__ import annotations

import re
from string import ascii_letters

from inventory.errors import InputError

_RANGE = re.compile(r"\[([^\[\]]*)\]")
LIMIT = 100_000


def expand(pattern: str, path: str, line: int) -> list[str]:
    """The host names that a pattern stands for, leading zeros kept. Raises InputError for a range that is none."""
    match = _RANGE.search(pattern)
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
    if len(parts) <= 3 and step.isdigit() and int(step) > 0:
        if first.isdigit() and last.isdigit() and int(first) <= int(last) and int(last) - int(first) <= LIMIT:
            width = len(first) if first.startswith("0") and len(first) > 1 else 0
            return [str(number).zfill(width) for number in range(int(first), int(last) + 1, int(step))]
        if len(first) == len(last) == 1 and first in ascii_letters and last in ascii_letters:
            begin, end = ascii_letters.index(first), ascii_letters.index(last)
            if begin <= end:
                return list(ascii_letters[begin : end + 1 : int(step)])
    raise InputError(
        f"[{inside}] is not a range", path=path, line=line, key=pattern, mend="write [1:20], [01:20], [a:f] or [1:9:2]"
    )
