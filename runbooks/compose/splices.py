"""Edits as splices of bytes: put in order, made, and taken back. Offsets are of the files before any edit of a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from runbooks.compose.desk import Planned
from runbooks.compose.operations import Edit


def joined(planned: Iterable[Planned]) -> tuple[Edit, ...]:
    """The edits in the order of their places: the same one once, insertions at one point as one."""
    unique: dict[tuple[str, int, int, bytes], list[str]] = {}
    for each in planned:
        edit = each.edit
        reasons = unique.setdefault((edit.path, edit.start, edit.end, edit.text), [])
        if edit.reason and edit.reason not in reasons:
            reasons.append(edit.reason)
    found: list[Edit] = []
    # Insertions at one point: what belongs deeper comes first; else they keep the order in which they were planned.
    for (path, begin, stop, text), reasons in sorted(
        unique.items(), key=lambda item: (*item[0][:3], -_depth(item[0][3]))
    ):
        last = found[-1] if found else None
        if last is not None and begin == stop and (last.path, last.start, last.end) == (path, begin, begin):
            reason = "; ".join(dict.fromkeys(part for part in (last.reason, *reasons) if part))
            found[-1] = Edit(path, begin, begin, last.text + text, reason)
        else:
            found.append(Edit(path, begin, stop, text, "; ".join(reasons)))
    return tuple(found)


def _depth(text: bytes) -> int:
    """How deep an insertion belongs: its first line's indentation, a list's item deeper than a key in its column."""
    if not text.startswith((b"\n", b"\r\n")):
        return 1 << 20
    line = text.lstrip(b"\r\n")
    bare = line.lstrip(b" ")
    return 2 * (len(line) - len(bare)) + bare.startswith(b"-")


def overlap(edits: Sequence[Edit]) -> bool:
    """Whether any two edits touch the same bytes. The edits are in order."""
    return any(before.path == after.path and after.start < before.end for before, after in pairwise(edits))


def edited(files: Mapping[str, bytes], edits: Iterable[Edit]) -> dict[str, bytes]:
    """The files that edits touch, with the edits made. One that is not there begins empty."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return {path: _spliced(files.get(path, b""), found) for path, found in by_path.items()}


def _spliced(data: bytes, edits: Iterable[Edit]) -> bytes:
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [data[at : edit.start], edit.text]
        at = edit.end
    return b"".join([*pieces, data[at:]])


def undone(files: Mapping[str, bytes], edits: Iterable[Edit], before: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with edits taken back by splices: what each took out comes from `before`."""
    back: list[Edit] = []
    shift: dict[str, int] = {}
    for edit in sorted(edits, key=lambda edit: (edit.path, edit.start, edit.end)):
        begin = edit.start + shift.get(edit.path, 0)
        taken = before.get(edit.path, b"")[edit.start : edit.end]
        back.append(Edit(edit.path, begin, begin + len(edit.text), taken, edit.reason))
        shift[edit.path] = shift.get(edit.path, 0) + len(edit.text) - len(taken)
    return edited(files, back)
