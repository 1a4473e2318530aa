"""A shared cache in Compose files of every form: what names a Redis as its cache moves, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbooks.compose import project, splice
from runbooks.compose.model import Stack
from runbooks.compose.operations import AddService
from runbooks.model import NO_FACTS
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed, name, needs_corpus
from tests.runbooks.compose.test_corpus_phase_2 import no_secret_is_written_again, nothing_but_the_operations_is_changed
from tests.runbooks.steps.material import change

pytestmark = pytest.mark.slow
CLIENT = {
    "image": "client",
    "environment": {
        "CACHE_URL": "redis://a-redis:6379/1",
        "QUEUE_URL": "redis://a-redis:6379/2",
        "CACHE_HOST": "a-redis",
    },
}


def check(stack: Stack) -> None:
    """Asserts every invariant on a stack that got a Redis, and one who caches there."""
    given = splice.apply(stack, [AddService("a-redis", {"image": "redis:8"}), AddService("a-client", CLIENT)])
    assert given.refused == ()
    before = project.load(given.stack.spec, given.stack.files)
    made = change("shared_cache", before, NO_FACTS, cache_name="a-cache")
    assert {each.service for each in made.operations} >= {"a-cache", "cache-keeper", "a-client"}
    assert made.stack.services["a-client"].environment["QUEUE_URL"].value == "redis://a-redis:6379/2"
    invariants.only_the_edits_differ(before, made)
    nothing_but_the_operations_is_changed(before, made)
    no_secret_is_written_again(before, made)
    invariants.no_new_cycle(before, made.stack)
    again = change("shared_cache", project.load(made.stack.spec, made.stack.files), NO_FACTS)
    assert again.operations == ()


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_gets_a_cache_and_nothing_else(path: Path) -> None:
    check(completed(path))


@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_small_file_of_each_form_gets_a_cache_and_nothing_else(path: Path) -> None:
    check(file_stack([path]))
