"""Carries out operations on a stack as splices of its files' bytes, and proves each of them by reading the result.

All operations of one step are planned together, applied, and the stack is read again; what it then means must be what
it meant before with the operations applied to it as plain data, in everything. Operations that do not come out so are
refused, each with its reason; the others are carried out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from inventory.errors import InputError
from runbooks.compose import project
from runbooks.compose.desk import Blocked, Desk, Planned
from runbooks.compose.edges import EdgePlanner
from runbooks.compose.health import HealthPlanner
from runbooks.compose.intent import difference, intended, meaning
from runbooks.compose.model import (
    AddDependency,
    Applied,
    CannotEdit,
    Edit,
    Operation,
    Place,
    RemoveDependency,
    ReplaceText,
    SetCondition,
    SetHealthCheck,
    SetVariable,
    Stack,
)
from runbooks.compose.settings import VariablePlanner

Operations = Mapping[int, Operation]


@dataclass(frozen=True)
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
        self.refused: dict[int, CannotEdit] = {}

    def done(self) -> Applied:
        live: dict[int, Operation] = {}
        for number, operation in enumerate(self.operations):
            missing = _missing(self.stack, operation)
            if missing is None:
                live[number] = operation
            else:
                self._refuse(number, Blocked(self.stack_place(operation), *missing))
        attempt = self._settle(live)
        refused = tuple(self.refused[number] for number in sorted(self.refused))
        return Applied(attempt.stack or self.stack, joined(attempt.planned), refused)

    def stack_place(self, operation: Operation) -> Place:
        service = self.stack.services.get(operation.service)
        if service is not None:
            return service.place
        return Place(self.stack.spec.compose_files[0] if self.stack.spec.compose_files else "", 1)

    def _refuse(self, number: int, blocked: Blocked) -> None:
        operation = self.operations[number]
        self.refused[number] = CannotEdit(operation, blocked.place, blocked.reason, blocked.mend)

    def _settle(self, live: Operations) -> _Attempt:
        """The largest set of operations that comes out right, found by halving what does not."""
        attempt = self._try(live)
        if attempt.stack is not None:
            return attempt
        kept: dict[int, Operation] = {}
        good = _Attempt(self.stack, (), {})
        todo = _components(live, attempt.planned)
        while todo:
            chunk = todo.pop(0)
            merged = {**kept, **{number: live[number] for number in chunk}}
            attempt = self._try(merged)
            if attempt.stack is None:
                attempt = self._elsewhere(merged, chunk) or attempt
            if attempt.stack is not None:
                kept = {number: operation for number, operation in merged.items() if number not in self.refused}
                good = attempt
            elif len(chunk) == 1:
                place = self.stack_place(live[chunk[0]])
                self._refuse(chunk[0], Blocked(place, attempt.reason, "make this change by hand"))
            else:
                half = len(chunk) // 2
                todo[:0] = [chunk[:half], chunk[half:]]
        return good

    def _elsewhere(self, merged: Operations, chunk: Sequence[int]) -> _Attempt | None:
        """The same operations written into the service's own mapping, in its first and then in its last file."""
        for late in (frozenset[int](), frozenset(chunk)):
            attempt = self._once(merged, frozenset(chunk), late)
            if attempt.stack is not None and not attempt.blocked:
                return attempt
        return None

    def _try(self, live: Operations) -> _Attempt:
        """One attempt, again without the operations that turned out to be blocked."""
        live = {number: operation for number, operation in live.items() if number not in self.refused}
        while True:
            attempt = self._once(live)
            if not attempt.blocked:
                return attempt
            for number, blocked in attempt.blocked.items():
                self._refuse(number, blocked)
            live = {number: operation for number, operation in live.items() if number not in attempt.blocked}

    def _once(
        self, live: Operations, own: frozenset[int] = frozenset(), late: frozenset[int] = frozenset()
    ) -> _Attempt:
        desk = Desk(self.stack, self.tree, live, own, late)
        EdgePlanner(desk, self.before).plan(_of(live, SetCondition | AddDependency | RemoveDependency))
        HealthPlanner(desk, self.before).plan(_of(live, SetHealthCheck))
        VariablePlanner(desk, self.before).plan(_of(live, SetVariable | ReplaceText))
        planned = tuple(desk.planned)
        if desk.blocked:
            return _Attempt(None, planned, desk.blocked)
        if not planned:
            return self._held(live)
        return self._proven(live, planned)

    def _held(self, live: Operations) -> _Attempt:
        wrong = difference(intended(self.before, live.values(), self.stack), self.before)
        return _Attempt(None if wrong else self.stack, (), {}, f"no place was found for it: {wrong}" if wrong else "")

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
            return _Attempt(None, planned, {}, f"it would not come out as intended: {wrong}")
        return _Attempt(after, planned, {})


