"""What the host's own Compose must make of planned files before they are written: the model differs as planned, no more.

Main files and env files are rendered as copies with the real `--project-directory`, so that relative paths, binds and
build contexts come out the same. Where a file changes that others name (`include`, `extends`, `env_file`), the copy is
of the whole project, made of links.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from inventory.engine import Compose
from inventory.errors import Refused
from inventory.values import frozen
from runbooks.compose.intent import meaning
from runbooks.compose.model import Stack
from runbooks.compose.units import seconds
from runbooks.private import Bench
from runbooks.programs import Part

_UNSET = re.compile(r'The \\?"(\w+)\\?" variable is not set')
_DURATIONS = ("interval", "timeout", "start_period", "start_interval")


@frozen
class Copy:
    """A set of candidate files as Compose is to read it: what goes to the private folder, and Compose's options."""

    options: tuple[str, ...]
    files: Mapping[str, bytes]
    mirror: Mapping[str, bytes]


def copy(compose: Compose, before: Stack, after: Stack, name: str) -> Copy:
    """How the files of `after` are given to Compose without being written."""
    main = [posixpath.normpath(posixpath.join(compose.directory, path)) for path in compose.files]
    env = [posixpath.normpath(posixpath.join(compose.directory, path)) for path in (compose.env_files or (".env",))]
    changed = {path for path, data in after.files.items() if before.files.get(path) != data}
    named = {path for path in changed if path not in main and path not in env} | _env_file_of_service(after, changed)
    options = ["-p", compose.name]
    files: dict[str, bytes] = {}
    if named:
        inside = {_relative(compose.directory, path): after.files[path] for path in changed}
        options += ["--project-directory", f"@{name}"]
        for flag, paths in (("-f", main), ("--env-file", [path for path in env if path in after.files])):
            for path in paths:
                own = path.startswith(compose.directory + "/")
                options += [flag, f"@{name}/{_relative(compose.directory, path)}" if own else path]
    else:
        inside = {}
        options += ["--project-directory", compose.directory]
        for flag, paths in (("-f", main), ("--env-file", [path for path in env if path in after.files])):
            for number, path in enumerate(paths):
                file = f"{name}.{'f' if flag == '-f' else 'e'}{number}"
                files[file] = after.files[path]
                options += [flag, f"@{file}"]
    for profile in compose.profiles:
        options += ["--profile", profile]
    return Copy(tuple(options), files, inside)


def _env_file_of_service(stack: Stack, changed: set[str]) -> set[str]:
    """Changed files that give a service its variables: a copy elsewhere would not be seen there."""
    used = {
        variable.place.path
        for service in stack.services.values()
        for variable in service.environment.values()
        if variable.source == "env_file"
    }
    return used & changed


def _relative(directory: str, path: str) -> str:
    if not path.startswith(directory + "/"):
        raise Refused("lies outside the project's folder, so a change of it cannot be proven", path=path,
                      mend="move it into the project, or change it by hand")  # fmt: skip
    return posixpath.relpath(path, directory)


def bench(directory: str, copies: Mapping[str, Copy], more: Mapping[str, Sequence[str]]) -> Bench:
    """All copies to be rendered, and more commands beside them."""
    commands: dict[str, Sequence[str]] = {name: rendering(each) for name, each in copies.items()}
    files = {file: data for each in copies.values() for file, data in each.files.items()}
    mirrors = {name: each.mirror for name, each in copies.items() if each.mirror}
    return Bench(directory, {**commands, **more}, files, mirrors)


def rendering(each: Copy) -> tuple[str, ...]:
    """The command that renders a copy."""
    return ("docker", "compose", "--ansi", "never", *each.options, "config", "--format", "json")


def model(part: Part, folder: str, name: str, directory: str) -> dict[str, Any]:
    """A rendered model; paths into the private copy are those of the project again."""
    text = part.out.decode("utf-8", "replace")
    if folder:
        text = text.replace(f"{folder}/{name}", directory)
    found: dict[str, Any] = json.loads(text)
    return found


