"""The inventory's own variables: their types, what is wrong with a value, and "did you mean" for a near miss."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from inventory import backups, hooks, receivers, soaks, windows
from inventory.errors import InputError
from inventory.text import DEPTH

OWN: Mapping[str, tuple[str, str]] = {
    "project_dir": ("text", "the Compose project's folder on the host, absolute"),
    "project_name": ("text", "the project's name, where it is not the folder's"),
    "compose_files": ("list", "the Compose files in merge order"),
    "env_files": ("list", "the env files for interpolation, in order"),
    "profiles": ("list", "the profiles that are on"),
    "state_dir": ("text", "where snapshots and the journal live on the host"),
    "serial": ("any", "batch sizes of a run: 1, 25%, or a list of them"),
    "max_fail_percentage": ("number", "the share of hosts that may fail before a run stops"),
    "resource_profile": ("text", "the resource profile of phase 2"),
    "health_checks": ("mapping", "service -> health check, for images that the catalogue does not know"),
    "pool_exclude": ("list", "services that keep their direct database connection"),
    "telemetry_edges": ("text", "strong, optional or keep: edges to mere telemetry"),
    "gate": ("mapping", "gate settings that hold for every step"),
    "hooks": ("mapping", "commands before and after a batch"),
    "soak": ("mapping", "how long this environment is watched: hours, every"),
    "requires_soak": ("mapping", "the soak that must have passed elsewhere: environment, hours"),
    "windows": ("list", "maintenance windows: when hosts may be changed"),
    "freezes": ("list", "times in which nothing is changed"),
    "backups": ("list", "backups of what holds data, and how old the newest may be: path, within"),
    "preflight_warn": ("list", "checks before a run that only warn here"),
    "notify": ("list", "who is told of failing gates, rollbacks and soaks"),
}
"""name -> (type, what it is for). Steps may declare more."""

LISTS_OF_MAPPINGS = ("windows", "freezes", "notify", "backups")
CHECKS: Mapping[str, Callable[[Any, str, int | None], object]] = {
    "windows": windows.windows,
    "freezes": windows.freezes,
    "hooks": hooks.parse,
    "notify": receivers.parse,
    "backups": backups.parse,
    "soak": soaks.soak_length,
    "requires_soak": soaks.requirement,
}
"""name -> what reads it, and raises InputError for what is wrong inside it."""
PATHS = ("project_dir", "state_dir", "compose_files", "env_files")
TYPES = {"text": (str,), "list": (list,), "mapping": (dict,), "number": (int, float), "flag": (bool,), "any": (object,)}
TEMPLATES = 1_000
"""References that may be resolved for one host, and characters (x 100) of what they make: what stops a template bomb."""
_REFERENCE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


Places = Mapping[str, tuple[str, int | None]]


def check_names(variables: Mapping[str, Any], places: Places, declared: Iterable[str] = ()) -> None:
    """Raises InputError for a name that is nearly an own one. Other names are Ansible's business.

    `places` says where each stands (path, line). `declared` are variables that steps take.
    """
    foreign = strange(variables)
    names = (*OWN, *declared) if foreign else ()
    for name in foreign:
        if name not in names and (near := nearest(name, names)):
            path, line = places.get(name, ("", None))
            raise InputError("is not a variable", path=path, line=line, key=name, mend=f"did you mean {near}?")


def strange(variables: Mapping[str, Any]) -> list[str]:
    """The names that are neither Ansible's nor every host's: only they are looked up among those of the steps."""
    return [name for name in variables if name not in OWN and not name.startswith("ansible_")]


@lru_cache(maxsize=4096)
def nearest(name: str, names: tuple[str, ...]) -> str | None:
    """The own variable that a name nearly is. Kept, as every host of a group asks for the same ones."""
    return next(iter(get_close_matches(name, names, n=1, cutoff=0.85)), None) if len(name) < 100 else None


def check(variables: Mapping[str, Any], places: Places) -> None:
    """Raises InputError for an own variable of the wrong type."""
    for name, value in variables.items():
        if name in OWN:
            place = places.get(name, ("", None))
            check_type(name, value, *place)
            if name in CHECKS:
                CHECKS[name](value, *place)
    state, project = (variables.get(name) for name in ("state_dir", "project_dir"))
    if state is not None and project is not None and posixpath.normpath(state) == posixpath.normpath(project):
        path, line = places.get("state_dir", ("", None))
        raise InputError(
            "is the project's own folder", path=path, line=line, key="state_dir", mend="name a folder of its own"
        )


def check_type(name: str, value: Any, path: str, line: int | None) -> None:
    kind, what = OWN[name]
    fits = isinstance(value, TYPES[kind]) and not (isinstance(value, bool) and kind == "number")
    if not fits:
        raise InputError(f"must be a {kind}: {what}", path=path, line=line, key=name, mend=f"write a {kind}")
    items = (str, dict) if name in LISTS_OF_MAPPINGS else (str,)
    if kind == "list" and not all(isinstance(item, items) for item in value):
        raise InputError(
            "must be a list of texts", path=path, line=line, key=name, mend="quote what looks like a number"
        )
    if name in ("project_dir", "state_dir") and not value.startswith("/"):
        raise InputError(f"{value!r} is not an absolute path", path=path, line=line, key=name, mend="begin it with /")
    if name in PATHS and any(char < " " for path in ([value] if kind == "text" else value) for char in path):
        raise InputError(f"{value!r} has a line break or NUL in it", path=path, line=line, key=name, mend="take it out")


def resolved(variables: Mapping[str, Any], places: Places, declared: Iterable[str] = ()) -> dict[str, Any]:
    """The variables with `{{ name }}` replaced. Raises InputError for any other template, and for a circle."""
    done: dict[str, Any] = {}
    read = {*OWN, *(declared if any(name != "inventory_hostname" for name in strange(variables)) else ())}
    left = TEMPLATES

    def text(raw: str, name: str, seen: tuple[str, ...]) -> Any:
        if "{{" not in raw and "{%" not in raw:
            return raw
        path, line = places.get(name, ("", None))
        whole = _REFERENCE.fullmatch(raw.strip())
        if whole:
            return of(whole[1], name, seen)
        made = _REFERENCE.sub(lambda match: str(of(match[1], name, seen)), raw)
        if len(made) > 100 * TEMPLATES:
            raise InputError("grows too large", path=path, line=line, key=name, mend="use fewer references")
        if "{{" in made or "{%" in made:
            raise InputError(
                f"{raw!r} is more than a variable", path=path, line=line, key=name, mend="write the value out"
            )
        return made

    def of(name: str, wanted_by: str, seen: tuple[str, ...]) -> Any:
        nonlocal left
        path, line = places.get(wanted_by, ("", None))
        left -= 1
        if left < 0 or len(seen) > DEPTH:
            raise InputError("has too many references", path=path, line=line, key=wanted_by, mend="write the value out")
        if name in seen:
            raise InputError(
                f"{{{{ {name} }}}} leads back to itself", path=path, line=line, key=wanted_by, mend="break the circle"
            )
        if name not in variables:
            raise InputError(f"{{{{ {name} }}}} is not defined", path=path, line=line, key=wanted_by, mend="define it")
        return deep(variables[name], name, (*seen, name))

    def deep(value: Any, name: str, seen: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            return text(value, name, seen)
        if isinstance(value, list):
            return [deep(item, name, seen) for item in value]
        if isinstance(value, dict):
            return {key: deep(item, name, seen) for key, item in value.items()}
        return value

    for name, value in variables.items():
        # Only what this tool reads is resolved: a playbook's own templates are not its business.
        done[name] = deep(value, name, (name,)) if name in read or name.startswith("ansible_") else value
    return done