def _of(live: Operations, kinds: Any) -> dict[int, Any]:
    return {number: operation for number, operation in live.items() if isinstance(operation, kinds)}


def _missing(stack: Stack, operation: Operation) -> tuple[str, str] | None:
    """What an operation names that is not there: the reason and the mend."""
    service = stack.services.get(operation.service)
    if service is None:
        return f"there is no service {operation.service}", "name a service of this project"
    if isinstance(operation, SetCondition) and operation.dependency not in service.edges:
        return f"service {service.name} does not depend on {operation.dependency}", "add the dependency first"
    if isinstance(operation, AddDependency) and operation.dependency not in stack.services:
        return f"there is no service {operation.dependency}", "name a service of this project"
    if isinstance(operation, ReplaceText):
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


def joined(planned: Iterable[Planned]) -> tuple[Edit, ...]:
    """The edits in the order of their places: the same one once, insertions at one point as one."""
    unique: dict[tuple[str, int, int, bytes], list[str]] = {}
    for each in planned:
        edit = each.edit
        reasons = unique.setdefault((edit.path, edit.start, edit.end, edit.text), [])
        if edit.reason and edit.reason not in reasons:
            reasons.append(edit.reason)
    found: list[Edit] = []
    # Insertions at one point: what belongs deeper comes first; else they keep the order in which they were planned.
    for (path, begin, stop, text), reasons in sorted(
        unique.items(), key=lambda item: (*item[0][:3], -_depth(item[0][3]))
    ):
        last = found[-1] if found else None
        if last is not None and begin == stop and (last.path, last.start, last.end) == (path, begin, begin):
            reason = "; ".join(dict.fromkeys(part for part in (last.reason, *reasons) if part))
            found[-1] = Edit(path, begin, begin, last.text + text, reason)
        else:
            found.append(Edit(path, begin, stop, text, "; ".join(reasons)))
    return tuple(found)


def _depth(text: bytes) -> int:
    """How deep an insertion belongs: its first line's indentation, a list's item deeper than a key in its column."""
    if not text.startswith((b"\n", b"\r\n")):
        return 1 << 20
    line = text.lstrip(b"\r\n")
    bare = line.lstrip(b" ")
    return 2 * (len(line) - len(bare)) + bare.startswith(b"-")


def overlap(edits: Sequence[Edit]) -> bool:
    """Whether any two edits touch the same bytes. The edits are in order."""
    return any(before.path == after.path and after.start < before.end for before, after in pairwise(edits))


def edited(files: Mapping[str, bytes], edits: Iterable[Edit]) -> dict[str, bytes]:
    """The files that edits touch, with the edits made."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return {path: _spliced(files[path], found) for path, found in by_path.items()}


def _spliced(data: bytes, edits: Iterable[Edit]) -> bytes:
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [data[at : edit.start], edit.text]
        at = edit.end
    return b"".join([*pieces, data[at:]])


def undone(files: Mapping[str, bytes], edits: Iterable[Edit], before: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with edits taken back by splices: what each took out comes from `before`."""
    back: list[Edit] = []
    shift: dict[str, int] = {}
    for edit in sorted(edits, key=lambda edit: (edit.path, edit.start, edit.end)):
        begin = edit.start + shift.get(edit.path, 0)
        taken = before[edit.path][edit.start : edit.end]
        back.append(Edit(edit.path, begin, begin + len(edit.text), taken, edit.reason))
        shift[edit.path] = shift.get(edit.path, 0) + len(edit.text) - len(taken)
    return edited(files, back)


def patch(before: bytes, after: bytes, path: str) -> str:
    """A unified diff that `git apply` takes. `path` is relative to where it is applied. Empty when nothing differs."""
    old, new = _lines(before), _lines(after)
    lines = list(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}"))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return [line.decode("utf-8", "surrogateescape") for line in data.splitlines(keepends=True)]
