"""Plans the edits of variables: a value set or added in `environment`, or a part of one replaced where it lives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from runbooks.compose import interpolation, layout, origins, scalars
from runbooks.compose.desk import Blocked, Desk, direct, raw_entries, write_section
from runbooks.compose.environment import Entry
from runbooks.compose.intent import Meaning, replaced
from runbooks.compose.layout import Cut, Raw, Value
from runbooks.compose.merge import pair
from runbooks.compose.model import ReplaceText, SetVariable, Span, Variable
from runbooks.compose.nodes import Document, content_end, content_start, item_range, start
from runbooks.compose.tree import Item

SECTION = "environment"
_DIGITS = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass
class _Goal:
    """What a variable is to be: its value, the template that is written for it, and who asks."""

    value: str
    template: str
    numbers: list[int]


class VariablePlanner:
    """Plans all operations of one attempt on variables."""

    def __init__(self, desk: Desk, before: Meaning) -> None:
        self.desk, self.before = desk, before
        self.goals: dict[tuple[str, str], _Goal] = {}
        self.values: dict[tuple[str, str], str] = {}
        self.mine: dict[str, dict[str, _Goal]] = {}
        self.covered: set[tuple[str, str]] = set()

    def plan(self, operations: Mapping[int, SetVariable | ReplaceText]) -> None:
        texts: dict[tuple[str, str], dict[int, ReplaceText]] = {}
        for number, operation in operations.items():
            if isinstance(operation, ReplaceText):
                texts.setdefault((operation.service, operation.variable), {})[number] = operation
                continue
            goal = self.goals.setdefault((operation.service, operation.name), _Goal("", "", []))
            goal.value, goal.template = operation.value, operation.value.replace("$", "$$")
            goal.numbers.append(number)
        for (service, name), found in texts.items():
            try:
                self._texts(service, name, found)
            except Blocked as blocked:
                self.desk.block(found, blocked)
        self.values.update({key: goal.value for key, goal in self.goals.items()})
        for service, name in sorted(self.goals, key=lambda key: (self._weight(key[0]), key)):
            goal = self.goals[service, name]
            try:
                self._set(service, name, goal)
            except Blocked as blocked:
                self.desk.block(goal.numbers, blocked)
        for service, goals in self.mine.items():
            self._own(service, goals)

    def _weight(self, service: str) -> int:
        return -len(self.desk.users.of(self.desk.assembly.owns[service][0].item.node))

    # a whole value

    def _set(self, service: str, name: str, goal: _Goal) -> None:
        if self.before.environment[service].get(name) == goal.value:
            return
        item = self.desk.section(service, SECTION)
        mine = not self.desk.own.isdisjoint(goal.numbers)
        if mine or item is None or not self._here(service, name, goal, item):
            self.mine.setdefault(service, {})[name] = goal

    def _here(self, service: str, name: str, goal: _Goal, item: Item) -> bool:
        for part in reversed(item.parts):
            found = find(part, name)
            if found is None:
                continue
            child, number = found
            if not self._agreed(child.node, name, goal.value):
                return False
            document = child.source.document
            self.desk.put(document, _rewritten(document, part, child, number, goal.template), goal.numbers)
            return True
        container = self._container(service, name, goal, item)
        if container is None:
            return False
        self.desk.put(container.source.document, _added(container, name, goal.template), goal.numbers)
        return True

    def _container(self, service: str, name: str, goal: _Goal, item: Item) -> Item | None:
        mine = [own.item.value[SECTION] for own in self.desk.assembly.owns[service] if direct(own, SECTION)]
        for part in item.parts:
            filled = isinstance(part.node, MappingNode | SequenceNode) and (part.node.value or part.node.flow_style)
            if filled and any(part is found for found in mine) and self._agreed(part.node, name, goal.value):
                return part
        return None

    def _agreed(self, node: Node, name: str, value: str) -> bool:
        """Whether every variable that a node has a part in is meant to get this value."""
        for path in self.desk.users.of(node):
            if path[0] != "services" or len(path) < 3 or path[2] != SECTION:
                return False
            other = path[3] if len(path) > 3 and not path[3].isdigit() else name
            if self.values.get((path[1], other), self.before.environment[path[1]].get(other)) != value:
                return False
        return True

    def _own(self, service: str, goals: Mapping[str, _Goal]) -> None:
        """Writes variables into the service's own section, all at once."""
        goals = {name: goal for name, goal in goals.items() if (service, name) not in self.covered}
        if not goals:
            return
        changes = {name: _value(goal.template) for name, goal in goals.items()}
        numbers = sorted({number for goal in goals.values() for number in goal.numbers})

        def whole(below: Item) -> Mapping[str, Value]:
            return {**raw_entries(below), **changes}

        def agrees(other: str) -> bool:
            return all(self.values.get((other, name)) == goal.value for name, goal in goals.items())

        try:
            served = write_section(self.desk, service, SECTION, changes, whole, numbers, agrees)
            self.covered.update((other, name) for other in served for name in goals)
        except Blocked as blocked:
            self.desk.block(numbers, blocked)

    # a part of a value

    def _texts(self, service: str, name: str, operations: Mapping[int, ReplaceText]) -> None:
        variable = self.desk.stack.services[service].environment[name]
        value = variable.value or ""
        made = replaced(value, operations.values())
        if made == value:
            return
        self.values[service, name] = made
        if any(operation.at == "reference" for operation in operations.values()):
            template = self._template(service, name, variable, list(operations.values()))
            self.goals[service, name] = _Goal(made, template, list(operations))
            return
        inside: list[tuple[tuple[int, int], str, int]] = []
        for number, operation in operations.items():
            span = _origin(variable, operation)
            if span.path in self.desk.assembly.documents:
                inside.append(((span.from_byte, span.to_byte), self._doubled(span, operation), number))
            else:
                self._in_env_file(span, operation, number)
        if inside:
            self._in_scalar(service, name, inside)

    def _doubled(self, span: Span, operation: ReplaceText) -> str:
        if span.reference is not None and ("}" in operation.text or "\n" in operation.text):
            place = self.desk.place(operation.service)
            raise Blocked(place, "the text cannot stand in a default inside ${...}", "set the variable itself")
        return operation.text.replace("$", "$$")

    def _in_scalar(self, service: str, name: str, changes: list[tuple[tuple[int, int], str, int]]) -> None:
        item = self.desk.assembly.services[service].value[SECTION]
        found = next((found for part in reversed(item.parts) if (found := find(part, name)) is not None), None)
        if found is None:
            raise Blocked(self.desk.place(service), f"{name} could not be found where it stands", "set it by hand")
        node, document = found[0].node, found[0].source.document
        numbers = [number for _, _, number in changes]
        cuts = []
        for (begin, stop), text, _ in changes:
            written = scalars.inside(text, node.style)
            if written is None:
                raise Blocked(document.place(node), "the text cannot stand in this scalar", "write the value in quotes")
            cuts.append(Cut(document.char(begin), document.char(stop), written))
        if not node.style and not _stays_plain(document, node, cuts):
            cuts = [_requoted(document, node, cuts)]
        self.desk.put(document, cuts, numbers)

    def _in_env_file(self, span: Span, operation: ReplaceText, number: int) -> None:
        entry = next(
            (
                entry
                for entry in self.desk.assembly.env_entries.get(span.path, [])
                if entry.start <= span.from_byte and span.to_byte <= entry.end
            ),
            None,
        )
        if entry is None:
            raise Blocked(
                self.desk.place(operation.service), "the text comes from the shell", "set the variable itself"
            )
        text = _in_entry(entry, operation.text, before=span.from_byte == entry.start)
        if text is None:
            raise Blocked(entry.place, "the text cannot stand in this line", "quote the value in the env file")
        self.desk.put_bytes(span.path, span.from_byte, span.to_byte, text.encode(), [number])

    def _template(self, service: str, name: str, variable: Variable, operations: list[ReplaceText]) -> str:
        """The variable's own text with the replacements in it; references that they leave alone stay."""
        value = variable.value or ""
        item = self.desk.section(service, SECTION)
        found = None
        if item is not None and variable.source == "environment":
            found = next((found for part in reversed(item.parts) if (found := find(part, name)) is not None), None)
        if found is None:
            return replaced(value, operations).replace("$", "$$")
        child, number = found
        template: str = child.node.value
        if number is not None:
            template = template.partition("=")[2]
        scope = child.source.scope
        pieces = interpolation.pieces(template, scope.lookup)
        if "".join(piece.text for piece in pieces) != value:
            return replaced(value, operations).replace("$", "$$")
        return _templated(pieces, template, operations)


