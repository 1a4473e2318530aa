"""What the planners of edits share: the stack, who uses what, the edits so far, and a service's own sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ruamel.yaml.nodes import MappingNode, ScalarNode

from runbooks.compose import layout, scalars
from runbooks.compose.assemble import Assembly, Own
from runbooks.compose.layout import Cut, Form, Raw, Value
from runbooks.compose.model import Place, Stack
from runbooks.compose.nodes import Document, alias_range, content_end, end, entries, is_alias, start
from runbooks.compose.operations import Edit, Operation
from runbooks.compose.sharing import Users
from runbooks.compose.tree import Item


class Blocked(Exception):
    """An operation that cannot be carried out: where, what is in the way, and what to do."""

    def __init__(self, place: Place, reason: str, mend: str) -> None:
        super().__init__(reason)
        self.place, self.reason, self.mend = place, reason, mend


class Planned(NamedTuple):
    """An edit and the operations (by number) that it serves."""

    edit: Edit
    operations: frozenset[int]


@dataclass
class Desk:
    """One attempt at a set of operations. `late`: write own sections into the last file that names the service."""

    stack: Stack
    assembly: Assembly
    operations: Mapping[int, Operation]
    own: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    planned: list[Planned] = field(default_factory=list)
    blocked: dict[int, Blocked] = field(default_factory=dict)

    @cached_property
    def users(self) -> Users:
        return Users(self.assembly)

    def put(self, document: Document, cuts: Iterable[Cut], numbers: Iterable[int]) -> None:
        """Records splices of a file's characters."""
        served = frozenset(numbers)
        for cut in cuts:
            self.put_bytes(document.path, document.byte(cut.start), document.byte(cut.end), cut.text.encode(), served)

    def put_bytes(self, path: str, begin: int, stop: int, text: bytes, numbers: Iterable[int]) -> None:
        """Records a splice of a file's bytes."""
        served = frozenset(numbers)
        reasons = dict.fromkeys(self.operations[number].reason for number in sorted(served))
        reason = "; ".join(reason for reason in reasons if reason)
        self.planned.append(Planned(Edit(path, begin, stop, text, reason), served))

    def block(self, numbers: Iterable[int], blocked: Blocked) -> None:
        for number in numbers:
            self.blocked.setdefault(number, blocked)

    def section(self, service: str, name: str) -> Item | None:
        """What a service says under a key, after merging; None for nothing."""
        item = self.assembly.services[service]
        found = item.value.get(name) if isinstance(item.value, dict) else None
        return found if found is not None and found.value is not None else None

    def place(self, service: str) -> Place:
        return self.stack.services[service].place


def others(names: Iterable[str]) -> str:
    """Services in words, at most three of them by name."""
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def direct(own: Own, section: str) -> MappingNode | None:
    """The service's mapping in this place, when it says something under `section` itself."""
    key = own.item.keys.get(section)
    node = own.item.node
    return node if key is not None and key.holder is node and isinstance(node, MappingNode) else None


def write_section(
    desk: Desk,
    service: str,
    section: str,
    changes: Mapping[str, Value],
    whole: Callable[[Item], Mapping[str, Value]],
    numbers: Iterable[int],
    agrees: Callable[[str], bool],
) -> list[str]:
    """Writes entries into a service's own `section`, so that they win over what is shared.

    `changes` are the entries alone, enough where Compose merges (other files, `extends`); `whole` gives all of them
    where YAML's `<<` or an alias brought the section, which an own one replaces. `agrees` says of another service that
    it is meant to change in the same way; those that take the entries over from here are returned. Raises Blocked.
    """
    numbers = tuple(numbers)
    own = _chosen(desk, service, section, numbers)
    document = own.item.source.document
    heirs = [] if is_alias(own.key.node, own.item.node) else _affected(desk, own, service, section)
    affected = [other for other in heirs if not agrees(other)]
    if affected:
        raise Blocked(
            document.place(own.key.node),
            f"service {others(affected)} takes over what service {service} says, and would change too",
            f"give {others(affected)} a {section} of its own first",
        )
    below = own.item.value.get(section) if isinstance(own.item.value, dict) else None
    desk.put(document, _section(document, own, section, changes, below, whole), numbers)
    return heirs


def _chosen(desk: Desk, service: str, section: str, numbers: tuple[int, ...]) -> Own:
    owns = desk.assembly.owns[service]
    if not desk.late.isdisjoint(numbers):
        return owns[-1]
    for own in owns:
        if isinstance(own.item.value, dict) and section in own.item.value:
            return own
    return owns[0]


