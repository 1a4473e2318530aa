"""Phases on top of each other: what a later one writes gives the earlier ones nothing to do again."""

from __future__ import annotations

from runbooks import book, draft
from runbooks.compose.intent import meaning
from runbooks.model import NO_FACTS
from runbooks.survey_files import file_stack
from tests.runbooks.compose.test_corpus import ROOT

EXAMPLE = ROOT / "examples" / "reconciliation" / "docker-compose.yml"
VARIABLES = {
    "resource_profile": "development",
    "cache_consumers": {"backend": ["REDIS_URL"]},
    "autoscale": {"backend": {"drop": ["container_name", "ports"]}},
    "mesh_services": {"backend": {}, "frontend": {"serves": False}},
}


def test_phase_3_leaves_nothing_to_do_for_phases_1_and_2_on_the_example() -> None:
    stack = file_stack([EXAMPLE])
    for number in ("1", "2"):
        stack = draft.walk(book.load(number), stack, NO_FACTS, VARIABLES).stages[-1].after
    made = draft.walk(book.load("3"), stack, NO_FACTS, VARIABLES)
    assert len(made.changed) == 5
    assert [refusal for stage in made.stages for _, change in stage.steps for refusal in change.refused] == []
    assert meaning(made.stages[2].after).environment == meaning(made.stages[1].after).environment
    after = made.stages[-1].after
    for number in ("1", "2", "3"):
        again = draft.walk(book.load(number), after, NO_FACTS, VARIABLES)
        assert [
            (change.step, change.edits) for stage in again.stages for _, change in stage.steps if change.edits
        ] == []
