"""How Compose lays one file, service or include over another.

Mappings are merged key by key, sequences are appended, scalars are replaced; the exceptions are tables here. What may
be a list or a mapping (`environment`, `labels` ...) is merged by key, `command`, `entrypoint` and a health check's
`test` are replaced, and of `ports`, `volumes` ... a later entry for the same target replaces the earlier.
Source: compose-go, `override` (Compose 2.26 and later).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runbooks.compose.tree import Item, Key

Path = tuple[str, ...]

_REPLACED = {("command",), ("entrypoint",), ("healthcheck", "test")}
_BY_KEY = {
    ("environment",), ("labels",), ("annotations",), ("sysctls",), ("extra_hosts",), ("build", "args"),
    ("build", "labels"), ("build", "additional_contexts"), ("build", "extra_hosts"), ("deploy", "labels"),
}  # fmt: skip
_NAMES = {("networks",), ("models",)}
_LISTS = {("dns",), ("dns_opt",), ("dns_search",), ("env_file",), ("label_file",), ("tmpfs",)}


def merge(base: Item, over: Item, path: Path) -> Item:
    """`over` laid over `base`; `path` are the keys that lead there from the file's top. Neither is changed.

    Raises InputError where the two cannot be merged (a list over a mapping).
    """
    inner = path[2:] if path[:1] == ("services",) and len(path) > 2 else ()
    if inner in _REPLACED:
        return _layered(over.value, base, over)
    if over.value is None:
        return base
    if base.value is None:
        return over
    if inner == ("depends_on",):
        return _mappings(_edges(base), _edges(over), base, over, path)
    if inner in _BY_KEY or (path[:1] in (("networks",), ("volumes",)) and path[2:] == ("labels",)):
        return _by_key(base, over)
    if inner in _NAMES:
        return _mappings(_named(base), _named(over), base, over, path)
    if inner in _LISTS:
        return _appended(_listed(base), _listed(over), base, over, inner)
    if inner == ("build",):
        return _mappings(_context(base), _context(over), base, over, path)
    if inner == ("logging",) and _other_driver(base, over):
        return _layered(over.value, base, over)
    if inner[:1] == ("ulimits",) and len(inner) == 2:
        return _layered(over.value, base, over)
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _mappings(base, over, base, over, path)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return _appended(base, over, base, over, inner)
    if isinstance(base.value, dict | list):
        kind = "mapping" if isinstance(base.value, dict) else "list"
        raise over.bad(".".join(path), f"cannot be laid over the {kind} of an earlier file", f"write a {kind}")
    return _layered(over.value, base, over)


def _layered(value: Any, base: Item, over: Item) -> Item:
    item = Item(value, over.node, over.source)
    item.keys = over.keys
    item.layers = (*base.parts, *over.parts)
    return item


def _mappings(base: Item, over: Item, base_from: Item, over_from: Item, path: Path) -> Item:
    dropped = {*over.resets, *over.overrides}
    value = {key: child for key, child in base.value.items() if key not in dropped}
    keys = {key: place for key, place in base.keys.items() if key in value and key not in over.value}
    for key, child in over.value.items():
        value[key] = merge(value[key], child, (*path, key)) if key in value else child
    keys.update(over.keys)
    item = Item(value, over_from.node, over_from.source)
    item.keys = keys
    item.resets = tuple({*base.resets, *over.resets})
    item.overrides = tuple({*base.overrides, *over.overrides})
    item.layers = (*base_from.parts, *over_from.parts)
    return item


def _converted(item: Item, child: Callable[[Item], tuple[str, Item]]) -> Item:
    """A list as the mapping that Compose makes of it."""
    if not isinstance(item.value, list):
        return item
    return Item(dict(child(element) for element in item.value), item.node, item.source)


def _edges(item: Item) -> Item:
    return _converted(item, lambda element: (str(element.value), started(element)))


def started(element: Item) -> Item:
    """What an item of a `depends_on` list means. Its node is the list's scalar."""
    made = Item({}, element.node, element.source)
    made.value = {
        "condition": Item("service_started", element.node, element.source),
        "required": Item(True, element.node, element.source),
    }
    return made


def _named(item: Item) -> Item:
    return _converted(item, lambda element: (str(element.value), Item(None, element.node, element.source)))