def newly_unset(before: Part, after: Part) -> str:
    """Variables that Compose finds unset only now; empty when there are none."""
    old, new = (set(_UNSET.findall(part.err.decode("utf-8", "replace"))) for part in (before, after))
    return f"variable {', '.join(sorted(new - old))} would be unset" if new - old else ""


def difference(old: Mapping[str, Any], new: Mapping[str, Any], before: Stack, after: Stack) -> str:
    """The first thing in which Compose's new model is not the old one changed as planned; empty when there is none.

    Never shows a value, which may be a secret.
    """
    was, will = meaning(before), meaning(after)
    planned = {name for name in after.services if name not in before.services}
    for key in {*old, *new} - {"services"}:
        if old.get(key) != new.get(key) and was.sections.get(key) == will.sections.get(key):
            return f"{key} would change, which was not planned"
    first, second = old.get("services") or {}, new.get("services") or {}
    for name in [*first, *second]:
        if name in planned and name in second:
            continue
        if name not in first or name not in second:
            return f"service {name} would {'appear' if name in second else 'vanish'}"
        wrong = _service(first[name], second[name], name, was, will)
        if wrong:
            return f"service {name}: {wrong}"
    return ""


def _service(old: Mapping[str, Any], new: Mapping[str, Any], name: str, was: Any, will: Any) -> str:
    for key in {*old, *new} - {"depends_on", "environment", "healthcheck"}:
        if old.get(key) != new.get(key) and was.rest[name].get(key) == will.rest[name].get(key):
            return f"{key} would change, which was not planned"
    for what, expected, found in (
        ("dependency", _edges(old, name, was, will), new.get("depends_on") or {}),
        ("variable", _environment(old, name, was, will), new.get("environment") or {}),
        ("health check", _health(old, name, was, will), _plain_health(new.get("healthcheck"))),
    ):
        for key in [*expected, *found]:
            if expected.get(key) != found.get(key) or (key in expected) != (key in found):
                return f"{what} {key} would not come out as planned"
    return ""


def _changed(was: Mapping[str, Any], will: Mapping[str, Any]) -> set[str]:
    return {key for key in {*was, *will} if was.get(key) != will.get(key) or (key in was) != (key in will)}


def _edges(old: Mapping[str, Any], name: str, was: Any, will: Any) -> dict[str, Any]:
    expected = dict(old.get("depends_on") or {})
    for other in _changed(was.edges[name], will.edges[name]):
        edge = will.edges[name].get(other)
        if edge is None:
            expected.pop(other, None)
        else:
            expected[other] = {"condition": edge["condition"], "required": edge["required"]}
            if edge["restart"]:
                expected[other]["restart"] = True
    return expected


def _environment(old: Mapping[str, Any], name: str, was: Any, will: Any) -> dict[str, Any]:
    expected = dict(old.get("environment") or {})
    for variable in _changed(was.environment[name], will.environment[name]):
        if variable not in will.environment[name]:
            expected.pop(variable, None)
        else:
            value = will.environment[name][variable]
            expected[variable] = None if value is None else value.replace("$", "$$")
    return expected


def _health(old: Mapping[str, Any], name: str, was: Any, will: Any) -> dict[str, Any]:
    expected = _plain_health(old.get("healthcheck"))
    first, second = was.health[name] or {}, will.health[name] or {}
    for key in _changed(first, second):
        if key in second:
            value = second[key]
            # The stack holds the text after interpolation, Compose writes it as a file would have it.
            value = value.replace("$", "$$") if isinstance(value, str) else value
            value = [str(word).replace("$", "$$") for word in value] if isinstance(value, list) else value
            expected[key] = _plain_health({key: value})[key]
        else:
            expected.pop(key, None)
    return expected


def _plain_health(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """A health check in one form: durations in seconds, a test as a list."""
    made: dict[str, Any] = {}
    for key, value in (found or {}).items():
        if key in _DURATIONS and isinstance(value, str):
            made[key] = seconds(value)
        elif key == "test" and isinstance(value, str):
            made[key] = ["CMD-SHELL", value]
        elif key == "retries":
            made[key] = int(value) if str(value).isdigit() else value
        else:
            made[key] = value
    return made
