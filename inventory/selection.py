"""Which hosts of an inventory: Ansible's `--limit` patterns, and what `--list` and `--graph` print. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from inventory.errors import InputError
from inventory.model import Inventory


def limit(inventory: Inventory, pattern: str | None) -> Inventory:
    """The inventory with only the hosts that a pattern selects, in their order. Raises InputError when none is left.

    Parts are split by commas or colons; `!` takes away, `&` keeps only; each is a host, a group or a glob.
    """
    if not pattern:
        return inventory
    parts = [part.strip() for part in re.split(r"[,:](?![^\[]*\])", pattern) if part.strip()]
    chosen = {host.name for host in inventory.hosts} if all(part[0] in "!&" for part in parts) else set()
    for part in sorted(parts, key=lambda word: "&!".find(word[0])):
        names = matching(inventory, part.lstrip("!&"))
        chosen = chosen - names if part[0] == "!" else chosen & names if part[0] == "&" else chosen | names
    hosts = tuple(host for host in inventory.hosts if host.name in chosen)
    if not hosts:
        raise InputError(f"--limit {pattern} leaves no host", path=inventory.path, mend="see ./inv inventory.graph")
    return replace(inventory, hosts=hosts)


def matching(inventory: Inventory, word: str) -> set[str]:
    """The hosts that one word names. Raises InputError, with "did you mean", when it names nothing."""
    found = {
        host.name
        for host in inventory.hosts
        if word == "all" or fnmatchcase(host.name, word) or any(fnmatchcase(group, word) for group in host.groups)
    }
    if not found and word not in inventory.groups:
        names = [host.name for host in inventory.hosts] + list(inventory.groups)
        near = get_close_matches(word, names, n=1)
        raise InputError(
            f"{word} is neither a host nor a group", path=inventory.path, mend=f"did you mean {near[0]}?" if near else "see ./inv inventory.graph"
        )  # fmt: skip
    return found


def graph(inventory: Inventory) -> Iterator[str]:
    """The lines of `ansible-inventory --graph`."""
    names = {host.name for host in inventory.hosts}

    def walk(group: str, depth: int) -> Iterator[str]:
        yield "  |" * (depth - 1) + ("  |--" if depth else "") + f"@{group}:"
        children, hosts = inventory.groups.get(group, ((), ()))
        for child in sorted(children):
            yield from walk(child, depth + 1)
        for host in hosts:
            if host in names and (
                group != "all" or not any(host in entry[1] for name, entry in inventory.groups.items() if name != "all")
            ):
                yield "  |" * depth + f"  |--{host}"

    yield from walk("all", 0)


def as_list(inventory: Inventory) -> dict[str, Any]:
    """The document of `ansible-inventory --list`."""
    found: dict[str, Any] = {
        "_meta": {"hostvars": {host.name: dict(host.variables) for host in inventory.hosts if host.variables}}
    }
    for name, (children, hosts) in inventory.groups.items():
        entry: dict[str, Any] = {}
        if name == "all":
            entry["children"] = ["ungrouped", *sorted(child for child in children if child != "ungrouped")]
        else:
            if children:
                entry["children"] = list(children)
            if hosts:
                entry["hosts"] = list(hosts)
        if entry:
            found[name] = entry
    return found