def _listed(item: Item) -> Item:
    if isinstance(item.value, list):
        return item
    return Item([item], item.node, item.source)


def _context(item: Item) -> Item:
    if isinstance(item.value, dict):
        return item
    return Item({"context": Item(item.value, item.node, item.source)}, item.node, item.source)


def _other_driver(base: Item, over: Item) -> bool:
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return True
    first, second = base.value.get("driver"), over.value.get("driver")
    return first is not None and second is not None and bool(first.value != second.value)


def _by_key(base: Item, over: Item) -> Item:
    if isinstance(base.value, list) and isinstance(over.value, list):
        return _appended(base, over, base, over, ("environment",))
    dropped = {*over.resets, *over.overrides}
    value: dict[str, Item] = {}
    keys: dict[str, Key] = {}
    for side in (base, over):
        for key, child in _pairs(side):
            if side is base and key in dropped:
                continue
            value[key] = child
            if key in side.keys:
                keys[key] = side.keys[key]
            else:
                keys.pop(key, None)
    item = Item(value, over.node, over.source)
    item.keys = keys
    item.layers = (*base.parts, *over.parts)
    return item


def _pairs(item: Item) -> list[tuple[str, Item]]:
    if isinstance(item.value, dict):
        return list(item.value.items())
    elements = item.value if isinstance(item.value, list) else [item]
    return [pair(element) for element in elements]


def pair(element: Item) -> tuple[str, Item]:
    """A `NAME=value` of a list as a name and an item; the item's node is the whole scalar, and its value None when
    there is no `=`."""
    name, equals, value = str(element.value).partition("=")
    return name, Item(value if equals else None, element.node, element.source)


def _appended(base: Item, over: Item, base_from: Item, over_from: Item, inner: Path) -> Item:
    identity = _IDENTITY.get(inner[-1] if inner else "")
    if identity is None:
        value = [*base.value, *over.value]
    else:
        unique: dict[Any, Item] = {}
        for element in (*base.value, *over.value):
            unique[identity(element)] = element
        value = list(unique.values())
    item = Item(value, over_from.node, over_from.source)
    item.layers = (*base_from.parts, *over_from.parts)
    return item


def _by_name(element: Item) -> Any:
    return str(element.value).partition("=")[0] if not isinstance(element.value, dict) else id(element)


def _by_target(element: Item) -> Any:
    """A mount's target: the second part of the short form, or the only one."""
    if isinstance(element.value, dict):
        target = element.value.get("target")
        return target.value if target is not None else id(element)
    parts = str(element.value).split(":")
    if len(parts) > 1 and len(parts[0]) == 1 and parts[1].startswith(("\\", "/")) and len(parts) > 2:
        parts = [":".join(parts[:2]), *parts[2:]]
    return parts[1] if len(parts) > 1 else parts[0]


def _by_path(element: Item) -> Any:
    if isinstance(element.value, dict):
        path = element.value.get("path")
        return path.value if path is not None else id(element)
    return element.value


def _by_mount(element: Item) -> Any:
    if isinstance(element.value, dict):
        found = element.value.get("target") or element.value.get("source")
        return found.value if found is not None else id(element)
    return element.value


def _by_port(element: Item) -> Any:
    """A port's whole meaning: two entries for one target and different host ports are two entries."""
    if not isinstance(element.value, dict):
        return str(element.value)
    parts = {key: child.value for key, child in element.value.items()}
    return (
        str(parts.get("host_ip", "")), str(parts.get("published")), str(parts.get("target")),
        str(parts.get("protocol", "tcp")),
    )  # fmt: skip


_IDENTITY: dict[str, Callable[[Item], Any]] = {
    "environment": _by_name, "labels": _by_name, "annotations": _by_name, "sysctls": _by_name, "args": _by_name,
    "additional_contexts": _by_name, "cap_add": _by_name, "cap_drop": _by_name, "dns": _by_name,
    "dns_opt": _by_name, "dns_search": _by_name, "expose": _by_name, "links": _by_name, "aliases": _by_name,
    "profiles": _by_name, "tmpfs": _by_name, "tags": _by_name, "extra_hosts": lambda element: str(element.value),
    "env_file": _by_path, "ports": _by_port, "volumes": _by_target, "devices": _by_target,
    "secrets": _by_mount, "configs": _by_mount,
}  # fmt: skip
