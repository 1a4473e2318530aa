"""Compose commands as values: built here, tested as lists, run elsewhere."""

from __future__ import annotations

from inventory.errors import InputError
from inventory.model import Project
from inventory.values import frozen


@frozen
class Compose:
    """How Compose is called for one project. Paths are absolute; empty `files` or `env_files` leave Compose's defaults."""

    directory: str
    name: str
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()

    def argv(self, *words: str) -> tuple[str, ...]:
        """The command line of `docker compose WORDS` for this project."""
        options = ["-p", self.name, "--project-directory", self.directory]
        for flag, values in (("-f", self.files), ("--env-file", self.env_files), ("--profile", self.profiles)):
            for value in values:
                options += [flag, value]
        return ("docker", "compose", "--ansi", "never", "--progress", "plain", *options, *words)


def absolute(project: Project, path: str) -> str:
    """A path of a project, absolute on the host. Raises InputError for one that holds a line break or NUL."""
    if any(char in path for char in "\n\r\0"):
        raise InputError(f"{path!r} has a line break or NUL in it", key="path", mend="rename the file")
    return path if path.startswith("/") else f"{project.directory.rstrip('/')}/{path.removeprefix('./')}"
