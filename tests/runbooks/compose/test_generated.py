"""Phase 1 on generated stacks in all forms. RUNBOOK_EXAMPLES says how many (the full run: 10,000)."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings

from inventory.errors import InputError
from tests.oracle.oracle import eligible
from tests.runbooks.compose import invariants
from tests.runbooks.compose.generated import projects
from tests.runbooks.compose.material import stack_of

EXAMPLES = int(os.environ.get("RUNBOOK_EXAMPLES", "100"))
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.mark.parametrize("half", ["first half", "second half"])  # two processors share the work
@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=QUIET, database=None)
@given(files=projects())
def test_every_invariant_holds_on_stacks_in_all_forms(half: str, files: dict[str, bytes]) -> None:
    made = invariants.check(stack_of(files))
    for _, change in invariants.changes(made):
        for each in change.refused:
            # Only an edge to the pooler that another service, which does not use the database, would take over.
            assert each.what == "database_url"
            assert "service twin" in each.reason, "what can be edited is not refused"
            assert "would" in each.reason


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=QUIET, database=None)
@given(projects())
def test_everything_that_an_independent_oracle_finds_is_changed(files: dict[str, bytes]) -> None:
    if len(files) > 1:
        return  # the oracle reads single files
    found = {
        (entry.service, entry.what, entry.before.partition(":")[0] if entry.what == "condition" else "")
        for _, change in invariants.changes(invariants.plan(stack_of(files)))
        for entry in change.altered
        if entry.what == "health_check" or (entry.what == "condition" and entry.before != "none")
    }
    assert {each for each in eligible(files["compose.yml"]) if each[1] != "database_url"} <= found


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=QUIET, database=None)
@given(projects(), projects())
def test_a_damaged_file_is_planned_or_refused_and_never_more(files: dict[str, bytes], other: dict[str, bytes]) -> None:
    data, rest = files["compose.yml"], other["compose.yml"]
    cut = len(rest) * 7 // 11
    with suppress(InputError):
        invariants.plan(stack_of({"compose.yml": data[: len(data) // 2] + rest[cut:]}))