def _templated(pieces: list[interpolation.Piece], template: str, operations: list[ReplaceText]) -> str:
    """Puts replacements into a template. A reference that a replacement touches gives way to its value."""
    groups: list[tuple[str, str, int]] = []
    at = 0
    for number, piece in enumerate(pieces):
        stop = at + len(piece.text)
        if piece.reference is None:
            groups.append((template[piece.start : piece.end], piece.text, at))
        elif number and pieces[number - 1].reference == piece.reference:
            source, text, begin = groups[-1]
            groups[-1] = (source, text + piece.text, begin)
        else:
            groups.append((template[slice(*piece.reference)], piece.text, at))
        at = stop
    made: list[str] = []
    ordered = sorted(set(operations), key=lambda each: (each.start, each.end))
    for source, text, begin in groups:
        stop = begin + len(text)
        touching = [each for each in ordered if each.start < stop and each.end > begin]
        inserted = [each for each in ordered if each.start == each.end == begin]
        made += [each.text.replace("$", "$$") for each in inserted]
        if not touching:
            made.append(source)
            continue
        cursor = begin
        for each in touching:
            made.append(text[max(cursor, begin) - begin : max(each.start, begin) - begin].replace("$", "$$"))
            if each.start >= begin:
                made.append(each.text.replace("$", "$$"))
            cursor = max(cursor, each.end)
        made.append(text[min(cursor, stop) - begin :].replace("$", "$$"))
    made += [each.text.replace("$", "$$") for each in ordered if each.start == each.end == at]
    return "".join(made)


