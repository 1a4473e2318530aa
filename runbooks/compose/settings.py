"""Plans the edits of variables: a value set or added in `environment`, or a part of one replaced where it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from runbooks.compose import interpolation, scalars, variable_text
from runbooks.compose.assemble import at
from runbooks.compose.desk import Blocked, Desk, direct, raw_entries, write_section
from runbooks.compose.intent import Meaning, replaced
from runbooks.compose.layout import Cut, Value
from runbooks.compose.model import Span, Variable
from runbooks.compose.operations import ReferText, ReplaceText, SetVariable
from runbooks.compose.tree import Item

SECTION = "environment"


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

    def plan(self, operations: Mapping[int, SetVariable | ReplaceText | ReferText]) -> None:
        texts: dict[tuple[str, str], dict[int, ReplaceText | ReferText]] = {}
        for number, operation in operations.items():
            if not isinstance(operation, SetVariable):
                texts.setdefault((operation.service, operation.variable), {})[number] = operation
                continue
            goal = self.goals.setdefault((operation.service, operation.name), _Goal("", "", []))
            goal.value, goal.template = operation.value, operation.value.replace("$", "$$")
            if operation.refers:
                lookup = self.desk.assembly.scope.lookup
                goal.value, goal.template = interpolation.substitute(operation.value, lookup), operation.value
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
            found = variable_text.find(part, name)
            if found is None:
                continue
            child, number = found
            if not self._agreed(child.node, name, goal.value):
                return False
            document = child.source.document
            self.desk.put(document, variable_text.rewritten(document, part, child, number, goal.template), goal.numbers)
            return True
        container = self._container(service, name, goal, item)
        if container is None:
            return False
        self.desk.put(container.source.document, variable_text.added(container, name, goal.template), goal.numbers)
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
        changes = {name: variable_text.value_of(goal.template) for name, goal in goals.items()}
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

    def _texts(self, service: str, name: str, operations: Mapping[int, ReplaceText | ReferText]) -> None:
        variable = self.desk.stack.services[service].environment[name]
        value = variable.value or ""
        made = replaced(value, operations.values())
        plain = {number: each for number, each in operations.items() if isinstance(each, ReplaceText)}
        if made == value and len(plain) == len(operations):
            return
        self.values[service, name] = made
        if any(operation.at == "reference" for operation in plain.values()):
            template = self._template(service, name, variable, list(operations.values()))
            for number, operation in operations.items():
                if isinstance(operation, ReferText):
                    self._held(operation, number)
            self.goals[service, name] = _Goal(made, template, list(operations))
            return
        inside: list[tuple[tuple[int, int], str, int]] = []
        for number, operation in operations.items():
            if isinstance(operation, ReferText):
                span = variable_text.literal(variable, operation)
                inside.append(((span.from_byte, span.to_byte), f"${{{operation.name}}}", number))
                self._held(operation, number)
                continue
            span = variable_text.origin(variable, operation)
            if span.path in self.desk.assembly.documents:
                inside.append(((span.from_byte, span.to_byte), self._doubled(span, operation), number))
            else:
                self._in_env_file(span, operation, number)
        if inside:
            self._in_scalar(service, name, inside)

    def _held(self, operation: ReferText, number: int) -> None:
        """Sees that the project's env files say what a name means."""
        if operation.name in self.desk.assembly.scope.bound:
            return
        spec = self.desk.stack.spec
        path = at(spec.directory, spec.env_files[-1])
        data = self.desk.stack.files.get(path, b"")
        first = self.desk.assembly.documents[at(spec.directory, spec.compose_files[0])]
        line = variable_text.line(operation.name, operation.text, data, first.newline)
        self.desk.put_bytes(path, len(data), len(data), line, [number])

    def _doubled(self, span: Span, operation: ReplaceText) -> str:
        if span.reference is not None and ("}" in operation.text or "\n" in operation.text):
            place = self.desk.place(operation.service)
            raise Blocked(place, "the text cannot stand in a default inside ${...}", "set the variable itself")
        return operation.text.replace("$", "$$")

    def _in_scalar(self, service: str, name: str, changes: list[tuple[tuple[int, int], str, int]]) -> None:
        item = self.desk.assembly.services[service].value[SECTION]
        found = next(
            (found for part in reversed(item.parts) if (found := variable_text.find(part, name)) is not None), None
        )
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
        if not node.style and not variable_text.stays_plain(document, node, cuts):
            cuts = [variable_text.requoted(document, node, cuts)]
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
        text = variable_text.in_entry(entry, operation.text, before=span.from_byte == entry.start)
        if text is None:
            raise Blocked(entry.place, "the text cannot stand in this line", "quote the value in the env file")
        self.desk.put_bytes(span.path, span.from_byte, span.to_byte, text.encode(), [number])

    def _template(self, service: str, name: str, variable: Variable, operations: list[ReplaceText | ReferText]) -> str:
        """The variable's own text with the replacements in it; references that they leave alone stay."""
        value = variable.value or ""
        for operation in operations:
            if isinstance(operation, ReferText):
                variable_text.literal(variable, operation)
        item = self.desk.section(service, SECTION)
        found = None
        if item is not None and variable.source == "environment":
            found = next(
                (found for part in reversed(item.parts) if (found := variable_text.find(part, name)) is not None), None
            )
        if found is None:
            return self._spelled(variable, operations)
        child, number = found
        template: str = child.node.value
        if number is not None:
            template = template.partition("=")[2]
        scope = child.source.scope
        pieces = interpolation.pieces(template, scope.lookup)
        if "".join(piece.text for piece in pieces) != value:
            return self._spelled(variable, operations)
        return variable_text.templated(pieces, template, operations)

    def _spelled(self, variable: Variable, operations: list[ReplaceText | ReferText]) -> str:
        """The whole value, with the replacements, as a Compose file has it."""
        if any(isinstance(operation, ReferText) for operation in operations):
            raise Blocked(variable.place, f"where {variable.name} is written could not be told", "set it by hand")
        return replaced(variable.value or "", operations).replace("$", "$$")