def _affected(desk: Desk, own: Own, service: str, section: str) -> list[str]:
    """Services besides this one that would see an entry added to its mapping."""
    found = []
    for path in desk.users.of(own.item.node):
        if path[0] != "services" or len(path) != 2:
            found.append(".".join(path))
        elif path[1] != service:
            item = desk.assembly.services[path[1]]
            key = item.keys.get(section)
            if item.layers or key is None or key.holder is own.item.node:
                found.append(path[1])
    return found


def _section(
    document: Document,
    own: Own,
    section: str,
    changes: Mapping[str, Value],
    below: Item | None,
    whole: Callable[[Item], Mapping[str, Value]],
) -> list[Cut]:
    node, key = own.item.node, own.key.node
    shape = service_form(document, own)
    if is_alias(key, node):
        entire = changes if below is None or below.value is None else whole(below)
        name = _alias(document, key)
        return _in_place_of_alias(document, key, {"<<": Raw(name), section: entire}, shape)
    if not isinstance(node, MappingNode) or not node.value:
        if isinstance(node, MappingNode) and node.flow_style and _json(document):
            return layout.add_entry(document, node, section, changes, shape)
        return layout.fill(document, key, node, {section: changes}, shape)
    mine = next(((name, value) for name, value in entries(node) if name.value == section), None)
    if mine is None:
        entire = changes if below is None or below.value is None else whole(below)
        return layout.add_entry(document, node, section, entire, shape)
    name_node, value = mine
    if is_alias(name_node, value):
        entire = {"<<": Raw(_alias(document, name_node)), **changes}
        if not isinstance(value, MappingNode) and below is not None:
            entire = dict(whole(below))
        if node.flow_style:
            area = alias_range(document, end(name_node)) or (end(name_node), end(name_node))
            return [Cut(*area, layout.flow(entire, shape.quote))]
        return _in_place_of_alias(document, name_node, entire, shape)
    if isinstance(value, MappingNode) and value.value:
        inner = layout.form(document, value, document.column(start(name_node)))
        return [cut for name, child in changes.items() for cut in layout.add_entry(document, value, name, child, inner)]
    if isinstance(value, ScalarNode) or not value.value:
        if node.flow_style:
            area = (start(value), content_end(document, value))
            return layout.replace_value(document, area, layout.flow(changes, shape.quote))
        return layout.fill(document, name_node, value, changes, shape)
    raise Blocked(
        document.place(value),
        f"the {section} here does not count: another file resets or replaces it",
        f"write the service's {section} in one file",
    )


def _json(document: Document) -> bool:
    return document.text.lstrip().startswith("{")


def _alias(document: Document, key: ScalarNode) -> str:
    area = alias_range(document, end(key))
    if area is None:
        raise Blocked(document.place(key), "the alias after this key could not be found", "write the value out")
    return document.text[area[0] : area[1]]


def _in_place_of_alias(document: Document, key: ScalarNode, inner: Mapping[str, Value], shape: Form) -> list[Cut]:
    area = alias_range(document, end(key))
    if area is None:
        raise Blocked(document.place(key), "the alias after this key could not be found", "write the value out")
    indent = document.column(start(key)) + shape.step
    begin = area[0]
    while document.text[begin - 1] in " \t":
        begin -= 1
    until = document.line_end(area[1])
    # One insertion an entry: another section written in place of the same alias shares the merge.
    blocks = (layout.block(child, name, indent, shape) for name, child in inner.items())
    texts = ("".join(document.newline + line for line in block) for block in blocks)
    return [Cut(begin, area[1], ""), *(Cut(until, until, text) for text in texts)]


def service_form(document: Document, own: Own) -> Form:
    """How a service's own keys are written."""
    node, key = own.item.node, own.key.node
    if isinstance(node, MappingNode) and node.value and not is_alias(key, node):
        return layout.form(document, node, document.column(start(key)))
    holder = own.key.holder
    shape = layout.form(document, holder, document.column(start(holder)) - 2)
    above = document.key_of(holder)
    step = document.column(start(key)) - document.column(start(above)) if above is not None else 2
    return Form(step if 1 <= step <= 8 else 2, shape.quote, document.newline)


def raw_entries(item: Item) -> dict[str, Value]:
    """A section's entries as they are written, references included, to be written again elsewhere."""
    if isinstance(item.value, list):
        pairs = (str(element.node.value).partition("=") for element in item.value)
        return {name: Raw(scalars.write(value) if equals else "") for name, equals, value in pairs}
    return {name: _raw(child) for name, child in item.value.items()}


def _raw(item: Item) -> Value:
    node = item.node
    if isinstance(item.value, list):
        return Raw(layout.flow(tuple(str(element.node.value) for element in item.value), None))
    if isinstance(item.value, dict):
        return {name: _raw(child) for name, child in item.value.items()}
    if isinstance(node, ScalarNode) and not node.style and "\n" not in node.value:
        return Raw(node.value)
    return Raw(scalars.write(str(node.value), style=node.style if node.style in ("'", '"') else None))
