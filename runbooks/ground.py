"""What a host would spoil a run with, as the program `ground.sh` finds it out: one call, which goes ahead of another exchange."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import field

from inventory.backups import Backup
from inventory.errors import HostFailed
from inventory.link import Call, Reply
from inventory.replies import count
from inventory.values import frozen
from runbooks.programs import path_line, program

_ROOM = re.compile(r"room (state|project|tmp) ([0-9]{1,18}|-) ([0-9]{1,18}|-)")
_FAIL = "see that sh, coreutils or busybox work there"


@frozen
class Room:
    """Free KiB and inodes of a file system; None: it does not say, as one without a limit of inodes."""

    kib: int | None = None
    inodes: int | None = None


@frozen
class Ground:
    """What a host answered.

    `skew_s`: seconds that its clock is ahead. `rooms`: of its state, the project and temporary files. `uid` and `gids`
    are of who works there. `memory_kib`: available to new processes. `backups`: when the newest file of each pattern was
    written, UTC seconds by the host's clock, 0 for none; `clock` is that clock.
    """

    skew_s: float = 0.0
    rooms: dict[str, Room] = field(default_factory=dict)
    uid: int = 0
    gids: tuple[int, ...] = ()
    memory_kib: int | None = None
    missing: tuple[str, ...] = ()
    tracked: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    deploys: tuple[str, ...] = ()
    backups: dict[str, int] = field(default_factory=dict)
    clock: int = 0


def call(
    project: str, state: str, files: Iterable[str], backups: Iterable[Backup], *, become: bool, root: str = ""
) -> Call:
    """The question. `files` are what would be written. Raises InputError for what cannot stand in a line."""
    data = [f"file {path_line(path)}" for path in files] + [f"backup {path_line(each.path)}" for each in backups]
    return Call(program("ground"), (project, state, root), "".join(data).encode("utf-8", "surrogateescape"), become)


def read(reply: Reply, host: str) -> Ground:
    """The answer. Raises HostFailed for one that is none, or was cut off."""
    lines = reply.out.decode("utf-8", "replace").splitlines()
    if reply.exit != 0 or not lines or lines[-1] != "end":
        raise HostFailed("what would spoil a run there cannot be found out", host=host, mend=_FAIL)
    found: dict[str, list[str]] = {}
    for line in lines[:-1]:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest)
    clock = count((found.get("clock") or [""])[0])
    user = [count(word) for word in (found.get("user") or [""])[0].split()]
    if clock is None or not user or None in user:
        raise HostFailed("its clock or its user cannot be read", host=host, mend=_FAIL)
    ids = [each for each in user if each is not None]
    rooms = {match[1]: Room(count(match[2]), count(match[3])) for line in lines if (match := _ROOM.fullmatch(line))}
    backups = {}
    for line in found.get("backup", ()):
        at, _, pattern = line.partition(" ")
        backups[pattern] = count(at) or 0
    return Ground(
        skew_s=clock - time.time(),
        rooms=rooms,
        uid=ids[0],
        gids=tuple(ids[1:]),
        memory_kib=count((found.get("memory") or [""])[0]),
        missing=tuple(found.get("missing", ())),
        tracked=tuple(found.get("tracked", ())),
        edited=tuple(found.get("edited", ())),
        deploys=tuple(found.get("deploy", ())),
        backups=backups,
        clock=clock,
    )
