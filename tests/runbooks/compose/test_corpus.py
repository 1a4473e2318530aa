"""Phase 1 on real Compose files and on small ones in every form: exact edits, or one clear refusal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inventory.errors import InputError
from runbooks.compose import project
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.draft import Draft
from runbooks.survey_files import file_stack
from tests.runbooks.compose import invariants

ROOT = Path(__file__).resolve().parents[3]
CORPUS = (ROOT / os.environ.get("RUNBOOK_CORPUS", "../shared/corpus")).resolve()
REAL = sorted(path for path in CORPUS.rglob("*.y*ml")) if CORPUS.is_dir() else []
STACKS = ROOT / "tests" / "runbooks" / "stacks"
SMALL = sorted(path for path in STACKS.iterdir() if path.suffix == ".yml" or (path / "compose.yml").exists())
REFUSED = sorted((STACKS / "refused").iterdir())
UNTOUCHED = {"disabled_check.yml", "map_healthy_already.yml"}
NEEDS_MORE = "which is not there"
"""Compose refuses such a file, too: it names another that was not published with it."""
needs_corpus = pytest.mark.skipif(not REAL, reason="the folder of real Compose files (RUNBOOK_CORPUS) is not here")


def name(path: Path) -> str:
    return str(path.relative_to(CORPUS if path.is_relative_to(CORPUS) else STACKS))


def completed(path: Path) -> Stack:
    """A real file with every file that it names and that was not published with it standing there empty."""
    spec = ProjectSpec(str(path.parent), "app", (str(path),), environment={"POSTGRES_VERSION": "17"})
    files, absent = {str(path): path.read_bytes()}, frozenset({f"{path.parent}/.env"})
    while missing := project.wanted(spec, files, absent):
        files |= dict.fromkeys(missing, b"")
    return project.load(spec, files, absent)


def altered(made: Draft) -> int:
    return sum(len(change.altered) for _, change in invariants.changes(made))


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_gets_exact_edits_or_one_refusal(path: Path) -> None:
    try:
        stack = file_stack([path])
    except InputError as error:
        assert NEEDS_MORE in str(error)
        assert len(str(error).splitlines()) == 1
        stack = completed(path)
    invariants.check(stack)


@needs_corpus
def test_under_three_percent_of_what_could_be_changed_in_real_files_is_refused() -> None:
    done, refused = 0, []
    for path in REAL:
        for _, change in invariants.changes(invariants.plan(completed(path))):
            done += len(change.altered)
            refused += [f"{name(path)}: {each.service}: {each.reason}" for each in change.refused]
    assert done > 80
    assert len(refused) < 0.03 * done, "\n".join(refused)


@pytest.mark.parametrize("path", SMALL, ids=name)
def test_a_small_file_of_each_form_gets_exact_edits(path: Path) -> None:
    made = invariants.check(file_stack([path]))
    assert bool(altered(made)) != (path.name in UNTOUCHED)


def test_there_are_small_files_of_at_least_sixty_forms() -> None:
    assert len(SMALL) >= 60


def test_the_small_files_have_the_bytes_that_they_are_about() -> None:
    assert (STACKS / "crlf.yml").read_bytes().count(b"\r\n") == (STACKS / "crlf.yml").read_bytes().count(b"\n") > 5
    assert (STACKS / "bom.yml").read_bytes().startswith(b"\xef\xbb\xbf")
    assert not (STACKS / "no_last_newline.yml").read_bytes().endswith(b"\n")


WHY = {
    "bad_dependency_twice.yml": "6: services.web.depends_on: names db twice (keep one of the two)",
    "bad_lone_cr.yml": "1: ends its lines with a lone CR (save it with LF or CRLF line ends)",
    "bad_merge_of_texts.yml": "7: << merges only mappings (name the anchor of a mapping)",
    "bad_template.yml": "2: is not YAML",
    "bad_two_documents.yml": "(keep one document in the file)",
    "bad_cycle.yml": "dependency cycle detected: a -> b -> a (take one of these dependencies out)",
    "bad_duplicate_key.yml": "4: image: stands twice: first on line 3 (keep one of the two)",
    "bad_env_file.yml": "absent.env, which is not there (mend the path, or create the file)",
    "bad_latin1.yml": "3: is not UTF-8 text (save it as UTF-8)",
    "bad_required_variable.yml": "required variable TAG is missing a value: set it (set TAG in an env file)",
    "bad_tab.yml": "(indent with spaces, not tabs)",
    "bad_two_merges.yml": "6: << stands twice in one mapping (write <<: [*one, *other])",
    "bad_type.yml": "2: services: must be a mapping of services (write NAME: under it, indented)",
}


@pytest.mark.parametrize("path", REFUSED, ids=name)
def test_a_file_that_cannot_be_planned_is_refused_in_one_line_with_its_place_and_mend(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        invariants.check(file_stack([path]))
    assert str(caught.value).startswith(f"{path}:")
    assert WHY[path.name] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_interval_that_was_set_by_hand_stays_when_a_check_is_added() -> None:
    after = invariants.check(file_stack([STACKS / "check_settings_only.yml"])).stages[-1].after
    found = after.services["db"].value["healthcheck"]
    assert found["interval"] == "20s"
    assert found["start_period"] == "60s"
