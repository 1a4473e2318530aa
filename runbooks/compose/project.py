"""Reads a Compose project from the bytes of its files: `wanted` says which files those are, `load` makes the Stack.

What the loader has no business with stays as plain data: Compose itself decides about it. What it reads (services,
edges, health checks, environments ...) must have the right types, or an InputError names file, line, key and the mend.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from inventory.errors import InputError
from runbooks.compose.assemble import Assembly, Reader, assemble, at
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.compose.nodes import Document
from runbooks.compose.services import services
from runbooks.compose.tree import plain
from runbooks.compose.variables import EnvFiles

_NAMES_FILES = (b"extends", b"include", b"env_file")


def wanted(spec: ProjectSpec, files: Mapping[str, bytes], absent: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The absolute paths that must still be read, optional ones too; empty when `load` has all that it needs.

    `absent` are paths that were asked for and are not there. Never raises: what is wrong with a file, `load` says.
    """
    first = [at(spec.directory, path) for path in (*spec.compose_files, *spec.env_files)]
    missing = [path for path in first if path not in files and path not in absent]
    if missing:
        return tuple(dict.fromkeys(missing))
    if not any(word in data for data in files.values() for word in _NAMES_FILES):
        return ()
    reader = Reader(files, absent, {}, exploring=True)
    try:
        assembly = assemble(spec, reader)
        services(assembly, EnvFiles(reader, assembly), {})
    except InputError:
        pass
    return tuple(reader.missing)


def load(spec: ProjectSpec, files: Mapping[str, bytes], absent: frozenset[str] = frozenset()) -> Stack:
    """A project as Compose would read it. `files` maps absolute paths to bytes.

    Raises InputError for what cannot be read, or what Compose would refuse while reading it.
    """
    return read(spec, files, absent, {})


def read(spec: ProjectSpec, files: Mapping[str, bytes], absent: frozenset[str], known: Mapping[str, Document]) -> Stack:
    """`load`, with the documents of an earlier reading, which are taken as they are where the bytes are the same."""
    reader = Reader(files, absent, known, exploring=False)
    assembly = assemble(spec, reader)
    if assembly.root is None:
        raise InputError("is empty", mend="write services: into it", path=at(spec.directory, spec.compose_files[0]))
    values: dict[int, Any] = {}
    found = services(assembly, EnvFiles(reader, assembly), values)
    used = {path: data for path, data in files.items() if path in reader.used}
    assembly.files = used
    return Stack(
        spec=spec,
        files=used,
        services=found,
        value=plain(assembly.root, values),
        warnings=tuple(dict.fromkeys(assembly.scope.unset)),
        tree=assembly,
    )


def tree(stack: Stack) -> Assembly:
    """What a stack was read from; read again where the stack was made in another way."""
    if isinstance(stack.tree, Assembly) and stack.tree.files is stack.files:
        return stack.tree
    made = load(stack.spec, stack.files).tree
    if not isinstance(made, Assembly):
        raise TypeError("load makes an Assembly")
    return made


def shown(spec: ProjectSpec, path: str) -> str:
    """A path as people write it: relative to the project's folder where it is inside."""
    inside = path.startswith(spec.directory.rstrip("/") + "/")
    return posixpath.relpath(path, spec.directory) if inside else path
