"""What must hold of phase 1 on any stack at all, checked without the tool's own notion of what an edit means."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.constructor import SafeConstructor

from runbooks import book, draft
from runbooks.compose import project, splices
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddDependency, Edit, ReplaceText, SetCondition, SetHealthCheck, SetVariable
from runbooks.draft import Draft
from runbooks.model import NO_FACTS, Change

PHASE = book.load("1")
HEALTH = ("test", "interval", "timeout", "retries", "start_period", "start_interval")
APART = ("depends_on", "healthcheck", "environment")
KEYS = ("depends_on", "condition", "required", "restart", "healthcheck", "environment", "<<", *HEALTH)


class _Constructor(SafeConstructor):
    """Compose's own tags stand for the values they carry."""


_Constructor.add_constructor("!reset", lambda constructor, node: None)
_Constructor.add_constructor(
    "!override",
    lambda constructor, node: getattr(constructor, f"construct_{node.id}")(node),
)


def plain(data: bytes) -> Any:
    """A file as ruamel.yaml alone reads it, merge keys resolved."""
    text = data.decode("utf-8-sig")
    for pure in (False, True):  # the C reader takes no anchor that stands twice
        yaml = YAML(typ="safe", pure=pure)
        yaml.Constructor = _Constructor
        yaml.composer.warn_double_anchors = False
        try:
            return yaml.load(text)
        except ComposerError:
            if pure:
                raise
    raise AssertionError


def plan(stack: Stack) -> Draft:
    """Phase 1 without a host."""
    return draft.walk(PHASE, stack, NO_FACTS, {})


def changes(made: Draft) -> list[tuple[Stack, Change]]:
    """Each step's change with the stack before it."""
    found = []
    for stage in made.stages:
        before = stage.before
        for _, change in stage.steps:
            found.append((before, change))
            before = change.stack
    return found


def check(stack: Stack) -> Draft:
    """Plans phase 1 on a stack and asserts every invariant. Raises InputError for a stack that is refused as a whole."""
    made = plan(stack)
    for before, change in changes(made):
        only_the_edits_differ(before, change)
        if not change.edits:
            assert change.stack.value == before.value
            continue
        only_intended_lines_are_touched(before, change)
        the_result_is_the_intended_value(before, change)
    after = made.stages[-1].after
    each_healthy_condition_has_a_check(stack, after)
    no_new_cycle(stack, after)
    planning_again_plans_nothing(made)
    return made


def only_the_edits_differ(before: Stack, change: Change) -> None:
    """Every byte outside the edits is as it was, and the splices taken back give the bytes before."""
    edited: dict[str, list[Edit]] = {}
    for edit in change.edits:
        edited.setdefault(edit.path, []).append(edit)
    for path, data in before.files.items():
        pieces, at = [], 0
        for edit in edited.get(path, []):
            assert at <= edit.start <= edit.end <= len(data), "edits overlap, or lie outside the file"
            pieces += [data[at : edit.start], edit.text]
            at = edit.end
        assert b"".join([*pieces, data[at:]]) == change.stack.files[path]
    back = splices.undone(change.stack.files, change.edits, before.files)
    assert back == {path: before.files.get(path, b"") for path in edited}


def only_intended_lines_are_touched(before: Stack, change: Change) -> None:
    """What an edit takes out is no comment and no line; the lines it touches name what an altered entry names."""
    names = {entry.service for entry in change.altered}
    words = {*KEYS, *names, *(edge for name in names for edge in before.services[name].edges)}
    for operation in change.operations:
        words |= {operation.dependency} if isinstance(operation, SetCondition | AddDependency) else set()
        if isinstance(operation, SetVariable | ReplaceText):
            # Where others share the section, it is written out for the service alone: whole.
            words |= {*before.services[operation.service].environment}
        words |= {operation.name} if isinstance(operation, SetVariable) else set()
        if isinstance(operation, ReplaceText):
            value = before.services[operation.service].environment[operation.variable].value or ""
            words |= {operation.variable, value[operation.start : operation.end]}
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if word))
    for edit in change.edits:
        data = before.files[edit.path]
        taken, line = data[edit.start : edit.end], _line(data, edit.start, edit.end)
        assert b"\n" not in taken, f"whole lines were taken out: {taken!r}"
        assert not re.search(rb"(?:^|\s)#", taken), f"a comment was taken out: {taken!r}"
        if taken.strip(b"[]{}"):
            assert pattern.search(line.decode()), f"this line is none that the plan names: {line!r}"
        for added in edit.text.decode().splitlines():
            bare = added.strip().strip("[]{}, \"'")
            assert not bare or bare.startswith("service_") or pattern.search(bare), (
                f"this line is none that the plan names: {added!r}"
            )
            assert "#" not in added.split("://")[0], f"a comment was added: {added!r}"


