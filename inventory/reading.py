"""Reads an inventory's groups, hosts and variables as they are written, before precedence is applied."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inventory import text
from inventory.errors import InputError
from inventory.ranges import LIMIT, expand
from inventory.variables import OWN

Places = dict[str, tuple[str, int | None]]
_PORT = re.compile(r"((?:[^:\[\]]|\[[^\[\]]*\])+):([0-9]+)\Z")
_SIXTIES = re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+\Z")
_WORDS = {word: value for value, words in ((True, ("yes", "on")), (False, ("no", "off"))) for word in words}


@dataclass
class Group:
    """A group while it is read, `children` and `hosts` in the file's order.

    `folder_vars` come from group_vars: by Ansible's rule they outrank every group's `vars` of the inventory itself.
    """

    name: str
    children: dict[str, None] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    places: Places = field(default_factory=dict)
    folder_vars: dict[str, Any] = field(default_factory=dict)
    folder_places: Places = field(default_factory=dict)


@dataclass
class Reading:
    """Everything that is read of one inventory before precedence is applied."""

    path: str
    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, tuple[dict[str, Any], Places]] = field(default_factory=dict)
    named: int = 0

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group(name))

    def host(self, name: str) -> tuple[dict[str, Any], Places]:
        return self.hosts.setdefault(name, ({}, {}))

    def count(self, names: int, line: int | None) -> None:
        """Refuses an inventory that would fill the memory."""
        self.named += names
        if self.named > LIMIT:
            raise InputError(f"names hosts more than {LIMIT} times", path=self.path, line=line, mend="use fewer hosts")


def read_group(name: str, node: Node, reading: Reading) -> None:
    """Reads one group and those under it."""
    group, path = reading.group(name), reading.path
    if is_nothing(node):
        return
    if not isinstance(node, MappingNode):
        raise InputError(
            "must be a mapping", path=path, line=text.line(node), key=name,
            mend="write hosts:, children: or vars: below it",
        )  # fmt: skip
    for key, value in pairs(node):
        word, line = str(key.value), text.line(key)
        if word == "hosts":
            for entry, own in names(value, path, f"{name}.hosts"):
                read_host(str(entry.value), own, text.line(entry), group, reading)
        elif word == "children":
            for child, own in names(value, path, f"{name}.children"):
                group.children[str(child.value)] = None
                read_group(str(child.value), own, reading)
        elif word == "vars":
            take_vars(value, group.vars, group.places, path, f"{name}.vars")
        else:
            near = get_close_matches(word, ("hosts", "children", "vars"), n=1)
            hint = f"did you mean {near[0]}?" if near else "a group has hosts, children and vars"
            raise InputError("is no part of a group", path=path, line=line, key=f"{name}.{word}", mend=hint)


def read_host(entry: str, own: Node, line: int, group: Group, reading: Reading) -> None:
    """Reads one entry of `hosts`: a name, a range of names, either with `:port`."""
    ported = _PORT.match(entry)
    hosts = expand(ported[1] if ported else entry, reading.path, line)
    reading.count(len(hosts), line)
    for host in hosts:
        group.hosts[host] = None
        variables, places = reading.host(host)
        if ported:
            variables["ansible_port"] = text.number(ported[2]) or ported[2]
            places["ansible_port"] = (reading.path, line)
        take_vars(own, variables, places, reading.path, host)


def pairs(node: MappingNode) -> list[tuple[ScalarNode, Node]]:
    """The keys and values of a mapping after its `<<`: own keys win over merged ones, earlier merges over later."""
    merged: dict[str, tuple[ScalarNode, Node]] = {}
    own: dict[str, tuple[ScalarNode, Node]] = {}
    for key, item in node.value:
        if text.is_merge(key):
            for source in item.value if isinstance(item, SequenceNode) else [item]:
                if isinstance(source, MappingNode):
                    merged = {str(pair[0].value): pair for pair in pairs(source)} | merged
        else:
            own[str(key.value)] = (key, item)
    return list((merged | own).values())


def names(node: Node, path: str, key: str) -> list[tuple[ScalarNode, Node]]:
    """The entries of `hosts` or `children`: a mapping, or (as Ansible has it) one bare name."""
    if isinstance(node, ScalarNode) and not is_nothing(node):
        return [(node, ScalarNode("tag:yaml.org,2002:null", "", node.start_mark, node.end_mark))]
    return mapping(node, path, key)


def mapping(node: Node, path: str, key: str) -> list[tuple[ScalarNode, Node]]:
    if is_nothing(node):
        return []
    if not isinstance(node, MappingNode):
        mend = "end each name with a colon, without a dash"
        raise InputError("must be a mapping", path=path, line=text.line(node), key=key, mend=mend)
    return pairs(node)


def is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value in ("", "~", "null")


def take_vars(node: Node, into: dict[str, Any], places: Places, path: str, key: str) -> None:
    for word, value in mapping(node, path, key):
        name = str(word.value)
        if str(value.tag) == "!vault" and (name in OWN or name.startswith("ansible_")):
            raise InputError(
                "is encrypted with Ansible Vault, which is not read here", path=path, line=text.line(word), key=name,
                mend="write {from_env: NAME} or {from_command: COMMAND}",
            )  # fmt: skip
        into[name] = text.value(value, ansible_scalar)
        places[name] = (path, text.line(word))


def ansible_scalar(node: ScalarNode) -> Any:
    """A scalar as Ansible reads it, by YAML 1.1: `no` is a flag, `1:30` a number, `1e3` and `0o17` are text."""
    raw, found = str(node.value), text.scalar(node)
    if isinstance(found, str):
        if node.style or str(node.tag).startswith("!"):
            return found
        if raw in (raw.lower(), raw.title(), raw.upper()) and raw.lower() in _WORDS:
            return _WORDS[raw.lower()]
        if _SIXTIES.match(raw) and len(raw) < 20:
            total = 0
            for part in raw.lstrip("+-").replace("_", "").split(":"):
                total = total * 60 + int(part)
            return -total if raw.startswith("-") else total
        return found
    if isinstance(found, float) and ("." not in raw or re.search(r"[eE][0-9]", raw)):
        return raw
    return raw if isinstance(found, int) and "0o" in raw else found


def read_program(path: Path, reading: Reading) -> None:
    """Reads what an executable inventory prints for `--list`."""
    hint = "run it with --list in a shell"
    try:
        done = subprocess.run([str(path.resolve()), "--list"], capture_output=True, timeout=60, check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"the program did not run: {type(error).__name__}", path=reading.path, mend=hint) from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"--list printed no JSON (exit {done.returncode})", path=reading.path, mend=hint)
    meta = part(found.pop("_meta", None), dict, "_meta", reading)
    for name, entry in found.items():
        group = reading.group(name)
        entry = part({"hosts": entry} if isinstance(entry, list) else entry, dict, name, reading)
        hosts = part(entry.get("hosts"), list, f"{name}.hosts", reading)
        reading.count(len(hosts), None)
        for host in hosts:
            group.hosts[str(host)] = None
            reading.host(str(host))
        children = part(entry.get("children"), list, f"{name}.children", reading)
        for child in map(str, children):
            group.children[child] = None
        group.vars.update(part(entry.get("vars"), dict, f"{name}.vars", reading))
        group.places.update(dict.fromkeys(group.vars, (reading.path, None)))
    for child in [child for group in reading.groups.values() for child in group.children]:
        reading.group(child)
    for host, values in part(meta.get("hostvars"), dict, "_meta.hostvars", reading).items():
        variables, places = reading.host(host)
        variables.update(part(values, dict, f"_meta.hostvars.{host}", reading))
        places.update(dict.fromkeys(variables, (reading.path, None)))


def part(found: Any, kind: type[Any], key: str, reading: Reading) -> Any:
    """A part of what a program printed: of the right kind, empty where it is absent."""
    if found is None:
        return kind()
    if not isinstance(found, kind):
        what = "a list" if kind is list else "a mapping"
        raise InputError(f"must be {what}", path=reading.path, key=key, mend="see Ansible's --list")
    return found


def add_folders(folder: Path, reading: Reading) -> None:
    """Reads group_vars and host_vars beside the inventory, as Ansible does."""
    for name, group in reading.groups.items():
        take_files(folder / "group_vars", name, group.folder_vars, group.folder_places)
    for name, (variables, places) in reading.hosts.items():
        take_files(folder / "host_vars", name, variables, places)


def take_files(folder: Path, name: str, into: dict[str, Any], places: Places) -> None:
    for path in vars_files(folder, name) if folder.is_dir() else ():
        root = text.parse(text.read(path), text.shown(path))
        if root is not None:
            take_vars(root, into, places, text.shown(path), name)


def vars_files(folder: Path, name: str) -> Iterable[Path]:
    """The files of one group or host: the first of NAME (file or folder), NAME.yml, .yaml, .json that is there."""
    if "/" in name or name.startswith(".") or len(name.encode("utf-8", "replace")) > 200:
        return ()
    for ending in ("", ".yml", ".yaml", ".json"):
        path = folder / (name + ending)
        if path.is_dir() and not ending:
            return walked(path)
        if path.is_file():
            return (path,)
    return ()


def walked(folder: Path) -> Iterator[Path]:
    """The variable files under a folder, without hidden ones and editors' backups."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir():
            yield from walked(path)
        elif path.is_file() and path.suffix in ("", ".yml", ".yaml", ".json"):
            yield path