def find(part: Item, name: str) -> tuple[Item, int | None] | None:
    """A variable in one `environment`: its item, and its number in a list."""
    if isinstance(part.value, dict):
        return (part.value[name], None) if name in part.value else None
    if isinstance(part.value, list):
        for number in range(len(part.value) - 1, -1, -1):
            if pair(part.value[number])[0] == name:
                return part.value[number], number
    return None


def _value(template: str) -> Value:
    """A mapping's value: a plain number needs no quotes, as Compose prints the same digits."""
    return int(template) if _DIGITS.fullmatch(template) else template


def _text(template: str, style: str | None, *, flow: bool) -> str:
    if not style and _DIGITS.fullmatch(template):
        return template
    return scalars.write(template, style=style, flow=flow)


def _rewritten(document: Document, part: Item, child: Item, number: int | None, template: str) -> list[Cut]:
    node: ScalarNode = child.node
    style = node.style if node.style in ("'", '"') else None
    flow = bool(getattr(part.node, "flow_style", False))
    if number is not None:
        before = node.value.partition("=")[0]
        return [Cut(*_area(document, node), scalars.write(f"{before}={template}", style=style, flow=flow))]
    return layout.replace_value(document, _area(document, node), _text(template, style, flow=flow))


def _area(document: Document, node: Node) -> tuple[int, int]:
    return content_start(document, node), content_end(document, node)


def _added(part: Item, name: str, template: str) -> list[Cut]:
    """A variable added at the end of an `environment`, in its form."""
    document, node = part.source.document, part.node
    if isinstance(node, MappingNode):
        above = document.key_of(node)
        shape = layout.form(document, node, document.column(start(above)) if above is not None else 0)
        style = _style([value for _, value in node.value])
        return layout.add_entry(document, node, name, Raw(_text(template, style, flow=bool(node.flow_style))), shape)
    written = scalars.write(f"{name}={template}", style=_style(node.value), flow=bool(node.flow_style))
    if node.flow_style:
        return layout.add_in_flow(document, node, written)
    dash = document.text.rfind("-", 0, item_range(document, node, 0)[0])
    return layout.add_lines(document, node, [f"{' ' * document.column(dash)}- {written}"])


def _style(nodes: list[Any]) -> str | None:
    """The quotes of the neighbours, where all texts among them have the same."""
    styles = {node.style for node in nodes if isinstance(node, ScalarNode)}
    only = styles.pop() if len(styles) == 1 else None
    return only if only in ("'", '"') else None


def _origin(variable: Variable, operation: ReplaceText) -> Span:
    """The one stretch of a file that holds the characters. Raises Blocked where there is none."""
    touched = origins.clip(variable.spans, operation.start, operation.end)
    if operation.start == operation.end:
        touched = _around(variable, operation.start)
    if not touched or not all(span.exact for span in touched):
        raise Blocked(
            variable.place,
            f"these characters of {variable.name} are not written as they are (an escape, a fold, or the shell's)",
            "write them out, or set the variable itself",
        )
    for before, after in pairwise(touched):
        if before.path != after.path or before.to_byte != after.from_byte:
            raise Blocked(
                variable.place,
                f"these characters of {variable.name} come from several places",
                "replace each part by itself, or put the text in place of the reference",
            )
    first, last = touched[0], touched[-1]
    return Span(0, 0, first.path, first.from_byte, last.to_byte, True, first.reference or last.reference)


def _around(variable: Variable, at: int) -> list[Span]:
    """The empty stretch at a position, in the span that it stands in or at the end of."""
    for span in variable.spans:
        if span.start <= at <= span.end and span.exact and span.to_byte - span.from_byte == span.end - span.start:
            byte = span.from_byte + at - span.start
            return [Span(0, 0, span.path, byte, byte, True, span.reference)]
    return []


def _stays_plain(document: Document, node: ScalarNode, cuts: list[Cut]) -> bool:
    begin, stop = _area(document, node)
    made = _patched(document.text, begin, stop, cuts)
    line = document.text[document.line_start(begin) : begin]
    return scalars.is_plain(made, flow=any(char in line for char in "[{") or "\n" in document.text[begin:stop])


def _requoted(document: Document, node: ScalarNode, cuts: list[Cut]) -> Cut:
    begin, stop = _area(document, node)
    return Cut(begin, stop, scalars.write(_patched(document.text, begin, stop, cuts), style="'"))


def _patched(text: str, begin: int, stop: int, cuts: list[Cut]) -> str:
    made = text[begin:stop]
    for cut in sorted(cuts, reverse=True):
        made = made[: cut.start - begin] + cut.text + made[cut.end - begin :]
    return made


def _in_entry(entry: Entry, text: str, *, before: bool) -> str | None:
    """A text as it is written in an env file's value; None where it cannot stand there."""
    if "\n" in text or "\r" in text:
        return None
    if entry.quote == "'":
        return text.replace("'", "\\'") if "\\" not in text else None
    if entry.quote == '"':
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    if " #" in text or text != text.strip() or (before and text[:1] in ("'", '"', "#")):
        return None
    return text.replace("$", "$$")
