"""Phase 2 on real Compose files and on small ones in every form: what it adds and moves, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book, draft
from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.compose.operations import (
    AddDependency,
    AddResource,
    AddService,
    RemoveSetting,
    ReplaceText,
    SetSetting,
    SetVariable,
)
from runbooks.draft import Draft
from runbooks.model import NO_FACTS, Change
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import NEEDS_MORE, REAL, SMALL, completed, name, needs_corpus

pytestmark = pytest.mark.slow
PHASE = book.load("2")
VARIABLES: dict[str, Any] = {"resource_profile": "production", "pool_peak": 9, "sentinel_master": ""}


def plan(stack: Stack) -> Draft:
    """Phase 2 without a host, on what phase 1 makes of a stack."""
    return draft.walk(PHASE, stack, NO_FACTS, VARIABLES)


def check(stack: Stack) -> Draft:
    """Plans phase 2 on a stack and asserts every invariant."""
    made = plan(invariants.plan(stack).stages[-1].after)
    for before, change in invariants.changes(made):
        invariants.only_the_edits_differ(before, change)
        nothing_but_the_operations_is_changed(before, change)
        no_secret_is_written_again(before, change)
        what_is_created_is_new_and_mounted(before, change)
    last = made.stages[-1].after
    invariants.no_new_cycle(stack, last)
    again = plan(project.load(last.spec, last.files))
    assert [change.operations for _, change in invariants.changes(again) if change.operations] == []
    assert [change.created for _, change in invariants.changes(again) if change.created] == []
    phase_1_still_stands(last)
    return made


def nothing_but_the_operations_is_changed(before: Stack, change: Change) -> None:
    """Read anew, every service is as it was but for what an operation names; what is new was planned."""
    after = project.load(before.spec, {**before.files, **change.stack.files})
    added = {each.service for each in change.operations if isinstance(each, AddService)}
    assert set(after.services) == set(before.services) | added
    sections = {key for key in {*before.value, *after.value} if before.value.get(key) != after.value.get(key)}
    # A template in x- may hold the very characters that were moved; who uses it is compared below.
    resources = [each for each in change.operations if isinstance(each, AddResource)]
    assert {each for each in sections if not each.startswith("x-")} <= {
        "services",
        *(each.section for each in resources),
    }
    for each in resources:
        was, will = (stack.value.get(each.section) or {} for stack in (before, after))
        mine = {other.name for other in resources if other.section == each.section}
        assert {name: value for name, value in will.items() if name not in mine} == was
    for service in before.services:
        mine = [each for each in change.operations if each.service == service]
        open_ = set()
        for each in mine:
            open_ |= {"depends_on"} if isinstance(each, AddDependency) else set()
            open_ |= {"environment", "env_file"} if isinstance(each, ReplaceText | SetVariable) else set()
            open_ |= {each.path[0]} if isinstance(each, SetSetting) else set()
            open_ |= {each.key} if isinstance(each, RemoveSetting) else set()
        was, will = (dict(stack.services[service].value) for stack in (before, after))
        assert {key for key in {*was, *will} if was.get(key) != will.get(key)} <= open_
        moved = {each.variable for each in mine if isinstance(each, ReplaceText)}
        moved |= {each.name for each in mine if isinstance(each, SetVariable)}
        old, new = ({key: each.value for key, each in stack.services[service].environment.items()} for stack in (before, after))  # fmt: skip
        assert {key for key in {*old, *new} if old.get(key) != new.get(key)} <= moved
        edges = {each.dependency for each in mine if isinstance(each, AddDependency)}
        assert set(after.services[service].edges) == set(before.services[service].edges) | edges


def no_secret_is_written_again(before: Stack, change: Change) -> None:
    """No value of a variable that is named like a secret stands in what a step adds, beyond where it stood."""
    added = [each for each in change.operations if isinstance(each, AddService)]
    text = "".join(f"{each.definition}" for each in added) + "".join(map(bytes.decode, change.created.values()))
    text = re.sub(r"\$\{[^{}]*\}", "", text)
    words = set(re.findall(r"[^\s'\"\[\]{},@:/=]{6,}", text))
    for service in before.services.values():
        for variable in service.environment.values():
            if re.search(r"PASSWORD|SECRET|TOKEN", variable.name) and variable.value and len(variable.value) >= 6:
                names = {*before.services, *(each.service for each in added)}
                assert variable.value not in words or variable.value in names, variable.name


def what_is_created_is_new_and_mounted(before: Stack, change: Change) -> None:
    """A created file is in the project, was not there, and the service that a step adds reads it."""
    for path in change.created:
        assert path.startswith(f"{before.spec.directory}/")
        assert path not in before.files
        relative = path.removeprefix(f"{before.spec.directory}/")
        assert any(
            f"./{relative}:" in f"{each.definition}" for each in change.operations if isinstance(each, AddService)
        )


def phase_1_still_stands(stack: Stack) -> None:
    """Phase 1 finds nothing to do about what phase 2 added. (Without a host no check is given a quicker start.)"""
    own = {each.name for each in stack.services.values() if "compose-runbook.step" in str(each.value.get("labels"))}
    for _, change in invariants.changes(invariants.plan(project.load(stack.spec, stack.files))):
        assert not own & {each.service for each in change.altered}


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_gets_what_was_planned_and_nothing_else(path: Path) -> None:
    try:
        stack = file_stack([path])
    except InputError as error:
        assert NEEDS_MORE in str(error)
        stack = completed(path)
    check(stack)


@needs_corpus
def test_most_real_files_get_an_aggregator_and_those_with_named_dependencies_breakers() -> None:
    aggregators, breakers, refused = 0, 0, []
    for path in REAL:
        for _, change in invariants.changes(plan(invariants.plan(completed(path)).stages[-1].after)):
            aggregators += change.step == "health_aggregator" and bool(change.operations)
            breakers += change.step == "circuit_breakers" and bool(change.operations)
            refused += [f"{name(path)}: {each.service}: {each.reason}" for each in change.refused]
    assert aggregators > 0.8 * len(REAL)
    assert breakers >= 5
    assert len(refused) < 0.1 * len(REAL), "\n".join(refused)


@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_small_file_of_each_form_gets_what_was_planned_and_nothing_else(path: Path) -> None:
    check(file_stack([path]))
