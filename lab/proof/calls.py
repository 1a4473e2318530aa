"""Reads a recording of system calls, as strace writes it, into the file operations that they made. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from lab.proof.disk import Entry, Op, Recording, Tree

CALLS = (
    "openat", "open", "creat", "write", "copy_file_range", "ftruncate", "rename", "renameat", "renameat2", "unlink", "unlinkat",
    "rmdir", "mkdir", "mkdirat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "fsync",
    "fdatasync", "sync", "chdir", "pwrite64", "writev", "sendfile", "link", "linkat",
)  # fmt: skip
"""The system calls that are recorded; the last five are not understood, and must not be made."""
UNKNOWN = CALLS[-5:]
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_HALF = re.compile(r"(\d+) +(.*?) *<unfinished \.\.\.>")
_REST = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_BYTE = re.compile(r"\\x([0-9a-f]{2})")
_HERE = re.compile(r"AT_FDCWD<([^>]*)>")
_AT = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")


def record(text: str, before: Tree, root: str, umask: int = 0o077) -> Recording:
    """Reads what `strace -f -y -xx` wrote of a run over `before`. Raises ValueError for a call that is not understood."""
    names = {path: number for number, path in enumerate(before, 1)}
    made = Recording({names[path]: entry for path, entry in before.items()}, dict(names), [], dict(names), root)
    cwd: dict[str, str] = {}
    halves: dict[str, str] = {}
    for line in text.splitlines():
        if half := _HALF.fullmatch(line):
            halves[half[1]] = line[: half.end(2)]
            continue
        if (rest := _REST.fullmatch(line)) and rest[1] in halves:
            line = halves.pop(rest[1]) + rest[2]
        match = _CALL.match(line)
        if match and int(match[4]) >= 0:
            _take(made, match[1], match[2], _words(match[3]), cwd, umask)
    return made


def _take(made: Recording, pid: str, call: str, words: list[str], cwd: dict[str, str], umask: int) -> None:
    """Adds one call to a recording, where it is about something below its root."""
    if call == "chdir":
        cwd[pid] = _path(cwd.get(pid, "/"), words[0])
        return
    if call == "sync":
        made.ops.append(Op(synced="*"))
        return
    if words and (match := _HERE.match(words[0])):
        cwd[pid] = _text(match[1])  # of a child that inherited it, too: every program opens its libraries first
    paths = _named(call, words, cwd.get(pid, "/"))
    if not any(f"{path}/".startswith(f"{made.root}/") for path in paths):
        return
    if call in UNKNOWN:
        raise ValueError(f"{call} is not understood: {paths}")
    now = {number: made.nodes[number] for number in made.nodes}
    for op in made.ops:
        if op.content is not None:
            now[op.node] = replace(now[op.node], data=op.content)
        if op.meta is not None:
            now[op.node] = replace(now[op.node], meta=op.meta)
    for op in _ops(made, call, words, paths, now, umask):
        made.ops.append(op)
        for name, node in op.names:
            if node is None:
                made.names.pop(name, None)
            else:
                made.names[name] = node


def _ops(
    made: Recording, call: str, words: list[str], paths: list[str], now: Mapping[int, Entry], umask: int
) -> Iterator[Op]:
    path, names, owner = paths[0], made.names, made.nodes[made.first[made.root]].meta[1:]
    node = names.get(path, 0)
    folder = str(PurePosixPath(path).parent)
    if call in ("openat", "open", "creat"):
        flags = next((word for word in words if word.startswith("O_")), "O_CREAT|O_TRUNC")
        if "O_CREAT" in flags and not node:
            mode = int(words[-1], 8) & ~umask
            yield Op(((path, _new(made, Entry("file", b"", (mode, *owner)))),), folder)
        elif "O_TRUNC" in flags and node:
            yield Op(node=node, content=b"")
    elif call == "write":
        yield Op(node=node, content=now[node].data + _bytes(words[1])[: int(words[2])])
    elif call == "copy_file_range":
        source = now[names[paths[0]]].data
        target = names[paths[1]]
        if not now[target].data:
            yield Op(node=target, content=source)
    elif call == "ftruncate":
        yield Op(node=node, content=now[node].data[: int(words[1])], cuts=True)
    elif call.startswith("rename"):
        yield Op(((paths[1], names[path]), (path, None)), str(PurePosixPath(paths[1]).parent))
    elif call in ("unlink", "unlinkat", "rmdir"):
        yield Op(((path, None),), folder)
    elif call.startswith("mkdir"):
        yield Op(((path, _new(made, Entry("folder", b"", (int(words[-1], 8) & ~umask, *owner)))),), folder)
    elif call.startswith("symlink"):
        yield Op(((path, _new(made, Entry("link", _bytes(words[0]), (0o777, *owner)))),), folder)
    elif call in ("chmod", "fchmod", "fchmodat"):
        bits = next(word for word in words[1:] if re.fullmatch(r"0[0-7]*", word))
        yield Op(node=node, meta=(int(bits, 8), *now[node].meta[1:]))
    elif call in ("chown", "fchown", "fchownat"):
        uid, gid = [int(word) for word in words if re.fullmatch(r"\d+", word)][:2]
        yield Op(node=node, meta=(now[node].meta[0], uid, gid))
    elif call in ("fsync", "fdatasync"):
        if now[node].kind == "folder":
            yield Op(synced=path)  # the names in it; below, its own mode and owner
        yield Op(synced=node)


_COUNTS = {"renameat": 2, "renameat2": 2, "copy_file_range": 2}


def _new(made: Recording, entry: Entry) -> int:
    number = len(made.nodes) + 1
    made.nodes[number] = entry
    return number


def _named(call: str, words: list[str], cwd: str) -> list[str]:
    """The paths that a call is about."""
    if call in ("write", "ftruncate", "fchmod", "fchown", "fsync", "fdatasync", "pwrite64", "writev"):
        return [_text(match[1]) for match in [_AT.match(words[0])] if match]
    if call == "copy_file_range":
        return [_text(match[1]) for word in (words[0], words[2]) for match in [_AT.match(word)] if match]
    if call in ("symlink", "symlinkat"):
        words = words[1:]
    found: list[str] = []
    base = cwd
    for word in words:
        if match := _AT.match(word):
            base = _text(match[1])
        elif word.startswith('"') and len(found) < _COUNTS.get(call, 2 if call in ("rename", "link") else 1):
            found.append(_path(base, word))
    return found


def _path(base: str, word: str) -> str:
    """An argument as an absolute path, without a slash at its end."""
    return posixpath.normpath(PurePosixPath(base) / _text(word.strip('"')))


def _bytes(word: str) -> bytes:
    if not word.endswith('"'):
        raise ValueError("a call's data was cut off in the recording")
    return bytes(int(each, 16) for each in _BYTE.findall(word))


def _text(word: str) -> str:
    return bytes(int(each, 16) for each in _BYTE.findall(word)).decode("utf-8", "surrogateescape")


def _words(text: str) -> list[str]:
    """A call's arguments. Strings are written in hexadecimal, so that no comma is in one."""
    return [word.strip() for word in text.split(",")]
