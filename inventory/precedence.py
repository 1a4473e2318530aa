"""Makes an environment of what an inventory says: Ansible's precedence of variables, then a host's own fields. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from inventory import text, variables
from inventory.errors import InputError
from inventory.model import Host, Inventory, Project
from inventory.reading import Group, Places, Reading

TRUE = ("yes", "true", "on", "y", "t", "1")
FALSE = ("no", "false", "off", "n", "f", "0")
CONNECTIONS = ("ssh", "smart", "paramiko", "paramiko_ssh", "local")


def assembled(environment: str, reading: Reading, declared: Iterable[str]) -> Inventory:
    """Applies precedence: all, then parent groups, then child groups, then the host; equals by priority and name."""
    top, ungrouped = reading.group("all"), reading.group("ungrouped")
    children = {child for group in reading.groups.values() for child in group.children}
    rest = [name for name in reading.groups if name not in children and name not in ("all", "ungrouped")]
    top.children = dict.fromkeys(name for name in ("ungrouped", *top.children, *rest))
    grouped = {
        host for name, group in reading.groups.items() if name not in ("all", "ungrouped") for host in group.hosts
    }
    loose = [host for host in (*ungrouped.hosts, *reading.hosts) if host not in grouped]
    ungrouped.hosts = dict.fromkeys(loose)
    ranks = ranked(reading)
    if not reading.hosts:
        raise InputError("names no host", path=reading.path, mend="write hosts: below all:")
    memberships: dict[str, set[str]] = {}
    for name, group in reading.groups.items():
        for host in group.hosts:
            memberships.setdefault(host, set()).update(ranks[name][1])
    hosts = tuple(
        made_host(name, reading, sorted(memberships[name] | {"all"}, key=lambda group: ranks[group][0]), declared)
        for name in ordered_hosts(reading)
    )
    groups = {name: (tuple(group.children), tuple(group.hosts)) for name, group in reading.groups.items()}
    return Inventory(environment, reading.path, hosts, groups, top.vars | top.folder_vars)


def ordered_hosts(reading: Reading) -> list[str]:
    """The hosts in the order that the groups name them, from the top."""
    found: dict[str, None] = {}
    seen: set[str] = set()

    def walk(name: str) -> None:
        if name not in seen:
            seen.add(name)
            group = reading.groups.get(name, Group(name))
            if name != "all":
                found.update(group.hosts)
            for child in group.children:
                walk(child)

    found.update(dict.fromkeys(reading.groups["all"].hosts))
    walk("all")
    found.update(dict.fromkeys(reading.hosts))
    return list(found)


def ranked(reading: Reading) -> dict[str, tuple[tuple[int, int, str], set[str]]]:
    """For each group its rank (depth by the longest way, priority, name) and all groups that it is part of."""
    parents: dict[str, list[str]] = {name: [] for name in reading.groups}
    for name, group in reading.groups.items():
        for child in group.children:
            parents[child].append(name)
    waiting = {name: len(above) for name, above in parents.items()}
    ready = deque(name for name, count in waiting.items() if not count)
    depths = dict.fromkeys(ready, 0)
    found: dict[str, tuple[tuple[int, int, str], set[str]]] = {}
    while ready:
        name = ready.popleft()
        if depths[name] > text.DEPTH:
            raise InputError(
                f"group {name} is nested deeper than {text.DEPTH}", path=reading.path, mend="nest less deeply"
            )
        above = {name}.union(*(found[parent][1] for parent in parents[name]))
        found[name] = ((depths[name], priority(reading.groups[name]), name), above)
        for child in reading.groups[name].children:
            depths[child] = max(depths.get(child, 0), depths[name] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    for name, count in waiting.items():
        if count and name in descendants(name, reading):
            raise InputError(f"group {name} holds itself", path=reading.path, key=name, mend="break the circle")
    return found


def descendants(name: str, reading: Reading) -> set[str]:
    found: set[str] = set()
    fresh = set(reading.groups[name].children)
    while fresh:
        found |= fresh
        fresh = {child for each in fresh for child in reading.groups[each].children} - found
    return found


def priority(group: Group) -> int:
    """`ansible_group_priority`, which only a group of the inventory itself can set."""
    raw = group.vars.get("ansible_group_priority", 1)
    number = raw if isinstance(raw, int) else text.number(str(raw).strip())
    if number is None or isinstance(raw, bool):
        path, line = group.places.get("ansible_group_priority", ("", None))
        raise InputError(
            f"{raw!r} is not a number", path=path, line=line, key="ansible_group_priority", mend="write a whole number"
        )
    return number


def made_host(name: str, reading: Reading, groups: list[str], declared: Iterable[str]) -> Host:
    """One host with the variables of its groups, which are in the order of their rank."""
    merged: dict[str, Any] = {}
    places: Places = {}
    for layer in ("", "folder_"):
        for group in groups:
            merged |= getattr(reading.groups[group], f"{layer}vars")
            places |= getattr(reading.groups[group], f"{layer}places")
    own, own_places = reading.hosts[name]
    merged |= own
    places |= own_places
    merged.pop("ansible_group_priority", None)
    variables.check_names(merged, places, declared)
    values = variables.resolved({"inventory_hostname": name, **merged}, places, declared)
    if "inventory_hostname" not in merged:
        values.pop("inventory_hostname")
    variables.check(values, places)
    become = flag(values, places, "ansible_become")
    if become:
        only(values, places, "ansible_become_method", ("sudo", "ansible.builtin.sudo"))
        only(values, places, "ansible_become_user", ("root",))
    only(values, places, "ansible_connection", CONNECTIONS)
    return Host(
        name=name,
        address=maybe_text(values, "ansible_host", "ansible_ssh_host") or name,
        project=project(name, values, reading.path),
        port=port(values, places),
        user=maybe_text(values, "ansible_user", "ansible_ssh_user"),
        key_file=maybe_text(values, "ansible_ssh_private_key_file", "ansible_private_key_file"),
        connection="local" if values.get("ansible_connection") == "local" else "ssh",
        become=become,
        groups=tuple(sorted(set(groups) - {"all"})),
        variables=values,
        places=places,
    )


def project(host: str, values: Mapping[str, Any], path: str) -> Project:
    directory = values.get("project_dir")
    if directory is None:
        raise InputError(
            "has no project_dir", path=path, host=host,
            mend="write project_dir: /path/of/the/project, or see inventory.adopt",
        )  # fmt: skip
    lists = {
        name: tuple(str(item) for item in values.get(name) or ()) for name in ("compose_files", "env_files", "profiles")
    }
    name, state = maybe_text(values, "project_name"), maybe_text(values, "state_dir")
    return Project(directory=str(directory).rstrip("/") or "/", name=name, state_dir=state, **lists)


def port(values: Mapping[str, Any], places: Places) -> int | None:
    key = "ansible_port" if values.get("ansible_port") is not None else "ansible_ssh_port"
    raw = values.get(key)
    if raw is None:
        return None
    number = None if isinstance(raw, (bool, float)) else text.number(str(raw))
    if number is None or not 0 < number < 65536:
        path, line = places.get(key, ("", None))
        raise InputError(f"{raw!r} is not a port", path=path, line=line, key=key, mend="write 1 to 65535")
    return number


def flag(values: Mapping[str, Any], places: Places, name: str) -> bool:
    """A flag as Ansible reads it, text too: `bool("no")` would be true."""
    raw = values.get(name)
    word = str(raw).lower()
    if raw is None or word in FALSE:
        return False
    if word in TRUE:
        return True
    path, line = places.get(name, ("", None))
    raise InputError(f"{raw!r} is neither yes nor no", path=path, line=line, key=name, mend="write true or false")


def only(values: Mapping[str, Any], places: Places, name: str, known: tuple[str, ...]) -> None:
    """Refuses a way to a host that this tool does not have, before it would silently go another."""
    raw = values.get(name)
    if raw is not None and raw not in known:
        path, line = places.get(name, ("", None))
        raise InputError(f"{raw!r} is not supported", path=path, line=line, key=name, mend=f"use {known[0]}")


def maybe_text(values: Mapping[str, Any], *names: str) -> str | None:
    """The first of these variables that is set, as text."""
    return next((str(values[name]) for name in names if values.get(name) is not None), None)
