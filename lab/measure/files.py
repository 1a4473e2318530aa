"""Every file of a project, byte for byte, and how many bytes differ between two moments."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from inventory.errors import HostFailed
from inventory.link import Link
from lab.state import PROJECT_DIR


@dataclass(frozen=True)
class File:
    """A file's content, its mode, and user and group by their numbers."""

    data: bytes
    mode: int
    owner: tuple[int, int]


def read(link: Link) -> dict[str, File]:
    """All files of the project, by their paths. Raises HostFailed."""
    reply = link.run('exec tar -C "$1" -cf - .', PROJECT_DIR, timeout_s=60.0)
    if reply.exit != 0:
        raise HostFailed("its project cannot be read", host=link.host.name)
    with tarfile.open(fileobj=io.BytesIO(reply.out)) as packed:
        return {
            each.name: File(opened.read(), each.mode, (each.uid, each.gid))
            for each in packed.getmembers()
            if (opened := packed.extractfile(each))
        }


def bytes_different(before: Mapping[str, File], after: Mapping[str, File]) -> int:
    """How many bytes differ, place by place; those that one side alone has count too."""
    count = 0
    for path in before.keys() | after.keys():
        old, new = (side[path].data if path in side else b"" for side in (before, after))
        count += sum(a != b for a, b in zip(old, new, strict=False)) + abs(len(old) - len(new))
    return count


def changed(before: Mapping[str, File], after: Mapping[str, File]) -> list[str]:
    """The files that differ in anything: bytes, mode, owner, or that they are there."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
