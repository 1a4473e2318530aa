"""A mesh on real Compose files and on a small one of each form: every service that can be served is, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbooks import proof
from runbooks.compose import project
from runbooks.compose.model import Stack
from runbooks.model import Change
from runbooks.survey_files import file_stack
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed, name, needs_corpus
from tests.runbooks.compose.test_corpus_phase_2 import (
    phase_1_still_stands,
)
from tests.runbooks.compose.test_rendered import COMPOSE as PROGRAM
from tests.runbooks.compose.test_rendered import EXAMPLE, rendered
from tests.runbooks.steps.test_service_mesh import everything_holds, planned


def whole(before: Stack) -> tuple[Change, dict[str, Any]]:
    """A mesh of all services that could serve in one, and what was chosen for that."""
    only: dict[str, Any] = {each: {"serves": False} for each in before.services}
    chosen = dict(only)
    for each in before.services:
        found = planned(before, {**only, each: {"drop": ["ports"]}})
        if not found.refused:
            chosen[each] = {"drop": ["ports"]}
    return planned(before, chosen), chosen


def check(before: Stack) -> int:
    """Every invariant; how many serve."""
    made, chosen = whole(before)
    assert made.refused == () or "same port" in made.refused[0].reason
    if made.operations:
        everything_holds(before, made)
        phase_1_still_stands(made.stack)
        again = planned(project.load(made.stack.spec, {**before.files, **made.stack.files}), chosen)
        assert again.operations == ()
    return sum("ASK_" in name for each in made.stack.services.values() for name in each.environment)


@pytest.mark.slow
@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_gets_a_mesh_and_nothing_else(path: Path) -> None:
    check(completed(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_small_file_of_each_form_gets_a_mesh_and_nothing_else(path: Path) -> None:
    check(file_stack([path]))


@pytest.mark.slow
@needs_corpus
def test_most_real_files_have_services_that_can_be_served_through_a_mesh() -> None:
    served = [check(completed(path)) for path in REAL]
    assert sum(map(bool, served)) > 40
    assert sum(served) > 100


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="Docker Compose's command line is not here")
@pytest.mark.parametrize("path", [EXAMPLE, *REAL[::5]], ids=lambda path: path.parent.name)
def test_compose_itself_renders_it_as_planned_and_nothing_else(path: Path, tmp_path: Path) -> None:
    stack = file_stack([path]) if path == EXAMPLE else completed(path)
    made, _ = whole(stack)
    before, after = rendered(stack, tmp_path / "before"), rendered(made.stack, tmp_path / "after")
    if before is None:
        pytest.skip("Compose refuses the file as it is")
    assert after is not None
    same = json.loads(json.dumps(after).replace(f"{tmp_path}/after", f"{tmp_path}/before"))
    assert proof.difference(before, same, stack, made.stack) == ""
