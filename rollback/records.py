"""How transactions and snapshots are written down: the lines and JSON that `host.sh` reads and gives. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from inventory.errors import HostFailed, InputError
from rollback.model import FileState, Owner, Snapshot, Transaction

_WORD = re.compile(r"[A-Za-z0-9._@:+-]+\Z")
_STATE = re.compile(
    rb"(absent|[0-9a-f]{64}) ([0-7]{1,4}) ([0-9]{1,10}) ([0-9]{1,10}) (-|[0-9a-f]{64}) ([0-9]{1,12}) ([^\n]*)\n"
)


def run_of(holder: str) -> str:
    """The run that a lock or a line of the journal is of; a holder's own word comes after a dot, which no run's id has."""
    return holder.partition(".")[0]


def word(text: str, what: str) -> str:
    """`text` if it can stand in a line of the journal as it is. Raises InputError for any other."""
    if not _WORD.match(text) or text.startswith("."):
        raise InputError(f"{text!r} cannot be a {what}", mend="use letters, digits, dots, dashes and underscores")
    return text


def path(text: str) -> str:
    """`text` if it can stand in a line. Raises InputError for a line break or NUL, and for what no file can be called."""
    if any(char in text for char in "\n\r\0"):
        raise InputError(f"{text!r} has a line break or NUL in it", mend="rename the file")
    if text.endswith(" "):  # a shell drops it when it reads the line
        raise InputError(f"{text!r} ends with a blank", mend="rename the file")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(f"{text!r} has half a character in it", mend="rename the file") from None
    return text


def line(state: FileState) -> str:
    """A file's state as five words."""
    if state.sha256 is None:
        return f"absent 0 0 0 {state.link or '-'}"
    return f"{state.sha256} {state.mode:o} {state.uid} {state.gid} {state.link or '-'}"


def packed(header: Sequence[str], blobs: bytes = b"") -> bytes:
    """What goes to standard input: the header's byte count, the header, the bytes it points to."""
    text = "".join(f"{entry}\n" for entry in header).encode("utf-8", "surrogateescape")
    return f"{len(text)}\n".encode() + text + blobs


def lines(text: str) -> dict[str, str]:
    """`name value` lines as a mapping. The hash of a journal's `last` line is its `head`."""
    found = {name: value for name, _, value in (entry.partition(" ") for entry in text.split("\n"))}
    if last := found.pop("last", ""):
        found["head"] = sha256(f"{last}\n".encode()).hexdigest()
    return found


def files(out: bytes, host: str) -> dict[str, tuple[FileState, bytes | None]]:
    """The answer of `read`. Raises HostFailed when it is not one."""
    found: dict[str, tuple[FileState, bytes | None]] = {}
    at = 0
    while at < len(out):
        match = _STATE.match(out, at)
        if not match:
            raise HostFailed("its answer to a read cannot be understood", host=host)
        digest, mode, uid, gid, said, size, name = match.groups()
        where, at = name.decode("utf-8", "surrogateescape"), match.end()
        link = "" if said == b"-" else said.decode()
        if digest == b"absent":
            found[where] = FileState(where, None, 0, 0, 0, link), None
            continue
        data = out[at : at + int(size)]
        at += int(size)
        if sha256(data).hexdigest() != digest.decode():
            raise HostFailed(f"{where} did not arrive whole", host=host, mend="repeat")
        found[where] = FileState(where, digest.decode(), int(mode, 8), int(uid), int(gid), link), data
    return found


def snapshot_of(transaction: Transaction) -> Snapshot:
    """What a transaction will leave behind: every file before and after."""
    before, after = [], []
    for write in transaction.writes:
        old = write.before
        before.append(old if old.sha256 else FileState(old.path, None, 0, 0, 0))
        if write.data is None:
            after.append(FileState(old.path, None, 0, 0, 0))
            continue
        mode = write.mode if write.mode is not None else old.mode if old.sha256 else 0o644
        uid, gid = (write.uid if write.uid is not None else old.uid), (write.gid if write.gid is not None else old.gid)
        if uid is None or gid is None:
            raise InputError("a created file needs an owner", path=old.path)
        after.append(FileState(old.path, sha256(write.data).hexdigest(), mode, uid, gid, old.link))
    return Snapshot(
        id=transaction.id, run=transaction.run, step=transaction.step, at=now(),
        project_dir=transaction.project_dir, before=tuple(before), after=tuple(after), images=transaction.images,
        note=transaction.note,
    )  # fmt: skip


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as it stands in `snapshots/<id>.json`."""

    def states(values: Sequence[FileState]) -> list[dict[str, Any]]:
        return [asdict(state) for state in values]

    return {
        "id": snapshot.id, "run": snapshot.run, "step": snapshot.step, "at": snapshot.at,
        "project_dir": snapshot.project_dir, "before": states(snapshot.before), "after": states(snapshot.after),
        "images": dict(snapshot.images), "note": dict(snapshot.note),
    }  # fmt: skip


def from_json(found: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a `snapshots/<id>.json`. Raises KeyError, TypeError or ValueError for any other document."""

    def states(values: Sequence[Mapping[str, Any]]) -> tuple[FileState, ...]:
        return tuple(
            FileState(str(s["path"]), s["sha256"], int(s["mode"]), int(s["uid"]), int(s["gid"]), str(s.get("link", "")))
            for s in values
        )

    return Snapshot(
        id=word(str(found["id"]), "snapshot"), run=str(found["run"]), step=str(found["step"]), at=str(found["at"]),
        project_dir=str(found["project_dir"]), before=states(found["before"]), after=states(found["after"]),
        images=dict(found["images"]), note=dict(found["note"]),
    )  # fmt: skip


def snapshots(text: str, host: str) -> tuple[Snapshot, ...]:
    """The snapshots in an answer, oldest first. Raises HostFailed for a damaged one."""
    found = []
    for entry in text.splitlines():
        if entry.strip():
            try:
                found.append(from_json(json.loads(entry)))
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError, InputError):
                raise HostFailed(
                    "a snapshot's description is damaged", host=host, mend="see its state folder"
                ) from None
    return tuple(sorted(found, key=lambda snapshot: (snapshot.at, snapshot.id)))


def now() -> str:
    """The time as snapshots carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def utc(seconds: str) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="seconds")


def describe(owner: Owner) -> str:
    """Who holds a lock, in one line."""
    stale = ", and gave no sign since " + owner.renewed if owner.stale else ""
    return f"{owner.who} holds the lock since {owner.since} (run {owner.run}){stale}"


def advice(owner: Owner) -> str:
    """What to do about a lock."""
    if owner.stale:
        return "if that run is over, ./inv unlock --env E says what it left and breaks the lock"
    return "wait for that run to end"
