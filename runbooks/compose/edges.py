"""Plans the edits of `depends_on`: conditions, additions and removals, in whatever form the edges are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from runbooks.compose import layout, scalars
from runbooks.compose.desk import Blocked, Desk, direct, others, write_section
from runbooks.compose.intent import Meaning, wanted_edge
from runbooks.compose.layout import Cut, Form, Value
from runbooks.compose.model import AddDependency, RemoveDependency, SetCondition
from runbooks.compose.nodes import (
    Document,
    alias_range,
    content_end,
    content_start,
    end,
    entries,
    entry_end,
    is_alias,
    item_range,
    start,
)
from runbooks.compose.tree import Item

SECTION = "depends_on"
Edges = dict[str, dict[str, Any]]
EdgeOperation = SetCondition | AddDependency | RemoveDependency


@dataclass
class _Rewrite:
    """A list of edges that gets new items, or becomes a mapping because some of its edges need one."""

    item: Item
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    added: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)


class EdgePlanner:
    """Plans all edge operations of one attempt together: a list that several of them touch is rewritten once."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before
        self.rewrites: dict[int, _Rewrite] = {}
        self.wanted: dict[str, Edges] = {}
        self.numbers: dict[tuple[str, str], list[int]] = {}
        self.covered: set[tuple[str, str]] = set()

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

    def _state(self, service: str) -> Edges:
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
        part = _winning(parts, name, keys[0])
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
        self.desk.put(document, [Cut(*area, layout.flow(_value(then), None))], numbers)
        return True

    def _change(self, name: str, key: str, then: dict[str, Any], parts: Sequence[Item], numbers: list[int]) -> bool:
        part = _winning(parts, name, key)
        if isinstance(part.node, SequenceNode):
            if not self._agreed(part.node, name, then, None):
                return False
            rewrite = self.rewrites.setdefault(id(part.node), _Rewrite(part))
            rewrite.changed[name] = then
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
        for path in self.desk.users.of(node):
            if path[0] != "services" or len(path) < 3 or path[2] != SECTION:
                return False
            edge = self._state(path[1]).get(path[3] if len(path) > 3 and not path[3].isdigit() else name)
            if edge is None or then is None:
                if edge is not then:
                    return False
            elif (edge != then) if key is None else (edge[key] != then[key]):
                return False
        return True

    def _add(self, service: str, name: str, then: dict[str, Any], parts: Sequence[Item], numbers: list[int]) -> bool:
        part = self._container(service, name, then, parts)
        if part is None:
            return False
        if isinstance(part.node, SequenceNode):
            rewrite = self.rewrites.setdefault(id(part.node), _Rewrite(part))
            rewrite.added[name] = then
            rewrite.numbers.update(numbers)
            return True
        self.desk.put(part.source.document, _new_entry(part, name, then), numbers)
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
        found = [part for part in parts if name in _names(part)]
        if not all(self._agreed(part.node, name, None, None) for part in found):
            return False
        for part in found:
            self.desk.put(part.source.document, _removal(part, name, self._gone(service, part)), numbers)
        return True

    def _gone(self, service: str, part: Item) -> bool:
        """Whether nothing of a collection of edges stays."""
        return all(name not in self.wanted[service] for name in _names(part))

    def _own(self, service: str, names: list[str]) -> None:
        then = self.wanted[service]
        names = [name for name in names if (service, name) not in self.covered]
        if not names:
            return
        numbers = sorted({number for name in names for number in self.numbers[service, name]})
        gone = [name for name in names if name not in then]

        def whole(below: Item) -> Mapping[str, Value]:
            kept = {name: then[name] for name in _names(below) if name in then}
            return {
                name: _value(edge)
                for name, edge in (kept | {name: then[name] for name in names if name in then}).items()
            }

        def agrees(other: str) -> bool:
            return all(self._state(other).get(name) == then.get(name) for name in names)

        changes = {name: _value(then[name]) for name in names if name in then}
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
        plain = all(edge == wanted_edge(None, _STARTED) for edge in rewrite.added.values())
        if not rewrite.changed and plain:
            self.desk.put(document, _appended(part, list(rewrite.added)), rewrite.numbers)
            return
        convert = _flow_map if node.flow_style else _block_map
        self.desk.put(document, convert(part, rewrite.changed, rewrite.added), rewrite.numbers)


