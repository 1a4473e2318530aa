"""Reads an environment: Ansible's YAML inventory as it is, or a program that prints Ansible's `--list` JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node

from inventory import text, variables
from inventory.errors import InputError
from inventory.model import Host, Inventory, Project
from inventory.ranges import expand

FOLDER = Path(__file__).resolve().parent
Places = dict[str, tuple[str, int]]


@dataclass
class Group:
    """A group while it is read. `vars` with the places of their names; `children` and `hosts` in the file's order."""

    name: str
    children: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    places: Places = field(default_factory=dict)


@dataclass
class Reading:
    """Everything that is read of one inventory before precedence is applied."""

    path: str
    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, tuple[dict[str, Any], Places]] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group(name))

    def host(self, name: str) -> tuple[dict[str, Any], Places]:
        return self.hosts.setdefault(name, ({}, {}))


def load(environment: str, folder: Path | None = None, declared: Iterable[str] = ()) -> Inventory:
    """The inventory of an environment. `declared` are variables that steps take. Raises InputError with path:line:key."""
    path = find(environment, folder or FOLDER)
    reading = Reading(shown(path))
    if os.access(path, os.X_OK) and path.suffix not in (".yml", ".yaml", ".json"):
        read_program(path, reading)
    else:
        root = text.parse(read_bytes(path), shown(path))
        if not isinstance(root, MappingNode):
            raise InputError("holds no inventory", path=shown(path), line=1, mend="begin with all:, hosts: below it")
        for key, node in root.value:
            read_group(str(key.value), node, reading, ())
    add_folders(path.parent, reading)
    return assembled(environment, reading, tuple(declared))


def find(environment: str, folder: Path) -> Path:
    """The file of an environment in a folder. Raises InputError that lists those that are there."""
    if "/" in environment or environment.startswith("."):
        raise InputError(
            f"{environment!r} is not an environment's name",
            key="--env",
            mend="name a file of the inventory, without .yml",
        )
    for name in (f"{environment}.yml", f"{environment}.yaml", environment, f"{environment}.sh", f"{environment}.json"):
        if (folder / name).is_file():
            return folder / name
    there = sorted(path.stem for path in folder.glob("*.y*ml")) if folder.is_dir() else []
    near = get_close_matches(environment, there, n=1)
    mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(there) or 'none'}"
    raise InputError(f"no environment {environment}", path=shown(folder), mend=mend)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=shown(path)) from None


def read_group(name: str, node: Node, reading: Reading, above: tuple[str, ...]) -> None:
    """Reads one group and those under it."""
    group, path = reading.group(name), reading.path
    if name in above:
        raise InputError(f"group {name} holds itself", path=path, line=text.line(node), mend="break the circle")
    if is_nothing(node):
        return
    if not isinstance(node, MappingNode):
        raise InputError(
            "must be a mapping",
            path=path,
            line=text.line(node),
            key=name,
            mend="write hosts:, children: or vars: below it",
        )
    for key, value in node.value:
        word, line = str(key.value), text.line(key)
        if word == "hosts":
            for entry, own in mapping(value, path, f"{name}.hosts"):
                for host in expand(entry, path, text.line(own) if not is_nothing(own) else line):
                    if host not in group.hosts:
                        group.hosts.append(host)
                    take_vars(own, *reading.host(host), path, host)
        elif word == "children":
            for child, own in mapping(value, path, f"{name}.children"):
                if child not in group.children:
                    group.children.append(child)
                read_group(child, own, reading, (*above, name))
        elif word == "vars":
            take_vars(value, group.vars, group.places, path, f"{name}.vars")
        else:
            near = get_close_matches(word, ("hosts", "children", "vars"), n=1)
            hint = f"did you mean {near[0]}?" if near else "a group has hosts, children and vars"
            raise InputError("is no part of a group", path=path, line=line, key=f"{name}.{word}", mend=hint)


def mapping(node: Node, path: str, key: str) -> list[tuple[str, Node]]:
    if is_nothing(node):
        return []
    if not isinstance(node, MappingNode):
        raise InputError(
            "must be a mapping",
            path=path,
            line=text.line(node),
            key=key,
            mend="end each name with a colon, without a dash",
        )
    return [(str(name.value), value) for name, value in node.value]


def is_nothing(node: Node) -> bool:
    return not isinstance(node, MappingNode) and node.value in ("", "~", "null")


def take_vars(node: Node, into: dict[str, Any], places: Places, path: str, key: str) -> None:
    for name, value in mapping(node, path, key):
        into[name] = text.value(value)
        places[name] = (path, text.line(value))


def read_program(path: Path, reading: Reading) -> None:
    """Reads what an executable inventory prints for `--list`."""
    try:
        done = subprocess.run([str(path.resolve()), "--list"], capture_output=True, timeout=60, check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"the program did not run: {type(error).__name__}", path=reading.path, mend="run it with --list in a shell"
        ) from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"--list printed no JSON (exit {done.returncode})", path=reading.path, mend="run it with --list in a shell"
        )
    meta = found.pop("_meta", {})
    for name, entry in found.items():
        group = reading.group(name)
        entry = {"hosts": entry} if isinstance(entry, list) else entry
        if not isinstance(entry, dict):
            raise InputError("must be a list or a mapping", path=reading.path, key=name)
        for host in entry.get("hosts", []):
            group.hosts.append(str(host))
            reading.host(str(host))
        group.children += [str(child) for child in entry.get("children", [])]
        group.vars.update(entry.get("vars", {}))
    for host, values in meta.get("hostvars", {}).items():
        reading.host(host)[0].update(values)


