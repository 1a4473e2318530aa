"""What a disk may hold after a power cut: a run's file operations, and every state that they legally leave. Pure.

The rules are the weakest that file systems promise. What was written to a file, and its mode and owner, is sure after a sync
of that file; a name (made, moved, taken away) is sure after a sync of its folder; a sync of everything makes all sure. What
is not sure may be there or not, each for itself and in any order: names in every combination, bytes all, none, half of
them, or as many zeros. A single move is whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import PurePosixPath

Meta = tuple[int, int, int]
"""Mode, uid, gid."""
COMBINED = 9
"""Unsure names that are combined in every way; of more, each alone, all but each, and every beginning."""


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
