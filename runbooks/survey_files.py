"""Finds and reads Compose files: which of a folder Compose would choose, and a stack from local ones, without a host."""

from __future__ import annotations

import posixpath
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from inventory import text
from inventory.errors import InputError
from runbooks.compose import environment, project
from runbooks.compose.model import ProjectSpec, Stack

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = ("compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml")  # fmt: skip
"""Names that Compose looks for, in its order; of each kind the first that is there counts."""
ROUNDS = 12
"""How deep files may name further files; Compose itself has no bound."""


def default_files(directory: str, files: Mapping[str, bytes], host: str = "") -> tuple[str, ...]:
    """The Compose files of a folder, absolute, in the order in which Compose itself would choose and merge them.

    `files` holds what is there, `.env` too (its COMPOSE_FILE wins). Raises InputError when there is none.
    """
    bound: dict[str, environment.Bound] = {}
    env = f"{directory}/.env"
    if env in files:
        environment.read(files[env], env, {}, bound)
    if "COMPOSE_FILE" in bound and bound["COMPOSE_FILE"].value:
        mark = bound["COMPOSE_PATH_SEPARATOR"].value if "COMPOSE_PATH_SEPARATOR" in bound else ":"
        names = [name for name in bound["COMPOSE_FILE"].value.split(mark or ":") if name]
        return tuple(posixpath.normpath(posixpath.join(directory, name)) for name in names)
    there = [next((f"{directory}/{name}" for name in kind if f"{directory}/{name}" in files), None)
             for kind in (COMPOSE_FILES, OVERRIDES)]  # fmt: skip
    if there[0] is None:
        raise InputError(
            f"there is no Compose file in {directory}",
            host=host,
            mend="name it with compose_files, or mend project_dir",
        )
    return tuple(path for path in there if path is not None)


def file_stack(
    paths: Sequence[str | Path],
    *,
    name: str | None = None,
    profiles: Sequence[str] = (),
    env_files: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Stack:
    """A stack from local Compose files in merge order (`-`: standard input; a folder: as Compose chooses there).

    `environment`: what the shell has set, which wins over `.env` as it does for Compose. Needs no SSH and no Docker.
    Raises InputError for what cannot be read.
    """
    files: dict[str, bytes] = {}
    chosen = [posixpath.normpath(str(Path.cwd() / path)) for path in paths]
    if str(paths[0]) == "-":
        files[chosen[0]] = sys.stdin.buffer.read(text.LIMIT + 1)
    absent: set[str] = set()
    folder = chosen[0]
    if len(chosen) == 1 and Path(folder).is_dir():
        names = [f"{folder}/{each}" for each in (*COMPOSE_FILES, *OVERRIDES, ".env")]
        _fetch(names, files, absent)
        chosen = list(default_files(folder, files))
        files = {path: data for path, data in files.items() if path in chosen or path.endswith("/.env")}
    else:
        folder = posixpath.dirname(chosen[0])
    spec = ProjectSpec(
        folder, name or project_name(posixpath.basename(folder)), tuple(chosen),
        tuple(env_files) or (".env",), tuple(profiles), environment=dict(environment or {}),
    )  # fmt: skip
    for _ in range(ROUNDS):
        missing = project.wanted(spec, files, frozenset(absent))
        if not missing:
            break
        _fetch(missing, files, absent)
    stack = project.load(spec, files, frozenset(absent))
    given = stack.value.get("name")
    if name is None and isinstance(given, str) and given != spec.name:
        stack = project.load(replace(spec, name=given), files, frozenset(absent))
    return stack


def _fetch(paths: Iterable[str], files: dict[str, bytes], absent: set[str]) -> None:
    for path in paths:
        try:
            # A Compose file may name anything, and a device or a pipe has no end.
            if not stat.S_ISREG(Path(path).stat().st_mode) and not Path(path).is_dir():
                raise InputError("is not a regular file", path=path, mend="name a file")
            files[path] = text.read(Path(path))
        except FileNotFoundError:
            absent.add(path)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path, mend="name a readable file") from None


def project_name(folder: str) -> str:
    """The name that Compose gives a project after its folder."""
    return re.sub(r"[^a-z0-9_-]", "", folder.lower()).lstrip("_-") or "default"
