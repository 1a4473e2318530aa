"""Hooks: commands that an inventory wants run before and after each batch, on its hosts or on the controller. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from inventory.durations import duration
from inventory.entries import chosen, fields
from inventory.errors import InputError
from inventory.secrets import Mask, resolve
from inventory.values import frozen

WHEN = ("before", "after")
SOURCES = ("from_env", "from_command")
KEYS = ("name", "run", "where", "timeout", "on_failure", "env")
TIMEOUT_S = 60.0
LONGEST_S = 3600.0
"""An hour: all that time the batch's hosts are locked."""


@frozen
class Hook:
    """One command, POSIX sh text. `stops`: its failure ends the run (before a batch: with nothing written there).

    `env` are variables beside those that say which batch it is (see `runbooks.hooks`), sources of secrets unresolved.
    """

    when: str
    name: str
    command: str = field(repr=False)
    where: str = "host"
    timeout_s: float = TIMEOUT_S
    stops: bool = True
    env: tuple[tuple[str, Any], ...] = field(default=(), repr=False, hash=False)

    def told(self) -> str:
        """The hook as a plan shows it."""
        effect = "else the run stops" if self.stops else "else the run goes on"
        return f"{self.when} a batch, on the {self.where}: {self.name} (in {self.timeout_s:g} s, {effect})"

    def resolved(self, mask: Mask) -> dict[str, str]:
        """Its variables with secrets from their sources, which the mask learns. Raises InputError."""
        return {
            name: resolve(value, mask, key=f"hooks.{self.when}.{self.name}.env.{name}")
            if isinstance(value, Mapping)
            else str(value)
            for name, value in self.env
        }


def parse(given: Mapping[str, Any], path: str = "", line: int | None = None) -> tuple[Hook, ...]:
    """The variable `hooks`: lists of commands under `before` and `after`. Raises InputError, with "did you mean"."""
    found = []
    for when, entries in fields(given, WHEN, (), "hooks", path, line).items():
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
            found.append(_hook(when, entry, f"hooks.{when}.{number}", path, line))
    names = [(hook.when, hook.name) for hook in found]
    for when, name in names:
        if names.count((when, name)) > 1:
            raise InputError(f"{name!r} stands twice", path=path, line=line, key=f"hooks.{when}",
                             mend="give each a name: of its own")  # fmt: skip
    return tuple(found)


def _hook(when: str, entry: Any, key: str, path: str, line: int | None) -> Hook:
    own = fields({"run": entry} if isinstance(entry, str) else entry, KEYS, ("run",), key, path, line)
    command = own["run"]
    if not isinstance(command, str) or not command.strip() or "\0" in command:
        raise InputError("is no command", path=path, line=line, key=f"{key}.run", mend="write a line for sh")
    limit = duration(own.get("timeout", TIMEOUT_S), path, line, f"{key}.timeout")
    if not 0 < limit <= LONGEST_S:
        raise InputError("is no time limit", path=path, line=line, key=f"{key}.timeout",
                         mend=f"write 1s to {LONGEST_S:g}s")  # fmt: skip
    env = fields(own.get("env", {}), list(own.get("env", {})) or [""], (), f"{key}.env", path, line)
    for name, value in env.items():
        if not name.isidentifier() or not name.isascii() or name.startswith("RUNBOOK_"):
            raise InputError("is no variable's name", path=path, line=line, key=f"{key}.env.{name}",
                             mend="write letters, digits and _, not RUNBOOK_...")  # fmt: skip
        if isinstance(value, Mapping) and len(fields(value, SOURCES, (), f"{key}.env.{name}", path, line)) != 1:
            raise InputError("is not a secret's source", path=path, line=line, key=f"{key}.env.{name}",
                             mend="write {from_env: NAME} or {from_command: COMMAND}")  # fmt: skip
        if isinstance(value, list):
            raise InputError("is a list", path=path, line=line, key=f"{key}.env.{name}", mend="write one text")
    return Hook(
        when=when,
        name=" ".join(str(own.get("name", command.split()[0])).split())[:60],
        command=command,
        where=chosen(own.get("where", "host"), ("host", "controller"), f"{key}.where", path, line),
        timeout_s=limit,
        stops=chosen(own.get("on_failure", "stop"), ("stop", "go_on"), f"{key}.on_failure", path, line) == "stop",
        env=tuple((name, value) for name, value in env.items()),
    )