def add_folders(folder: Path, reading: Reading) -> None:
    """Reads group_vars and host_vars beside the inventory, as Ansible does."""
    for kind in ("group_vars", "host_vars"):
        for path in sorted((folder / kind).rglob("*")):
            parts = path.relative_to(folder / kind).parts
            name = parts[0] if len(parts) > 1 else path.stem
            known = name in (reading.groups if kind == "group_vars" else reading.hosts) or name == "all"
            if not path.is_file() or path.suffix not in (".yml", ".yaml", "") or not known:
                continue
            target = (
                (reading.group(name).vars, reading.group(name).places) if kind == "group_vars" else reading.host(name)
            )
            root = text.parse(read_bytes(path), shown(path))
            if root is not None:
                take_vars(root, *target, shown(path), name)


def assembled(environment: str, reading: Reading, declared: tuple[str, ...]) -> Inventory:
    """Applies precedence: all, then parent groups, then child groups, then the host; equals by priority and name."""
    top = reading.group("all")
    children = {child for group in reading.groups.values() for child in group.children}
    for name in reading.groups:
        if name not in children and name not in ("all", "ungrouped"):
            top.children.append(name)
    grouped = {
        host for name, group in reading.groups.items() if name not in ("all", "ungrouped") for host in group.hosts
    }
    ungrouped = [host for host in reading.hosts if host not in grouped]
    if ungrouped or "ungrouped" in reading.groups:
        reading.group("ungrouped").hosts = ungrouped
    depths = depth_of(reading)
    hosts = tuple(made_host(name, reading, depths, declared) for name in ordered_hosts(reading))
    if not hosts:
        raise InputError("names no host", path=reading.path, mend="write hosts: below all:")
    groups = {name: (tuple(group.children), tuple(group.hosts)) for name, group in reading.groups.items()}
    return Inventory(environment, reading.path, hosts, groups, dict(top.vars))


def ordered_hosts(reading: Reading) -> list[str]:
    """The hosts in the order that the groups name them, from the top."""
    found: dict[str, None] = {}

    def walk(name: str, seen: frozenset[str]) -> None:
        if name in seen:
            raise InputError(f"group {name} holds itself", path=reading.path, mend="break the circle")
        group = reading.groups.get(name, Group(name))
        found.update(dict.fromkeys(group.hosts))
        for child in group.children:
            walk(child, seen | {name})

    walk("all", frozenset())
    found.update(dict.fromkeys(reading.hosts))
    return list(found)


def depth_of(reading: Reading) -> dict[str, int]:
    """How far each group is from the top, by its longest way (Ansible's rule)."""
    depths = {"all": 0}

    def walk(name: str, depth: int) -> None:
        for child in reading.groups.get(name, Group(name)).children:
            if depths.get(child, 0) < depth + 1 and depth < len(reading.groups) + 1:
                depths[child] = depth + 1
                walk(child, depth + 1)

    walk("all", 0)
    depths.setdefault("ungrouped", 1)
    return depths


def groups_of(host: str, reading: Reading) -> set[str]:
    """Every group that a host is in, parents included."""
    found = {name for name, group in reading.groups.items() if host in group.hosts}
    while more := {name for name, group in reading.groups.items() if set(group.children) & found} - found:
        found |= more
    return found | {"all"}


def made_host(name: str, reading: Reading, depths: Mapping[str, int], declared: tuple[str, ...]) -> Host:
    names = groups_of(name, reading)

    def rank(group: str) -> tuple[int, int, str]:
        return (
            depths.get(group, 1),
            int(reading.groups.get(group, Group(group)).vars.get("ansible_group_priority", 1)),
            group,
        )

    merged: dict[str, Any] = {}
    places: Places = {}
    for group in sorted(names, key=rank):
        found = reading.groups.get(group, Group(group))
        merged |= found.vars
        places |= found.places
    own, own_places = reading.hosts[name]
    merged |= own
    places |= own_places
    merged.pop("ansible_group_priority", None)
    variables.check(merged, places, declared)
    values = variables.resolved({"inventory_hostname": name, **merged}, places)
    values.pop("inventory_hostname")
    return Host(
        name=name,
        address=str(values.get("ansible_host", name)),
        project=project(name, values, reading.path),
        port=port(values, places),
        user=maybe_text(values, "ansible_user"),
        key_file=maybe_text(values, "ansible_ssh_private_key_file"),
        connection="local" if values.get("ansible_connection") == "local" else "ssh",
        become=bool(values.get("ansible_become", False)),
        groups=tuple(sorted(names - {"all"})),
        variables=values,
    )


def project(host: str, values: Mapping[str, Any], path: str) -> Project:
    directory = values.get("project_dir")
    if directory is None:
        raise InputError(
            "has no project_dir",
            path=path,
            host=host,
            mend="write project_dir: /path/of/the/project, or see inventory.adopt",
        )
    lists = {
        name: tuple(str(item) for item in values.get(name, ())) for name in ("compose_files", "env_files", "profiles")
    }
    name, state = maybe_text(values, "project_name"), maybe_text(values, "state_dir")
    return Project(directory=str(directory).rstrip("/") or "/", name=name, state_dir=state, **lists)


def port(values: Mapping[str, Any], places: Places) -> int | None:
    raw = values.get("ansible_port")
    if raw is None:
        return None
    if isinstance(raw, bool) or not str(raw).isdigit() or not 0 < int(raw) < 65536:
        path, line = places.get("ansible_port", ("", 0))
        raise InputError(f"{raw!r} is not a port", path=path, line=line, key="ansible_port", mend="write 1 to 65535")
    return int(raw)


def maybe_text(values: Mapping[str, Any], name: str) -> str | None:
    return str(values[name]) if values.get(name) is not None else None


def shown(path: Path) -> str:
    """A path as people know it: relative to the working folder where it is under it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