_STARTED = AddDependency("", "", "service_started")


def _names(part: Item) -> list[str]:
    if isinstance(part.value, list):
        return [str(element.value) for element in part.value]
    return list(part.value) if isinstance(part.value, dict) else []


def _winning(parts: Sequence[Item], name: str, key: str) -> Item:
    """The strongest place that says `key` of an edge; else the strongest that names the edge."""
    naming = [part for part in parts if name in _names(part)]
    saying = [
        part
        for part in naming
        if isinstance(part.value, list) or (isinstance(part.value[name].value, dict) and key in part.value[name].value)
    ]
    return (saying or naming)[-1]


def _value(edge: Mapping[str, Any]) -> dict[str, Value]:
    """An edge as it is written: what is the default is left out."""
    made: dict[str, Value] = {"condition": edge["condition"]}
    if edge.get("required") is not True:
        made["required"] = edge["required"]
    if edge.get("restart") is not False:
        made["restart"] = edge["restart"]
    return made | {key: value for key, value in edge.items() if key not in ("condition", "required", "restart")}


def _new_entry(part: Item, name: str, edge: Mapping[str, Any]) -> list[Cut]:
    document, node = part.source.document, part.node
    above = document.key_of(node)
    found = entries(node)
    parent = document.column(start(above)) if above is not None else 0
    shape = layout.form(document, node, parent) if found else Form(2, None, document.newline)
    if not node.flow_style and found and getattr(found[-1][1], "flow_style", False):
        sibling: Any = found[-1][1]
        pad = layout.pad_of(document, sibling)
        line = " " * layout.column(document, node) + layout.pair(name, _value(edge), shape.quote, pad)
        return layout.add_lines(document, node, [line])
    return layout.add_entry(document, node, name, _value(edge), shape)


def _appended(part: Item, names: list[str]) -> list[Cut]:
    document, node = part.source.document, part.node
    style = _style(node)
    if node.flow_style:
        return layout.add_in_flow(
            document, node, ", ".join(scalars.write(name, style=style, flow=True) for name in names)
        )
    dash = _dash(document, node, 0)
    indent = " " * document.column(dash)
    return layout.add_lines(document, node, [f"{indent}- {scalars.write(name, style=style)}" for name in names])


def _style(node: SequenceNode) -> str | None:
    styles = {item.style for item in node.value if isinstance(item, ScalarNode)}
    return styles.pop() if len(styles) == 1 else None


def _dash(document: Document, node: SequenceNode, number: int) -> int:
    return document.text.rfind("-", 0, item_range(document, node, number)[0])


def _item_key(part: Item, number: int, name: str) -> str:
    """An item of a list as a mapping's key, in the quotes that it has."""
    element = part.value[number]
    node = element.node
    if "$" in node.value:
        raise Blocked(
            part.source.document.place(node),
            "the dependency's name comes from a variable, and Compose does not look for those in keys",
            "write the name itself",
        )
    return scalars.write(name, style=node.style, key=True)


def _flow_map(part: Item, changed: Edges, added: Edges) -> list[Cut]:
    """`[a, b]` as `{a: {...}, b: {...}}`."""
    document, node = part.source.document, part.node
    begin = content_start(document, node)
    cuts = [Cut(begin, begin + 1, "{"), Cut(end(node) - 1, end(node), "}")]
    quote = _style(node)
    quoted = quote if quote == '"' else None
    for number, name in enumerate(_names(part)):
        edge = changed.get(name) or wanted_edge(None, _STARTED)
        text = f"{_item_key(part, number, name)}: {layout.flow(_value(edge), quoted)}"
        cuts.append(Cut(*item_range(document, node, number), text))
    for name, edge in added.items():
        cuts += layout.add_in_flow(document, node, layout.pair(name, _value(edge), quote))
    return cuts


