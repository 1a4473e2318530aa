"""Plans the edits of `depends_on`: conditions, additions and removals, in whatever form the edges are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from runbooks.compose import edge_text, layout
from runbooks.compose.desk import Blocked, Desk, direct, others, write_section
from runbooks.compose.intent import Meaning, wanted_edge
from runbooks.compose.layout import Cut, Value
from runbooks.compose.nodes import (
    alias_range,
    content_end,
    content_start,
    end,
    is_alias,
    start,
)
from runbooks.compose.operations import AddDependency, RemoveDependency, SetCondition
from runbooks.compose.tree import Item

SECTION = "depends_on"
_NOBODY, _DIFFERS = object(), object()
"""Of a node that is not shared; of one whose users are to become different."""
EdgeOperation = SetCondition | AddDependency | RemoveDependency


@dataclass
class _Rewrite:
    """A list of edges that gets new items, or becomes a mapping because some of its edges need one."""

    item: Item
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    added: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    full: set[str] = field(default_factory=set)


class EdgePlanner:
    """Plans all edge operations of one attempt together: a list that several of them touch is rewritten once."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before
        self.rewrites: dict[int, _Rewrite] = {}
        self.wanted: dict[str, edge_text.Edges] = {}
        self.numbers: dict[tuple[str, str], list[int]] = {}
        self.covered: set[tuple[str, str]] = set()
        self.common: dict[tuple[int, str, str | None], Any] = {}

    def plan(self, operations: Mapping[int, EdgeOperation]) -> None:
        for number, operation in operations.items():
            self._want(number, operation)
        for service in sorted(self.wanted, key=self._weight):
            self._service(service)
        for rewrite in self.rewrites.values():
            try:
                self._render(rewrite)
            except Blocked as blocked:
                self.desk.block(rewrite.numbers, blocked)

    def _weight(self, service: str) -> int:
        """Services that others take over from come first, so that one edit serves them all."""
        return -len(self.desk.users.of(self.desk.assembly.owns[service][0].item.node))

    def _want(self, number: int, operation: EdgeOperation) -> None:
        now = self.before.edges[operation.service]
        edges = self.wanted.setdefault(operation.service, dict(now))
        name = operation.dependency
        self.numbers.setdefault((operation.service, name), []).append(number)
        if isinstance(operation, RemoveDependency):
            edges.pop(name, None)
        else:
            edges[name] = wanted_edge(edges.get(name), operation)

    def _state(self, service: str) -> edge_text.Edges:
        return self.wanted.get(service, self.before.edges.get(service, {}))

    def _service(self, service: str) -> None:
        now, then = self.before.edges[service], self.wanted[service]
        item = self.desk.section(service, SECTION)
        parts = item.parts if item is not None else ()
        own: list[str] = []
        for name in dict.fromkeys((*now, *then)):
            if now.get(name) == then.get(name):
                continue
            numbers = self.numbers[service, name]
            try:
                if not self._here(service, name, parts, numbers):
                    own.append(name)
            except Blocked as blocked:
                self.desk.block(numbers, blocked)
        if own:
            self._own(service, own)

    def _here(self, service: str, name: str, parts: Sequence[Item], numbers: list[int]) -> bool:
        """Plans a change where the edge is written; False when that place is shared with what must not change."""
        if not self.desk.own.isdisjoint(numbers):
            return False
        now, then = self.before.edges[service].get(name), self.wanted[service].get(name)
        if then is None:
            return self._remove(service, name, parts, numbers)
        if now is None:
            return self._add(service, name, then, parts, numbers)
        keys = [key for key in ("condition", "required") if now[key] != then[key]]
        if self._unaliased(name, keys, then, parts, numbers):
            return True
        return all(self._change(name, key, then, parts, numbers) for key in keys)

    def _unaliased(
        self, name: str, keys: list[str], then: dict[str, Any], parts: Sequence[Item], numbers: list[int]
    ) -> bool:
        """Writes an edge out in place of an alias to one that others share."""
        part = edge_text.winning(parts, name, keys[0])
        if not isinstance(part.value, dict):
            return False
        key, entry = part.keys.get(name), part.value[name]
        if key is None or key.holder is not part.node or not is_alias(key.node, entry.node):
            return False
        if self._agreed(entry.node, name, then, None) or not self._agreed(part.node, name, then, None):
            return False
        document = part.source.document
        area = alias_range(document, end(key.node))
        if area is None:
            return False
        self.desk.put(document, [Cut(*area, layout.flow(edge_text.edge_value(then), None))], numbers)
        return True

    def _change(self, name: str, key: str, then: dict[str, Any], parts: Sequence[Item], numbers: list[int]) -> bool:
        part = edge_text.winning(parts, name, key)
        if isinstance(part.node, SequenceNode):
            if not self._agreed(part.node, name, then, None):
                return False
            rewrite = self.rewrites.setdefault(id(part.node), _Rewrite(part))
            rewrite.changed[name] = then
            rewrite.full |= edge_text.outspoken(part, parts)
            rewrite.numbers.update(numbers)
            return True
        entry = part.value[name]
        child = entry.value.get(key)
        document = entry.source.document
        if child is not None and self._agreed(child.node, name, then, key):
            style = child.node.style if child.node.style in ("'", '"') and key == "condition" else None
            area = content_start(document, child.node), content_end(document, child.node)
            text = layout.flow(then[key], style)
            self.desk.put(document, layout.replace_value(document, area, text), numbers)
            return True
        here = entry.keys.get(key)
        if not isinstance(entry.node, MappingNode) or not self._agreed(entry.node, name, then, key):
            return False
        if here is not None and here.holder is entry.node:
            return False
        above = document.key_of(entry.node)
        if not entry.node.value and not entry.node.flow_style:
            return False
        shape = layout.form(document, entry.node, document.column(start(above)) if above is not None else 0)
        self.desk.put(document, layout.add_entry(document, entry.node, key, then[key], shape), numbers)
        return True

    def _agreed(self, node: Node, name: str, then: dict[str, Any] | None, key: str | None) -> bool:
        """Whether everything that uses a node is meant to change in the same way."""
        asked = (id(node), name, key)
        if asked not in self.common:
            self.common[asked] = self._common(node, name, key)
        common = self.common[asked]
        if common is _NOBODY:
            return True
        return bool(common == (then if key is None or then is None else then[key]))

    def _common(self, node: Node, name: str, key: str | None) -> Any:
        """What all that use a node are meant to have: an edge, one key's value, None for no edge."""
        common: Any = _NOBODY
        for path in self.desk.users.of(node):
            if path[0] != "services" or len(path) < 3 or path[2] != SECTION:
                return _DIFFERS
            edge = self._state(path[1]).get(path[3] if len(path) > 3 and not path[3].isdigit() else name)
            state = edge if edge is None or key is None else edge[key]
            if common is not _NOBODY and state != common:
                return _DIFFERS
            common = state
        return common

    def _add(self, service: str, name: str, then: dict[str, Any], parts: Sequence[Item], numbers: list[int]) -> bool:
        part = self._container(service, name, then, parts)
        if part is None:
            return False
        if isinstance(part.node, SequenceNode):
            rewrite = self.rewrites.setdefault(id(part.node), _Rewrite(part))
            rewrite.added[name] = then
            rewrite.numbers.update(numbers)
            return True
        self.desk.put(part.source.document, edge_text.new_entry(part, name, then), numbers)
        return True

    def _container(self, service: str, name: str, then: dict[str, Any], parts: Sequence[Item]) -> Item | None:
        """The service's own collection of edges that a new one goes into."""
        mine = [own.item.value[SECTION] for own in self.desk.assembly.owns[service] if direct(own, SECTION)]
        for part in parts:
            filled = isinstance(part.node, MappingNode | SequenceNode) and (part.node.value or part.node.flow_style)
            if filled and any(part is item for item in mine) and self._agreed(part.node, name, then, None):
                return part
        return None

    def _remove(self, service: str, name: str, parts: Sequence[Item], numbers: list[int]) -> bool:
        found = [part for part in parts if name in edge_text.named(part)]
        if not all(self._agreed(part.node, name, None, None) for part in found):
            return False
        for part in found:
            self.desk.put(part.source.document, edge_text.removal(part, name, self._gone(service, part)), numbers)
        return True

    def _gone(self, service: str, part: Item) -> bool:
        """Whether nothing of a collection of edges stays."""
        return all(name not in self.wanted[service] for name in edge_text.named(part))

    def _own(self, service: str, names: list[str]) -> None:
        then = self.wanted[service]
        names = [name for name in names if (service, name) not in self.covered]
        if not names:
            return
        numbers = sorted({number for name in names for number in self.numbers[service, name]})
        gone = [name for name in names if name not in then]

        def whole(below: Item) -> Mapping[str, Value]:
            kept = {name: then[name] for name in edge_text.named(below) if name in then}
            return {
                name: edge_text.edge_value(edge)
                for name, edge in (kept | {name: then[name] for name in names if name in then}).items()
            }

        def agrees(other: str) -> bool:
            return all(self._state(other).get(name) == then.get(name) for name in names)

        changes = {name: edge_text.edge_value(then[name]) for name in names if name in then}
        try:
            if gone:
                self._only_merged(service, gone)
            served = write_section(self.desk, service, SECTION, changes, whole, numbers, agrees)
            self.covered.update((other, name) for other in served for name in names)
        except Blocked as blocked:
            self.desk.block(numbers, blocked)

    def _only_merged(self, service: str, gone: list[str]) -> None:
        item = self.desk.assembly.services[service].value[SECTION]
        if item.layers or any(direct(own, SECTION) for own in self.desk.assembly.owns[service]):
            users = {other for part in item.parts for other in self.desk.users.services(part.node)} - {service}
            raise Blocked(
                item.source.document.place(item.node),
                f"the dependency on {', '.join(gone)} stands where service {others(users)} takes it from, too",
                "write the service's depends_on out in its own place",
            )

    def _render(self, rewrite: _Rewrite) -> None:
        part = rewrite.item
        document, node = part.source.document, part.node
        plain = all(edge == wanted_edge(None, edge_text.STARTED) for edge in rewrite.added.values())
        if not rewrite.changed and plain:
            self.desk.put(document, edge_text.appended(part, list(rewrite.added)), rewrite.numbers)
            return
        convert = edge_text.flow_map if node.flow_style else edge_text.block_map
        self.desk.put(document, convert(part, rewrite.changed, rewrite.added, rewrite.full), rewrite.numbers)
