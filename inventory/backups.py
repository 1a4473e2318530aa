"""`backups` of an inventory: where backups of what holds data lie, and how old the newest may be before a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inventory.durations import duration
from inventory.errors import InputError
from inventory.values import frozen

KEYS = ("path", "within")


@frozen
class Backup:
    """Files on the host, as a shell's pattern; the newest must not be older than `within_s` seconds."""

    path: str
    within_s: float


def parse(value: Any, path: str = "", line: int | None = None) -> tuple[Backup, ...]:
    """The `backups` of a host's variables. Raises InputError with path, line and key."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise InputError(
            "must be a list",
            path=path,
            line=line,
            key="backups",
            mend="write - path: /var/backups/shop/*.dump and within: 26h",
        )
    return tuple(_one(each, f"backups.{number}", path, line) for number, each in enumerate(value, 1))


def _one(value: Any, key: str, where: str, line: int | None) -> Backup:
    if not isinstance(value, Mapping):
        raise InputError("must be a mapping", path=where, line=line, key=key, mend="write path: and within: below it")
    for name in value:
        if name not in KEYS:
            raise InputError("unknown key", path=where, line=line, key=f"{key}.{name}", mend=f"keys: {', '.join(KEYS)}")
    for name in KEYS:
        if name not in value:
            raise InputError(f"needs {name}", path=where, line=line, key=key, mend=f"add {name}:")
    path = str(value["path"])
    if not path.startswith("/") or any(char in path for char in "\n\r\0"):
        raise InputError(
            f"{path!r} is no absolute path",
            path=where,
            line=line,
            key=f"{key}.path",
            mend="write the whole path, with * if need be",
        )
    return Backup(path, duration(value["within"], where, line, f"{key}.within"))