def _line(data: bytes, start: int, end: int) -> bytes:
    stop = data.find(b"\n", end)
    return data[data.rfind(b"\n", 0, start) + 1 : stop if stop >= 0 else len(data)]


def the_result_is_the_intended_value(before: Stack, change: Change) -> None:
    """Read anew, the project is what it was with the operations carried out, and nothing else."""
    again = project.load(before.spec, change.stack.files)
    _compare(before.value, again.value, before, change, dollar="$")
    for entry in change.altered:
        if entry.what in ("database_url", "pool"):
            name, _, value = entry.after.partition("=")
            assert again.services[entry.service].environment[name].value == value
    if len(before.files) == 1 and not re.search(rb"(?m)\bextends\b|^include", next(iter(before.files.values()))):
        ((path, data),) = before.files.items()
        _compare(plain(data), plain(change.stack.files[path]), before, change, dollar="$$")


def _compare(old: Any, new: Any, before: Stack, change: Change, *, dollar: str) -> None:
    wanted, found = _model(old), _model(new)
    open_variables = set()
    for operation in change.operations:
        service = wanted["services"][operation.service]
        if isinstance(operation, SetCondition | AddDependency):
            edge = service["depends_on"].setdefault(operation.dependency, _edge({}))
            edge["condition"] = operation.condition
            if isinstance(operation, SetCondition) and operation.required is not None:
                edge["required"] = operation.required
        elif isinstance(operation, SetHealthCheck):
            settings = {
                key: list(value) if isinstance(value, tuple) else value for key, value in operation.settings.items()
            }
            if "test" in settings and dollar == "$$":
                settings["test"] = [word.replace("$", "$$") for word in settings["test"]]
            service["healthcheck"] = {**(service["healthcheck"] or {}), **settings}
        else:
            name = operation.name if isinstance(operation, SetVariable) else operation.variable
            open_variables.add((operation.service, name))
    for service, name in open_variables:
        for model in (wanted, found):
            model["services"][service]["environment"].pop(name, None)
    # Texts in x- are what anchors stand on; what services see of them is compared where they see it.
    assert found == wanted


def _model(value: Any) -> dict[str, Any]:
    """A file's or project's plain data with one form for edges and environments."""
    made = {
        key: copy.deepcopy(child)
        for key, child in (value or {}).items()
        if not str(key).startswith("x-") and key != "services"
    }
    made["services"] = {}
    for name, service in (value.get("services") or {}).items():
        own = dict(service or {})
        edges, environment = own.get("depends_on") or {}, own.get("environment") or {}
        if isinstance(edges, list):
            edges = dict.fromkeys(edges)
        if isinstance(environment, list):
            environment = {entry.partition("=")[0]: entry.partition("=")[2] for entry in environment}
        own["depends_on"] = {str(key): _edge(edge or {}) for key, edge in edges.items()}
        own["environment"] = dict(environment)
        own["healthcheck"] = own.get("healthcheck")
        made["services"][str(name)] = own
    return made


def _edge(edge: Mapping[str, Any]) -> dict[str, Any]:
    return {"condition": "service_started", "required": True, "restart": False, **edge}


def each_healthy_condition_has_a_check(before: Stack, after: Stack) -> None:
    """`up` fails where somebody waits for the health of a service that has no check."""
    for service in after.services.values():
        for name, edge in service.edges.items():
            was = before.services[service.name].edges.get(name)
            if edge.condition != "service_healthy" or (was is not None and was.condition == "service_healthy"):
                continue
            found = after.services[name].health_check
            assert found is not None, f"{service.name} waits for {name}, which has no check"
            assert found.test, f"{service.name} waits for {name}, whose check is empty"
            assert not found.disabled, f"{service.name} waits for {name}, whose check is disabled"


def no_new_cycle(before: Stack, after: Stack) -> None:
    """An order to start in is still there."""
    assert _ordered(after) or not _ordered(before)


def _ordered(stack: Stack) -> bool:
    try:
        TopologicalSorter({name: list(service.edges) for name, service in stack.services.items()}).prepare()
    except CycleError:
        return False
    return True


def planning_again_plans_nothing(made: Draft) -> None:
    """A plan of the result has no edit, and refuses nothing that was not refused before."""
    last = made.stages[-1].after
    again = plan(project.load(last.spec, last.files))
    assert [change.edits for _, change in changes(again) if change.edits] == []
    assert [change.operations for _, change in changes(again) if change.operations] == []
