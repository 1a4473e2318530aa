"""Undos that were cut off: the files of a host are back, byte for byte, and its services perhaps not.

An undo ends with a gate over the old stack, whose passing stands in the host's journal. One whose controller or link was
lost before that (or whose services did not get healthy) is carried to its end by the next `rollback`.
"""

from __future__ import annotations

from collections.abc import Sequence

from inventory.errors import RunbookError
from rollback.commit import HostWriter
from rollback.model import Snapshot
from runbooks.hostrun import HostRun


def undone(writer: HostWriter, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Which of a host's snapshots (the oldest first) are undone by an undo that was cut off, the oldest first.

    None where a run wrote something since: it began with a stack that was well. A journal that cannot be read says nothing
    of it: that must not hinder a rollback, and `history --verify` shows it.
    """
    if not snapshots or "undoes" not in snapshots[-1].note:
        return []
    try:
        events = writer.journal()
    except RunbookError:
        return []
    by_id = {snapshot.id: snapshot for snapshot in snapshots}
    found = set()
    for event in reversed(events):
        if event.kind == "gate" and event.data.get("after") == "undo" and event.data.get("outcome") == "pass":
            break
        if event.kind == "commit":
            if "undoes" not in event.data:
                break
            found.add(event.data["undoes"])
    return [snapshot for name, snapshot in by_id.items() if name in found]


def ended(host: HostRun, steps: Sequence[str]) -> None:
    """Puts into a host's journal that an undo's gate passed; it goes along with the next call."""
    try:
        host.writer.note("gate", {"steps": list(steps), "outcome": "pass", "after": "undo"}, wait=False)
    except RunbookError:
        return
