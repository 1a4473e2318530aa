"""Carries out operations on a stack as splices of its files' bytes, and proves each of them by reading the result.

All operations of one step are planned together, applied, and the stack is read again; what it then means must be what
it meant before with the operations applied to it as plain data, in everything. Operations that do not come out so are
refused, each with its reason; the others are carried out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inventory.errors import InputError
from inventory.values import frozen
from runbooks.compose import project
from runbooks.compose.additions import AdditionPlanner
from runbooks.compose.assemble import at
from runbooks.compose.desk import Blocked, Desk, Planned
from runbooks.compose.edges import EdgePlanner
from runbooks.compose.health import HealthPlanner
from runbooks.compose.intent import difference, intended, meaning, resolved
from runbooks.compose.interpolation import BadTemplate
from runbooks.compose.model import Place, Service, Stack
from runbooks.compose.nested import SettingPlanner
from runbooks.compose.operations import (
    AddDependency,
    AddResource,
    AddService,
    Applied,
    CannotEdit,
    Operation,
    ReferText,
    RemoveDependency,
    RemoveSetting,
    ReplaceText,
    SetCondition,
    SetHealthCheck,
    SetSetting,
    SetVariable,
)
from runbooks.compose.settings import VariablePlanner
from runbooks.compose.splices import edited, joined, overlap

Operations = Mapping[int, Operation]


@frozen
class _Attempt:
    """What came of some operations: the stack and the edits, or why not."""

    stack: Stack | None
    planned: tuple[Planned, ...]
    blocked: Mapping[int, Blocked]
    reason: str = ""


def apply(stack: Stack, operations: Sequence[Operation]) -> Applied:
    """Carries out all operations of one step in one go. Never raises for a stack that `project.load` accepted.

    Edits are relative to the stack's files and do not overlap; an operation that holds already makes none.
    """
    return _Work(stack, operations).done()


class _Work:
    def __init__(self, stack: Stack, operations: Sequence[Operation]) -> None:
        self.stack, self.operations = stack, operations
        self.tree = project.tree(stack)
        self.before = meaning(stack)
        self.own: frozenset[int] = frozenset()
        self.late: frozenset[int] = frozenset()

    def done(self) -> Applied:
        live: dict[int, Operation] = {}
        left: dict[int, Blocked] = {}
        coming = {operation.service for operation in self.operations if isinstance(operation, AddService)}
        for number, operation in enumerate(self.operations):
            missing = _missing(self.stack, operation, coming) or self._unreadable(operation)
            if missing is None:
                live[number] = operation
            else:
                left[number] = Blocked(self._place(operation), *missing)
        attempt, blocked = self._most(live)
        kept = {number: operation for number, operation in live.items() if number not in blocked}
        for number, reason in blocked.items():
            found = self._elsewhere(kept, number)
            if found is None:
                left[number] = reason
            else:
                attempt, kept = found, {**kept, number: live[number]}
        refused = tuple(self._refusal(number, left[number]) for number in sorted(left))
        return Applied(attempt.stack or self.stack, joined(attempt.planned), refused)

    def _unreadable(self, operation: Operation) -> tuple[str, str] | None:
        """A text of an operation that Compose would not take: the reason and the mend."""
        if isinstance(operation, AddService):
            text: object = operation.definition
        elif isinstance(operation, SetSetting) or (isinstance(operation, SetVariable) and operation.refers):
            text = operation.value
        else:
            return None
        try:
            resolved(text, self.tree.scope.lookup)
        except BadTemplate as error:
            return error.message, error.mend
        return None

    def _place(self, operation: Operation) -> Place:
        service = self.stack.services.get(operation.service)
        if service is not None:
            return _part(service, operation) or service.place
        return Place(at(self.stack.spec.directory, self.stack.spec.compose_files[0]), 1)

    def _refusal(self, number: int, blocked: Blocked) -> CannotEdit:
        return CannotEdit(self.operations[number], blocked.place, blocked.reason, blocked.mend)

    def _most(self, live: Operations) -> tuple[_Attempt, dict[int, Blocked]]:
        """As many operations as come out right where their values stand, and why the others do not."""
        attempt, blocked = self._unblocked(live)
        if attempt.stack is not None:
            return attempt, blocked
        good, kept = _Attempt(self.stack, (), {}), dict[int, Operation]()
        free = {number: operation for number, operation in live.items() if number not in blocked}
        todo = _components(free, attempt.planned)
        while todo:
            chunk = todo.pop(0)
            merged = {**kept, **{number: live[number] for number in chunk}}
            attempt, more = self._unblocked(merged)
            if attempt.stack is not None:
                blocked |= more
                good, kept = attempt, {number: each for number, each in merged.items() if number not in more}
            elif len(chunk) == 1:
                blocked[chunk[0]] = Blocked(self._place(live[chunk[0]]), attempt.reason, _mend(attempt.reason))
            else:
                half = len(chunk) // 2
                todo[:0] = [chunk[:half], chunk[half:]]
        return good, blocked

    def _unblocked(self, live: Operations) -> tuple[_Attempt, dict[int, Blocked]]:
        """One attempt, again without the operations that turned out to be blocked."""
        blocked: dict[int, Blocked] = {}
        while True:
            attempt = self._once({number: each for number, each in live.items() if number not in blocked})
            if not attempt.blocked:
                return attempt, blocked
            blocked |= attempt.blocked

    def _elsewhere(self, kept: Operations, number: int) -> _Attempt | None:
        """One more operation, written into the service's own mapping in its first, and then in its last file."""
        own, late = self.own, self.late
        for last in (False, True):
            self.own, self.late = own | {number}, late | {number} if last else late
            attempt = self._once({**kept, number: self.operations[number]})
            if attempt.stack is not None and not attempt.blocked:
                return attempt
        self.own, self.late = own, late
        return None

    def _once(self, live: Operations) -> _Attempt:
        desk = Desk(self.stack, self.tree, live, self.own, self.late)
        EdgePlanner(desk, self.before).plan(_of(live, SetCondition | AddDependency | RemoveDependency))
        HealthPlanner(desk, self.before).plan(_of(live, SetHealthCheck))
        VariablePlanner(desk, self.before).plan(_of(live, SetVariable | ReplaceText | ReferText))
        SettingPlanner(desk, self.before).plan(_of(live, SetSetting | RemoveSetting))
        AdditionPlanner(desk, self.before).plan(_of(live, AddService | AddResource))
        planned = tuple(desk.planned)
        if desk.blocked:
            return _Attempt(None, planned, desk.blocked)
        if not planned:
            return self._held(live)
        return self._proven(live, planned)

    def _held(self, live: Operations) -> _Attempt:
        wrong = difference(intended(self.before, live.values(), self.stack), self.before)
        return _Attempt(None if wrong else self.stack, (), {}, f"no place was found for {wrong[1]}" if wrong else "")

    def _proven(self, live: Operations, planned: tuple[Planned, ...]) -> _Attempt:
        edits = joined(planned)
        if overlap(edits):
            return _Attempt(None, planned, {}, "it meets another change in the same place")
        files = {**self.stack.files, **edited(self.stack.files, edits)}
        try:
            after = project.read(self.stack.spec, files, frozenset(), self.tree.documents)
        except InputError as error:
            return _Attempt(None, planned, {}, f"the file could not be read afterwards: {error.message}")
        wrong = difference(intended(self.before, live.values(), self.stack), meaning(after))
        if wrong is not None:
            also = wrong[0] not in {operation.service for operation in live.values()}
            how = "it would also change" if also else "it would not come out as intended:"
            return _Attempt(None, planned, {}, f"{how} {wrong[1]}")
        return _Attempt(after, planned, {})


