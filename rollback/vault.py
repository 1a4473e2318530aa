"""The controller's copies of snapshots, for a host that lost its own: folders 0700, files 0600, bytes by their digest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from threading import get_ident

from inventory.errors import Refused
from rollback import records
from rollback.model import Snapshot


def folder() -> Path:
    """Where the vault is: below RUNBOOK_STATE, else below the user's state folder."""
    named = os.environ.get("RUNBOOK_STATE")
    base = (
        Path(named)
        if named
        else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "compose-runbook"
    )
    return base / "vault"


def save(host: str, project: str, snapshot: Snapshot, contents: Sequence[bytes | None]) -> None:
    """Keeps a snapshot and the bytes of its files (None: the file was absent)."""
    base = _made(_place(host, project))
    for data in contents:
        if data is not None:
            _write(_made(base / "objects") / sha256(data).hexdigest(), data)
    _write(
        _made(base / "snapshots") / f"{records.word(snapshot.id, 'snapshot')}.json",
        json.dumps(records.to_json(snapshot)).encode(),
    )


def load(host: str, project: str, snapshot: str) -> tuple[Snapshot, dict[str, bytes]]:
    """A snapshot and its bytes by path. Raises Refused when a copy is missing or damaged."""
    base = _place(host, project)
    try:
        found = records.from_json(
            json.loads((base / "snapshots" / f"{records.word(snapshot, 'snapshot')}.json").read_bytes())
        )
        data = {state.path: (base / "objects" / state.sha256).read_bytes() for state in found.before if state.sha256}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise Refused(f"the vault has no whole copy of {snapshot}", host=host) from None
    for state in found.before:
        if state.sha256 and sha256(data[state.path]).hexdigest() != state.sha256:
            raise Refused(f"the vault's copy of {state.path} is damaged", host=host)
    return found, data


def of_run(host: str, project: str, run: str) -> list[tuple[Snapshot, dict[str, bytes]]]:
    """What is kept of a run on a host, the newest first. Raises Refused when a copy is damaged."""
    found = [load(host, project, path.stem) for path in (_place(host, project) / "snapshots").glob("[!.]*.json")]
    return sorted(
        (each for each in found if each[0].run == run), key=lambda each: (each[0].at, each[0].id), reverse=True
    )


def _place(host: str, project: str) -> Path:
    return folder() / re.sub(r"[^A-Za-z0-9._-]", "_", host) / re.sub(r"[^A-Za-z0-9._-]", "_", project)


def _made(path: Path) -> Path:
    if path.is_dir():
        return path
    for each in (*reversed(path.parents), path):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)
    return path


def _write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    if path.exists() and path.read_bytes() == data:
        return
    # Two runs of one program write the same object at the same moment.
    draft = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}")
    draft.touch(mode=0o600)
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
