"""What became of files that a run wrote: edited, gone, another mode or owner, a link in their place; with the lines that differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from difflib import unified_diff

from inventory.errors import RunbookError
from inventory.secrets import Mask
from inventory.values import frozen
from rollback.commit import HostWriter
from rollback.model import FileState
from runbooks import secret_text
from runbooks.undo import applied


@frozen
class Drifted:
    """A file that is not as a run left it: in words, and as a unified diff, masked (empty where the text is the same)."""

    path: str
    what: str
    patch: str = ""


@frozen
class Standing:
    """The files of all transactions that stand on a host: what became of some, and the bytes of those that are as written."""

    drifted: tuple[Drifted, ...] = ()
    written: Mapping[str, bytes] = field(default_factory=dict)


def standing(writer: HostWriter, mask: Mask) -> Standing:
    """What became of the files of all transactions that stand on a host."""
    snapshots = writer.snapshots()
    if not snapshots and not writer.prepared and writer.found_own():
        snapshots = writer.snapshots()
    expected = {state.path: state for snapshot in applied(snapshots) for state in snapshot.after}
    if not expected:
        return Standing()
    now = writer.read(list(expected))
    written = {path: data for path, (state, data) in now.items() if data is not None and state == expected[path]}
    return Standing(differing(writer, expected, now, mask), written)


def refusal(found: Drifted) -> str:
    """Why nothing is written over a change that nobody planned, with the mend."""
    return (
        f"{found.path} {found.what} since a run wrote it: put it back, or add --accept-drift to go on from it as it is"
    )


def look(writer: HostWriter, expected: Mapping[str, FileState], mask: Mask) -> tuple[Drifted, ...]:
    """Compares files on a host with how they should be, in one exchange, and in a second one for the text of those that differ."""
    return differing(writer, expected, writer.read(list(expected)), mask) if expected else ()


def differing(
    writer: HostWriter, expected: Mapping[str, FileState], now: Mapping[str, tuple[FileState, bytes | None]], mask: Mask
) -> tuple[Drifted, ...]:
    """Files that are not as they should be; one exchange for the text of those."""
    changed = {path: state for path, state in expected.items() if now[path][0] != state}
    kept = {path: f"{writer.state_dir}/objects/{state.sha256}" for path, state in changed.items() if state.sha256}
    try:
        texts = writer.read(sorted(set(kept.values()))) if kept else {}
    except RunbookError:
        texts = {}
    found = []
    for path, state in changed.items():
        was = texts[kept[path]][1] if kept.get(path) in texts else None
        found.append(Drifted(path, what(state, now[path][0]), patch(path, was, now[path][1], mask)))
    return tuple(found)


def what(expected: FileState, found: FileState) -> str:
    """How a file differs from what it should be, in words."""
    if found.link != expected.link:
        return "is a link now" if not expected.link else "is another link now, or no longer one"
    if expected.sha256 is None:
        return "is there again"
    if found.sha256 is None:
        return "is gone"
    parts = ["was edited"] if found.sha256 != expected.sha256 else []
    if found.mode != expected.mode:
        parts.append(f"has mode {found.mode:04o}, not {expected.mode:04o}")
    if (found.uid, found.gid) != (expected.uid, expected.gid):
        parts.append(f"belongs to {found.uid}:{found.gid}, not {expected.uid}:{expected.gid}")
    return " and ".join(parts)


def patch(path: str, was: bytes | None, now: bytes | None, mask: Mask) -> str:
    """The lines that differ, masked; empty where one of the two is not known or they are the same."""
    if was is None or now is None or was == now:
        return ""
    old, new = was.decode("utf-8", "replace"), now.decode("utf-8", "replace")
    for text in (old, new):
        for name, value in secret_text.given(text):
            mask.learn(name, value)
        for secret in secret_text.bare(text):
            mask.add(secret)
    lines = unified_diff(
        old.splitlines(), new.splitlines(), f"{path} as it was written", f"{path} now", lineterm="", n=1
    )
    return mask.hide("\n".join(lines))
