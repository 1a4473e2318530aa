"""What a disk may hold after a power cut: a recorded run's file operations, and every state that they legally leave. Pure.

The rules are the weakest that file systems promise. What was written to a file, and its mode and owner, is sure after a sync
of that file; a name (made, moved, taken away) is sure after a sync of its folder; a sync of everything makes all sure. What
is not sure may be there or not, each for itself and in any order: names in every combination, bytes all, none, half of
them, or as many zeros. A single move is whole or not at all.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import PurePosixPath

Meta = tuple[int, int, int]
"""Mode, uid, gid."""
COMBINED = 9
"""Unsure names that are combined in every way; of more, each alone, all but each, and every beginning."""
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


@dataclass(frozen=True)
class Entry:
    """What stands under a name: `kind` is file, link or folder; `data` are its bytes, or what the link says."""

    kind: str
    data: bytes
    meta: Meta


Tree = Mapping[str, Entry]
"""Absolute path -> what stands there."""


@dataclass(frozen=True)
class Op:
    """One operation. `names`: what each name then stands for (None: nothing), durable once `folder` is synced; `content`,
    `meta`: a node's bytes or mode and owner then; `synced`: a node or folder that is sure from here on ("*": everything);
    `cuts`: the bytes are those of before up to a length, so that nothing but the length can be lost."""

    names: tuple[tuple[str, int | None], ...] = ()
    folder: str = ""
    node: int = 0
    content: bytes | None = None
    meta: Meta | None = None
    synced: int | str | None = None
    cuts: bool = False


@dataclass
class Recording:
    """A run as it went over a tree: nodes by number, and operations in order."""

    nodes: dict[int, Entry] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    root: str = "/"

    def tree(self) -> Tree:
        """What stands at the end where no power was cut."""
        return self.state(len(self.ops))

    def state(self, upto: int, lost: frozenset[int] = frozenset(), how: str = "all") -> Tree:
        """What stands after the first `upto` operations, without the unsure names in `lost`; `how` unsure bytes, modes and
        owners came through: all, none, half, zeros, or old (bytes but not modes and owners)."""
        names, sure, now = dict(self.first), dict(self.nodes), dict(self.nodes)
        written: set[int] = set()
        for number, op in enumerate(self.ops[:upto]):
            if number not in lost:
                names.update({name: node for name, node in op.names if node is not None})
                for name in [name for name, node in op.names if node is None]:
                    names.pop(name, None)
            if op.content is not None:
                now[op.node] = replace(now[op.node], data=op.content)
                if not op.cuts:
                    written.add(op.node)
            if op.meta is not None:
                now[op.node] = replace(now[op.node], meta=op.meta)
            if op.synced == "*":
                sure, written = dict(now), set()
            elif isinstance(op.synced, int):
                sure[op.synced] = now[op.synced]
                written.discard(op.synced)
        # Of what was only cut shorter the bytes that stay were never in doubt.
        ways = {node: how if node in written or how in ("none", "old") else "all" for node in now}
        found = {name: _came_through(sure[node], now[node], ways[node]) for name, node in names.items()}
        folders = {name for name, entry in found.items() if entry.kind == "folder"}
        return {name: entry for name, entry in found.items() if _reached(name, folders, self.root)}

    def unsure(self, upto: int) -> tuple[list[int], bool]:
        """The operations whose names are not sure, and whether any bytes, modes or owners are not, after `upto`."""
        names: list[int] = []
        nodes: set[int] = set()
        for number, op in enumerate(self.ops[:upto]):
            if op.names and "/tmp/" not in op.names[0][0].removeprefix(self.root):  # noqa: S108
                names.append(number)
            if op.content is not None or op.meta is not None:
                nodes.add(op.node)
            if op.synced == "*":
                names, nodes = [], set()
            elif isinstance(op.synced, int):
                nodes.discard(op.synced)
            elif op.synced is not None:
                names = [each for each in names if self.ops[each].folder != op.synced]
        return names, bool(nodes)

    def states(self) -> Iterator[tuple[int, Tree]]:
        """Every state that a power cut may leave, each once, with the number of operations that had been made."""
        seen = set()
        for upto in range(len(self.ops) + 1):
            names, bytes_too = self.unsure(upto)
            for lost in _choices(names):
                for how in ("all", "none", "half", "zeros", "old") if bytes_too else ("all",):
                    tree = self.state(upto, lost, how)
                    key = hash((frozenset(tree.items()), upto == len(self.ops)))
                    if key not in seen:
                        seen.add(key)
                        yield upto, tree


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


def _choices(names: Sequence[int]) -> Iterator[frozenset[int]]:
    """Which unsure names may be lost together."""
    if len(names) <= COMBINED:
        for count in range(len(names) + 1):
            yield from map(frozenset, combinations(names, count))
        return
    every = frozenset(names)
    yield from (frozenset(), every)
    for each in names:
        yield frozenset({each})
        yield every - {each}
    for count in range(1, len(names)):
        yield frozenset(names[count:])


def _came_through(sure: Entry, now: Entry, how: str) -> Entry:
    """What is found of a node of which not everything was sure."""
    if how == "all" or sure == now:
        return now
    if how == "none":
        return sure
    if how == "old":
        return replace(now, meta=sure.meta)
    kept = len(sure.data) if now.data.startswith(sure.data) else 0
    if how == "zeros":
        return replace(now, data=now.data[:kept] + b"\0" * (len(now.data) - kept))
    return replace(now, data=now.data[: kept + (len(now.data) - kept) // 2])


def _reached(name: str, folders: set[str], root: str) -> bool:
    """Whether all folders above a name are there."""
    parent = str(PurePosixPath(name).parent)
    return name == root or parent == root or (parent in folders and _reached(parent, folders, root))
