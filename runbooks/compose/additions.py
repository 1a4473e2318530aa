"""Plans what is added to a project as a whole: services after the others, and entries of the sections beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from runbooks.compose import layout
from runbooks.compose.assemble import at
from runbooks.compose.desk import Blocked, Desk
from runbooks.compose.intent import Meaning
from runbooks.compose.layout import Cut, Form, Items, Value
from runbooks.compose.model import Place
from runbooks.compose.nodes import Document, content_end, entries, is_alias, start
from runbooks.compose.operations import AddResource, AddService

_LINES = ("volumes", "ports", "networks", "profiles", "cap_drop", "security_opt", "configs", "depends_on", "env_file")
"""Lists that people write with a line for each item; `command` and `test` stay in brackets."""


class AdditionPlanner:
    """Plans all additions of one attempt, in the first Compose file that has the section."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before

    def plan(self, operations: Mapping[int, AddService | AddResource]) -> None:
        made: dict[str, dict[str, tuple[Any, list[int]]]] = {}
        for number, operation in operations.items():
            if isinstance(operation, AddService):
                section, name = "services", operation.service
            else:
                section, name = operation.section, operation.name
                if name in (self.before.sections.get(section) or {}):
                    continue
            made.setdefault(section, {}).setdefault(name, (operation.definition, []))[1].append(number)
        for section, entries_ in made.items():
            numbers = [number for _, found in entries_.values() for number in found]
            try:
                self._section(section, {name: found for name, (found, _) in entries_.items()}, numbers)
            except Blocked as blocked:
                self.desk.block(numbers, blocked)

    def _section(self, section: str, made: Mapping[str, Any], numbers: list[int]) -> None:
        spec = self.desk.stack.spec
        documents = [self.desk.assembly.documents.get(at(spec.directory, path)) for path in spec.compose_files]
        roots = [(each, each.root) for each in documents if each is not None and isinstance(each.root, MappingNode)]
        for document, root in roots:
            for key, value in entries(root):
                if key.value == section:
                    self.desk.put(document, _into(document, root, key, value, section, made), numbers)
                    return
        if not roots:
            raise Blocked(Place(spec.compose_files[0], 1), "there is no Compose file to add to", "name one")
        document, root = roots[0]
        self.desk.put(document, _anew(document, root, section, made), numbers)


def _into(document: Document, root: MappingNode, key: ScalarNode, value: Node, section: str, made: Mapping[str, Any]) -> list[Cut]:  # fmt: skip
    if is_alias(key, value):
        raise Blocked(document.place(key), f"{section} is an alias here", "write the section out")
    shape = layout.form(document, root, document.column(start(key)) - 2)
    if not isinstance(value, MappingNode) or not value.value:
        written = {name: _written(child) for name, child in made.items()}
        if root.flow_style or (isinstance(value, MappingNode) and value.flow_style and document.text[:1] == "{"):
            return layout.in_place(document, value, written)
        return layout.fill(document, key, value, written, shape)
    inner = layout.form(document, value, document.column(start(key)))
    if value.flow_style:
        pad = layout.pad_of(document, value)
        texts = [layout.pair(name, _written(child), inner.quote, pad) for name, child in made.items()]
        return layout.add_in_flow(document, value, *texts)
    apart = [""] if _apart(document, value) else []
    column = layout.column(document, value)
    return [
        cut
        for name, child in made.items()
        for cut in layout.add_lines(document, value, [*apart, *_block(name, child, column, inner)])
    ]


def _anew(document: Document, root: MappingNode, section: str, made: Mapping[str, Any]) -> list[Cut]:
    written: Mapping[str, Value] = {name: _written(child) for name, child in made.items()}
    if root.flow_style:
        return layout.add_entry(document, root, section, written, layout.form(document, root, 0))
    first = next((child for _, child in entries(root) if isinstance(child, MappingNode) and child.value), None)
    step = layout.column(document, first) if first is not None and not first.flow_style else 2
    shape = Form(step if 1 <= step <= 8 else 2, None, document.newline)
    lines = [f"{section}:", *(line for name, child in made.items() for line in _block(name, child, step, shape))]
    return layout.add_lines(document, root, [*([""] if _apart(document, root) else []), *lines])


def _block(name: str, child: Any, indent: int, shape: Form) -> list[str]:
    if not child:
        return [" " * indent + f"{name}:"]
    return layout.block(_written(child), name, indent, shape)


def _written(value: Any, key: str = "") -> Any:
    """A definition as values of the layout: some lists in lines, the others in brackets."""
    if isinstance(value, Mapping):
        return {name: _written(child, name) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return Items(value) if key in _LINES else tuple(value)
    return value


def _apart(document: Document, mapping: MappingNode) -> bool:
    """Whether the last two entries have an empty line between them."""
    if len(mapping.value) < 2:
        return False
    (key, value), (last, _) = mapping.value[-2:]
    until = start(last)
    begin = max(content_end(document, value), start(key))
    return any(not line.strip() for line in document.text[begin:until].split("\n")[1:-1])
