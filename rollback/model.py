"""Transactions, snapshots and the answers of `host.sh`: the values of writing to a host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field

from inventory.values import frozen


@frozen
class FileState:
    """A file as it is on a host. `sha256` is None when it is absent; `mode` is its permission bits.

    `link` is empty for a file, else the digest of what the symbolic link at its path says: a link that was put in a
    file's place, or that leads elsewhere now, is drift even where the bytes are the same.
    """

    path: str
    sha256: str | None
    mode: int = 0o644
    uid: int | None = None
    gid: int | None = None
    link: str = ""


@frozen
class FileWrite:
    """One file of a transaction: what it must be now, and its bytes afterwards (None: it is removed).

    `mode`, `uid`, `gid` of None keep what is there; a created file gets 0644 and the project folder's owner.
    """

    before: FileState
    data: bytes | None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@frozen
class Transaction:
    """All the files of one change on one host, written together or not at all.

    `reads` are files that the plan was made from and that are not written: they too must still have their bytes.
    `images` maps a service to the image id that runs, kept in the snapshot.
    """

    id: str
    run: str
    step: str
    project_dir: str
    writes: tuple[FileWrite, ...]
    reads: tuple[FileState, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    note: Mapping[str, str] = field(default_factory=dict)


@frozen
class Snapshot:
    """Every file before a transaction, which were absent, and the images that ran."""

    id: str
    run: str
    step: str
    at: str
    project_dir: str
    before: tuple[FileState, ...]
    after: tuple[FileState, ...]
    images: Mapping[str, str] = field(default_factory=dict)
    note: Mapping[str, str] = field(default_factory=dict)


@frozen
class Event:
    """One line of a host's journal. `hash` covers the line and the hash of the one before."""

    at: str
    kind: str
    run: str
    data: Mapping[str, object]
    previous: str
    hash: str


@frozen
class Owner:
    """Who holds a host's lock: `who` is user@machine of the controller, times are RFC 3339 on the host's clock.

    `silent_s`: seconds since it gave its last sign, by that clock.
    """

    run: str
    who: str
    since: str
    renewed: str
    stale: bool
    silent_s: int = field(default=0, compare=False)


def sha256(data: bytes | None) -> str | None:
    """The digest that names an object; None for a file that is absent."""
    return None if data is None else hashlib.sha256(data).hexdigest()
