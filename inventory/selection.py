"""Which hosts of an inventory: Ansible's `--limit` patterns, and what `--list` and `--graph` print. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import translate
from typing import Any

from inventory.errors import InputError
from inventory.model import Inventory

LONGEST = 100_000
"""Groups of a graph, a group once for each way to it."""


_SUBSCRIPT = re.compile(r"([^~].*)\[(-?[0-9]{1,6})(?:([:-])([0-9]{0,6}))?\]\Z")


def limit(inventory: Inventory, pattern: str | None) -> Inventory:
    """The inventory with only the hosts that a pattern selects, in their order. Raises InputError when none is left.

    Parts are split by commas or colons; `!` takes away, `&` keeps only; each is a host, a group, a glob, a `~` with a
    regular expression, or one of the first two with a part of its hosts: `web[0]`, `web[1:3]`.
    """
    if not pattern:
        return inventory
    parts = [part.strip() for part in re.split(r"[,:](?![^\[]*\])", pattern) if part.strip()]
    if not parts:
        # Perhaps an empty variable of a script: that must not come to mean every host.
        raise InputError(f"--limit {pattern!r} names nothing", path=inventory.path, mend="see ./inv inventory.graph")
    chosen = {host.name for host in inventory.hosts} if all(part[0] in "!&" for part in parts) else set()
    for part in sorted(parts, key=lambda word: "&!".find(word[0])):
        word = part.lstrip("!&")
        if not word:
            raise InputError(
                f"--limit {pattern}: {part} names nothing", path=inventory.path, mend="see ./inv inventory.graph"
            )
        names = matching(inventory, word)
        chosen = chosen - names if part[0] == "!" else chosen & names if part[0] == "&" else chosen | names
    hosts = tuple(host for host in inventory.hosts if host.name in chosen)
    if not hosts:
        raise InputError(f"--limit {pattern} leaves no host", path=inventory.path, mend="see ./inv inventory.graph")
    return replace(inventory, hosts=hosts)


def matching(inventory: Inventory, word: str) -> set[str]:
    """The hosts that one word names. Raises InputError, with "did you mean", when it names nothing."""
    part = _SUBSCRIPT.match(word)
    if part:
        chosen = matching(inventory, part[1])
        ordered = [host for host in in_order(inventory, part[1]) if host in chosen]
        first = int(part[2])
        last = first if part[3] is None else int(part[4] or len(ordered))
        return set(ordered[first:][:1] if first == last else ordered[first : last + 1])
    try:
        fits = re.compile(word[1:]).match if word[0] == "~" else re.compile(translate(word)).match
    except re.error as error:
        raise InputError(f"{word} is no pattern: {error}", path=inventory.path, mend="mend the pattern") from None
    found = {
        host.name for host in inventory.hosts if word == "all" or any(fits(name) for name in (host.name, *host.groups))
    }
    if not found and word not in inventory.groups:
        names = [host.name for host in inventory.hosts] + list(inventory.groups)
        near = get_close_matches(word, names, n=1)
        raise InputError(
            f"{word} is neither a host nor a group", path=inventory.path, mend=f"did you mean {near[0]}?" if near else "see ./inv inventory.graph"
        )  # fmt: skip
    return found


def in_order(inventory: Inventory, word: str) -> list[str]:
    """Hosts in the order that Ansible counts them: a group's own, then those of its children; else the inventory's."""
    found: dict[str, None] = {}
    names = dict.fromkeys([word] if word in inventory.groups and word != "all" else [])
    level = list(names)
    while level:
        found.update(dict.fromkeys(host for name in level for host in inventory.groups[name][1]))
        level = [child for name in level for child in inventory.groups[name][0] if child not in names]
        level = list(dict.fromkeys(level))
        names.update(dict.fromkeys(level))
    return list(found) if names else [host.name for host in inventory.hosts]


def graph(inventory: Inventory) -> Iterator[str]:
    """The lines of `ansible-inventory --graph`."""
    names = {host.name for host in inventory.hosts}

    left = LONGEST

    def walk(group: str, depth: int) -> Iterator[str]:
        nonlocal left
        left -= 1
        if left < 0:
            raise InputError("its groups are a graph too large to draw", path=inventory.path, mend="nest less")
        yield "  |" * (depth - 1) + ("  |--" if depth else "") + f"@{group}:"
        children, hosts = inventory.groups.get(group, ((), ()))
        for child in children:
            yield from walk(child, depth + 1)
        # The hosts of `all` itself stand in `ungrouped` or in a group of theirs.
        for host in hosts if group != "all" else ():
            if host in names:
                yield "  |" * depth + f"  |--{host}"

    yield from walk("all", 0)


def as_list(inventory: Inventory) -> dict[str, Any]:
    """The document of `ansible-inventory --list`."""
    found: dict[str, Any] = {
        "_meta": {"hostvars": {host.name: dict(host.variables) for host in inventory.hosts if host.variables}}
    }
    names = {host.name for host in inventory.hosts}
    for name, (children, hosts) in inventory.groups.items():
        entry: dict[str, Any] = {}
        if children:
            entry["children"] = list(children)
        chosen = [host for host in hosts if host in names]
        if chosen and name != "all":
            entry["hosts"] = chosen
        if entry:
            found[name] = entry
    return found