def _block_map(part: Item, changed: Edges, added: Edges) -> list[Cut]:
    """Lines of `- a` as a mapping, each comment where it was."""
    document, node = part.source.document, part.node
    above = document.key_of(node)
    parent = document.column(start(above)) if above is not None else 0
    dash = document.column(_dash(document, node, 0))
    step = dash - parent if dash > parent else _step(document, above)
    indent = dash if dash > parent else parent + step
    cuts: list[Cut] = []
    quote = '"' if _style(node) == '"' else None
    for number, name in enumerate(_names(part)):
        begin, stop = item_range(document, node, number)
        mark = _dash(document, node, number)
        line = document.line_start(mark)
        # Behind an explicit key (`? depends_on` and `: - db`) the first item does not begin its line.
        opening = not document.text[line:mark].strip()
        if "\n" in document.text[mark:begin]:
            raise Blocked(
                document.place_at(mark), "this item does not stand beside its dash", "write - NAME in one line"
            )
        edge = changed.get(name) or wanted_edge(None, _STARTED)
        until = document.line_end(stop)
        lines = _lines(edge, indent + step, document, quote)
        text = _item_key(part, number, name) + ":"
        cuts.append(Cut(line, stop, " " * indent + text) if opening else Cut(mark, stop, text))
        cuts.append(Cut(until, until, lines))
    if added:
        shape = Form(step, quote, document.newline)
        for name, edge in added.items():
            new = layout.block(_value(edge), name, indent, shape)
            cuts.append(Cut(until, until, "".join(document.newline + line for line in new)))
    return cuts


def _step(document: Document, above: ScalarNode | None) -> int:
    """A level's indentation around a key: from the key that its mapping stands under."""
    holder = next((holder for holder in _holders(document, above)), None) if above is not None else None
    if holder is None or above is None:
        return 2
    step = document.column(start(above)) - document.column(start(holder))
    return step if 1 <= step <= 8 else 2


def _holders(document: Document, key: ScalarNode) -> list[ScalarNode]:
    """The key that the mapping of a key stands under."""
    todo: list[Node] = [document.root] if document.root is not None else []
    while todo:
        node = todo.pop()
        if isinstance(node, MappingNode):
            if any(mine is key for mine, _ in node.value):
                above = document.key_of(node)
                return [above] if above is not None else []
            todo.extend(value for _, value in node.value if start(value) <= start(key) < end(value))
    return []


def _lines(edge: Mapping[str, Any], indent: int, document: Document, quote: str | None) -> str:
    pairs = (layout.pair(key, value, quote) for key, value in _value(edge).items())
    return "".join(f"{document.newline}{' ' * indent}{pair}" for pair in pairs)


def _removal(part: Item, name: str, gone: bool) -> list[Cut]:
    """An edge's lines taken out; the whole section's where no edge stays."""
    document, node = part.source.document, part.node
    above = document.key_of(node)
    if gone and above is not None and not _in_flow(document, above):
        return [layout.remove_lines(document, start(above), content_end(document, node))]
    if isinstance(node, SequenceNode):
        areas = [item_range(document, node, number) for number in range(len(node.value))]
        at = _names(part).index(name)
    else:
        found = entries(node)
        areas = [(start(key), entry_end(document, key, value)) for key, value in found]
        at = next(number for number, (key, _) in enumerate(found) if key.value == name)
    if not node.flow_style:
        return [layout.remove_lines(document, *areas[at])]
    begin, stop = areas[at]
    if at + 1 < len(areas):
        return [Cut(begin, areas[at + 1][0], "")]
    return [Cut(areas[at - 1][1], stop, "")] if at else [Cut(begin, stop, "")]


def _in_flow(document: Document, key: ScalarNode) -> bool:
    line = document.text[document.line_start(start(key)) : start(key)]
    return bool(line.strip())
