"""Plans the edits of settings below a service: values set where they stand, or added with the mappings that lead to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ruamel.yaml.nodes import MappingNode

from runbooks.compose import layout
from runbooks.compose.assemble import Own
from runbooks.compose.desk import Blocked, Desk, raw_entries, write_section
from runbooks.compose.intent import Meaning, resolved
from runbooks.compose.layout import Cut, Form, Value
from runbooks.compose.nodes import Document, alias_range, end, entries, entry_end, is_alias, start
from runbooks.compose.operations import RemoveSetting, SetSetting
from runbooks.compose.tree import Item

_Tree = dict[str, Any]
"""Settings to be written as nested mappings; the leaves are values."""


class SettingPlanner:
    """Plans all settings of one attempt: those of one service and place together, so that they share what is made."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before

    def plan(self, operations: Mapping[int, SetSetting | RemoveSetting]) -> None:
        groups: dict[tuple[str, str, int], dict[int, SetSetting]] = {}
        for number, operation in operations.items():
            if isinstance(operation, RemoveSetting):
                self._remove(operation, number)
                continue
            if self._holds(operation):
                continue
            place = self._place(operation, number)
            groups.setdefault((operation.service, operation.path[0], place), {})[number] = operation
        for (service, section, place), found in groups.items():
            tree: _Tree = {}
            for operation in found.values():
                _put(tree, operation.path[1:], operation.value)
            try:
                self._write(service, section, place, tree, tuple(found))
            except Blocked as blocked:
                self.desk.block(found, blocked)

    def _remove(self, operation: RemoveSetting, number: int) -> None:
        """Takes the key out of each place where the service itself has it; others may bring it all the same."""
        for own in self.desk.assembly.owns[operation.service]:
            node, document = own.item.node, own.item.source.document
            if not isinstance(node, MappingNode) or is_alias(own.key.node, node):
                continue
            found = entries(node)
            areas = [(start(key), entry_end(document, key, value)) for key, value in found]
            for at, (key, _) in enumerate(found):
                if key.value == operation.key:
                    self.desk.put(document, [_gone(document, node, areas, at)], [number])

    def _holds(self, operation: SetSetting) -> bool:
        found: Any = self.before.rest[operation.service]
        for key in operation.path:
            if not isinstance(found, Mapping) or key not in found:
                return False
            found = found[key]
        return bool(found == resolved(operation.value, self.desk.assembly.scope.lookup))

    def _place(self, operation: SetSetting, number: int) -> int:
        """Which of the places where the service is written says most of the way; the last of them, as it wins."""
        owns = self.desk.assembly.owns[operation.service]
        if number in self.desk.late:
            return len(owns) - 1
        depths = [_depth(own.item, operation.path) for own in owns]
        return max(range(len(owns)), key=lambda at: (depths[at], at if depths[at] else -at))

    def _write(self, service: str, section: str, place: int, tree: Any, numbers: tuple[int, ...]) -> None:
        own = self.desk.assembly.owns[service][place]
        document, node = own.item.source.document, own.item.node
        if not isinstance(node, MappingNode) or not node.value or is_alias(own.key.node, node):
            if "" in tree:
                raise Blocked(self.desk.place(service), f"service {service} is written elsewhere", "set it by hand")
            write_section(self.desk, service, section, tree, lambda below: _laid(below, tree), numbers, lambda _: True)
            return
        shape = _form(document, own)
        value = tree.get("", tree)
        self.desk.put(document, _entry(document, own.item, section, value, shape), numbers)


def _gone(document: Document, node: MappingNode, areas: list[tuple[int, int]], at: int) -> Cut:
    begin, stop = areas[at]
    if not node.flow_style:
        return layout.remove_lines(document, begin, stop)
    if at + 1 < len(areas):
        return Cut(begin, areas[at + 1][0], "")
    return Cut(areas[at - 1][1] if at else begin, stop, "")


def _put(tree: _Tree, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1] if path else ""] = value


def _depth(item: Item, path: tuple[str, ...]) -> int:
    depth = 0
    while depth < len(path) and isinstance(item.value, dict) and path[depth] in item.value:
        item, depth = item.value[path[depth]], depth + 1
    return depth


def _form(document: Document, own: Own) -> Form:
    return layout.form(document, own.item.node, document.column(own.key.node.start_mark.index))


def _entry(document: Document, item: Item, name: str, value: Any, shape: Form) -> list[Cut]:
    """Sets one entry of a mapping that belongs to the service alone."""
    below = item.value.get(name)
    key = item.keys.get(name)
    if below is None or key is None:
        return layout.add_entry(document, item.node, name, cast(Value, value), shape)
    if key.holder is not item.node:
        # `<<` brought it: an entry of its own stands before that, and must then say all of it.
        return layout.add_entry(document, item.node, name, _laid(below, value), shape)
    if is_alias(key.node, below.node):
        area = alias_range(document, end(key.node))
        if area is None:
            raise Blocked(document.place(key.node), "the alias after this key could not be found", "write it out")
        return [Cut(*area, layout.flow(_laid(below, value), shape.quote))]
    if not isinstance(value, Mapping):
        return layout.in_place(document, below.node, value)
    if isinstance(below.node, MappingNode) and below.node.value:
        inner = layout.form(document, below.node, document.column(key.node.start_mark.index))
        return [cut for child, made in value.items() for cut in _entry(document, below, child, made, inner)]
    if below.value is None or below.value == {}:
        if item.node.flow_style or not below.node.start_mark.index >= end(key.node):
            return layout.in_place(document, below.node, cast(Value, value))
        return layout.fill(document, key.node, below.node, cast("Mapping[str, Value]", value), shape)
    raise Blocked(document.place(below.node), f"{name} is no mapping here", "write it as a mapping")


def _laid(below: Item, value: Any) -> Any:
    """What stands there with the new settings over it, references kept, to be written anew."""
    if not isinstance(value, Mapping) or not isinstance(below.value, dict):
        return value
    made: dict[str, Any] = {**raw_entries(below)}
    for name, child in value.items():
        made[name] = _laid(below.value[name], child) if name in below.value else child
    return made
