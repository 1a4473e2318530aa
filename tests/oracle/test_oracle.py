"""Every eligible edge, service and URL that the oracle counts is changed: keeping everything is no way to pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.oracle import Found, eligible
from tests.runbooks.compose import invariants
from tests.runbooks.compose.test_corpus import REAL, SMALL, completed, name, needs_corpus

ALONE = [path for path in SMALL if path.is_file() and b"extends" not in path.read_bytes()]


def changed(path: Path) -> tuple[set[Found], set[Found]]:
    """What the plan changes and what it refuses, in the oracle's words."""
    done: set[Found] = set()
    refused: set[Found] = set()
    for _, change in invariants.changes(invariants.plan(completed(path))):
        for entry in change.altered:
            if entry.what == "condition" and entry.before == "none":
                continue  # the edge to the pooler is new
            of = {"condition": entry.before.partition(":")[0], "database_url": entry.before.partition("=")[0]}
            done.add((entry.service, entry.what, of.get(entry.what, "")))
        refused |= {(each.service, each.what, "") for each in change.refused}
    return done, refused


@pytest.mark.parametrize("path", ALONE, ids=name)
def test_everything_eligible_in_a_small_file_is_changed(path: Path) -> None:
    assert eligible(path.read_bytes()) - changed(path)[0] == set()


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_everything_eligible_in_a_real_file_is_changed(path: Path) -> None:
    assert eligible(path.read_bytes()) - changed(path)[0] == set()


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_no_edge_or_url_of_a_real_file_is_changed_that_is_not_eligible(path: Path) -> None:
    wanted, (done, _) = eligible(path.read_bytes()), changed(path)
    checks = {service for service, what, _ in done if what == "health_check"}
    more = {each for each in done - wanted if each[1] in ("condition", "database_url") and each[2] not in checks}
    assert more == set()


@needs_corpus
def test_the_oracle_finds_enough_in_the_real_files_to_mean_something() -> None:
    counted = [each for path in REAL for each in eligible(path.read_bytes())]
    assert sum(what == "condition" for _, what, _ in counted) >= 30
    assert sum(what == "health_check" for _, what, _ in counted) >= 40


def test_the_oracle_finds_urls_in_the_small_files() -> None:
    assert sum(what == "database_url" for path in ALONE for _, what, _ in eligible(path.read_bytes())) >= 4


def test_the_oracle_uses_nothing_of_the_tool() -> None:
    text = (Path(__file__).parent / "oracle.py").read_text()
    assert not any(
        f"{word} {package}" in text for word in ("from", "import") for package in ("runbooks", "inventory", "checks")
    )