def _mend(reason: str) -> str:
    if reason.startswith("it would also change"):
        return "ask for both together, or make the change where only this service sees it"
    return "make this change by hand"


def _part(service: Service, operation: Operation) -> Place | None:
    """Where the part of a service stands that an operation is about, if it is there."""
    if isinstance(operation, SetCondition | AddDependency | RemoveDependency):
        edge = service.edges.get(operation.dependency)
        return edge.place if edge is not None else None
    if isinstance(operation, SetHealthCheck):
        return service.health_check.place if service.health_check is not None else None
    if not isinstance(operation, SetVariable | ReplaceText | ReferText):
        return None
    variable = service.environment.get(operation.name if isinstance(operation, SetVariable) else operation.variable)
    return variable.place if variable is not None else None


def _of(live: Operations, kinds: Any) -> dict[int, Any]:
    return {number: operation for number, operation in live.items() if isinstance(operation, kinds)}


def _missing(stack: Stack, operation: Operation, coming: set[str]) -> tuple[str, str] | None:
    """What an operation names that is not there: the reason and the mend. `coming`: services that others add."""
    service = stack.services.get(operation.service)
    if isinstance(operation, AddResource):
        return None
    if isinstance(operation, AddService):
        if service is not None:
            return f"there is a service {operation.service} already", "rename it, or leave it out"
        return None
    if service is None:
        return f"there is no service {operation.service}", "name a service of this project"
    if isinstance(operation, SetCondition) and operation.dependency not in service.edges:
        return f"service {service.name} does not depend on {operation.dependency}", "add the dependency first"
    if isinstance(operation, AddDependency) and operation.dependency not in {*stack.services, *coming}:
        return f"there is no service {operation.dependency}", "name a service of this project"
    if isinstance(operation, ReplaceText | ReferText):
        variable = service.environment.get(operation.variable)
        if variable is None or variable.value is None:
            return f"service {service.name} has no value for {operation.variable}", "set the variable itself"
        if not 0 <= operation.start <= operation.end <= len(variable.value):
            return f"{operation.variable} has no characters {operation.start} to {operation.end}", "read it again"
    return None


def _components(live: Operations, planned: Iterable[Planned]) -> list[list[int]]:
    """Operations that make the same edit belong together; the others are tried on their own."""
    groups: dict[int, set[int]] = {number: {number} for number in live}
    by_edit: dict[tuple[str, int, int, bytes], set[int]] = {}
    for each in planned:
        edit = each.edit
        key = (edit.path, edit.start, edit.end, edit.text)
        by_edit.setdefault(key, set()).update(each.operations)
    for numbers in by_edit.values():
        whole = set().union(*(groups.get(number, {number}) for number in numbers))
        for number in whole:
            groups[number] = whole
    unique = {id(group): sorted(group & live.keys()) for group in groups.values()}
    return [group for group in unique.values() if group]
