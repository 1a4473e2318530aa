"""The programs that a survey runs on a host, and the records that they answer in.

Each is one constant POSIX sh text beside this file, run by `sh -c`, with its data as arguments and on standard input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from inventory.errors import HostFailed, InputError
from inventory.values import frozen
from rollback.model import FileState

_PART = re.compile(rb"part ([A-Za-z0-9_.-]{1,200}) ([0-9]{1,3}) ([0-9]{1,12})\n")
_FILE = re.compile(
    rb"file (\w{1,20}) ([0-7]{1,5}) ([0-9]{1,10}) ([0-9]{1,10}) (-|[0-9a-f]{64}) ([0-9]{1,12}) ([^\n]*)\n"
)
_WRONG = {
    "outside": ("is a link that leads out of the project's folder", "put the file itself there, or name its real path"),
    "unreadable": ("may not be read", "let this user read it, or set ansible_become: true"),
    "special": ("is not a regular file", "name a file"),
    "large": ("is larger than 2 MiB, which no file of a Compose project should be", "name another file"),
}


@cache
def program(name: str) -> str:
    """The text of one of the programs beside this file, by its name without `.sh`."""
    return (Path(__file__).parent / f"{name}.sh").read_text()


@frozen
class Part:
    """How one command of a program ended, and what it said."""

    exit: int
    out: bytes
    err: bytes = b""

    @property
    def complaint(self) -> str:
        """The last line of what it said about a failure."""
        lines = (self.err or self.out).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else f"exit {self.exit}"


@dataclass
class Answers:
    """What a program answered: its parts by name, the states and bytes of files, and the files that are absent."""

    parts: dict[str, Part] = field(default_factory=dict)
    states: dict[str, FileState] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)


def answers(data: bytes, host: str) -> Answers:
    """Reads a program's records. Raises HostFailed when they are cut off, InputError for a file that cannot be used."""
    found = Answers()
    at = 0
    while at < len(data):
        if match := _PART.match(data, at):
            name, at = match[1].decode(), match.end() + int(match[3]) + 1
            body = data[match.end() : at - 1]
            if name.endswith(".err") and name[:-4] in found.parts:
                before = found.parts[name[:-4]]
                found.parts[name[:-4]] = Part(before.exit, before.out, body)
            else:
                found.parts[name] = Part(int(match[2]), body)
        elif match := _FILE.match(data, at):
            at = match.end() + int(match[6]) + 1
            _take_file(found, match, data[match.end() : at - 1], host)
        else:
            at = len(data) + 1
        # Each record ends with a line break, so of a file that shrank while it was read nothing is taken for its end.
        if data[at - 1 : at] != b"\n":
            raise HostFailed("its answer was cut off or cannot be understood", host=host, mend="try again")
    return found


def _take_file(found: Answers, match: re.Match[bytes], data: bytes, host: str) -> None:
    status, mode, uid, gid = match[1].decode(), int(match[2], 8), int(match[3]), int(match[4])
    link, path = match[5].decode().strip("-"), match[7].decode("utf-8", "surrogateescape")
    if status == "absent":
        found.absent.add(path)
        found.states[path] = FileState(path, None)
        return
    if status != "ok":
        what, mend = _WRONG.get(status, ("cannot be read", "see that file"))
        raise InputError(what, mend=mend, path=path, host=host)
    found.files[path] = data
    found.states[path] = FileState(path, sha256(data).hexdigest(), mode, uid, gid, link)


def path_line(path: str) -> str:
    """A path as a line of a program's data. Raises InputError for one that cannot stand in a line."""
    if any(char in path for char in "\n\r\0"):
        raise InputError(f"{path!r} has a line break or NUL in it", mend="rename the file")
    return f"{path}\n"
