"""Reads an environment: Ansible's YAML inventory as it is, or a program that prints Ansible's `--list` JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from ruamel.yaml.nodes import MappingNode

from inventory import text
from inventory.errors import InputError
from inventory.model import Inventory
from inventory.precedence import assembled
from inventory.reading import Reading, add_folders, pairs, read_group, read_program

_INI = re.compile(rb"(?:[ \t]*(?:[#;][^\n]*)?\r?\n){0,1000}(?:[\w.-][^\n:{]*\r?\n){0,1000}\[[\w.:-]+\][ \t]*\r?\n")
FOLDER = Path(__file__).resolve().parent


def load(environment: str, folder: Path | None = None, declared: Iterable[str] = ()) -> Inventory:
    """The inventory of an environment. `declared` are variables that steps take. Raises InputError with path:line:key."""
    path = find(environment, folder or FOLDER)
    reading = Reading(text.shown(path))
    if os.access(path, os.X_OK) and path.suffix not in (".yml", ".yaml", ".json"):
        read_program(path, reading)
    else:
        data = text.read(path)
        if _INI.match(data):
            raise InputError(
                "is in Ansible's INI form, which is not read here", path=reading.path, line=1,
                mend=f"convert it: ansible-inventory -i FILE --list --yaml > {environment}.yml",
            )  # fmt: skip
        root = text.parse(data, reading.path)
        if not isinstance(root, MappingNode):
            raise InputError("holds no inventory", path=reading.path, line=1, mend="begin with all:, hosts: below it")
        for key, node in pairs(root):
            read_group(str(key.value), node, reading)
    for name in ("all", "ungrouped"):
        reading.group(name)
    add_folders(path.parent, reading)
    return assembled(environment, reading, declared)


def find(environment: str, folder: Path) -> Path:
    """The file of an environment in a folder. Raises InputError that lists those that are there."""
    if "/" in environment or "\0" in environment or environment.startswith(".") or len(environment) > 60:
        raise InputError(
            f"{environment[:60]!r} is not an environment's name", key="--env",
            mend="name a file of the inventory, without .yml",
        )  # fmt: skip
    for name in (f"{environment}.yml", f"{environment}.yaml", environment, f"{environment}.sh", f"{environment}.json"):
        if (folder / name).is_file():
            return folder / name
    if not folder.is_dir():
        raise InputError("is not a folder", path=text.shown(folder), key="--inventory", mend="name the one that holds the inventory's files")  # fmt: skip
    there = sorted(path.stem for path in folder.glob("*.y*ml"))
    near = get_close_matches(environment, there, n=1)
    others = "" if folder != FOLDER else "; --inventory FOLDER names another folder than this"
    mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(there) or 'none'}{others}"
    raise InputError(f"no environment {environment}", path=text.shown(folder), mend=mend)
