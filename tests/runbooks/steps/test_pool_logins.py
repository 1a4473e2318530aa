"""A consumer's own login is tried through the live pooler before anything moves."""

from __future__ import annotations

import pytest

from runbooks.model import Answer
from tests.runbooks.steps.material import asks, change, live
from tests.runbooks.steps.test_pgbouncer import STEP, connected, moved, pooled

SAID_NO = 'psql: error: connection to server at "pgbouncer" failed: FATAL:  no such user: app'


APP = pooled("DATABASE_URL: 'postgresql://app:p%40ss@db:5432/shop'")


def test_the_login_is_tried_through_the_pooler_and_its_password_stands_in_no_command() -> None:
    _, question = asks(STEP, APP, live(APP))
    assert question.argv[-2:] == ("-c", "select 1")
    assert " ".join(question.argv).count("-h pgbouncer -p 5432 -U app -d shop") == 1
    assert question.environment["PGPASSWORD"] == "p@ss"
    assert "p@ss" not in " ".join(question.argv) + question.key


@pytest.mark.parametrize("text, tls", [("?sslmode=require", True), ("?sslmode=verify-full", True), ("?sslmode=prefer", False), ("", False)])  # fmt: skip
def test_a_login_that_insists_on_encryption_is_tried_with_it(text: str, tls: bool) -> None:
    stack = pooled(f"U: 'postgresql://app:s@db:5432/shop{text}'")
    assert ("PGSSLMODE" in asks(STEP, stack, live(stack))[1].environment) == tls


def test_a_login_that_stands_beside_its_url_is_found() -> None:
    stack = pooled("SPRING_DATASOURCE_URL: 'jdbc:postgresql://db:5432/shop', SPRING_DATASOURCE_USERNAME: app, SPRING_DATASOURCE_PASSWORD: geheim")  # fmt: skip
    question = asks(STEP, stack, live(stack))[1]
    assert (question.environment["PGPASSWORD"], question.argv[question.argv.index("-U") + 1]) == ("geheim", "app")
    assert moved(change(STEP, stack, connected(stack))) == ["SPRING_DATASOURCE_URL=jdbc:postgresql://pgbouncer:5432/shop"]  # fmt: skip


def test_a_proven_login_moves() -> None:
    made = change(STEP, APP, connected(APP))
    assert [altered.proof for altered in made.altered if altered.what == "database_url"] == ["proven"]


ANSWERS: dict[str, tuple[Answer | None, str]] = {
    "a login that the pooler does not know": (Answer(2, SAID_NO, 0.1), "no such user: app"),
    "no such program": (Answer(None, "", 0.1), "no answer"),
    "another answer": (Answer(0, "0", 0.1), "runs no query through pgbouncer: 0"),
    "a failure that looks like success": (Answer(1, "1", 0.1), "runs no query"),
    "no answer": (None, "no answer"),
}


@pytest.mark.parametrize("answer, reason", ANSWERS.values(), ids=ANSWERS)
def test_a_login_that_runs_no_query_through_the_pooler_stays(answer: Answer | None, reason: str) -> None:
    made = change(STEP, APP, live(APP, answers={f"{STEP}/app/DATABASE_URL": answer} if answer else {}))
    assert (made.edits, made.altered) == ((), ())
    assert reason in made.refused[0].reason


def test_a_login_that_is_not_in_the_environment_is_not_moved_on_a_live_host() -> None:
    stack = pooled("U: 'postgresql://db:5432/shop'")
    made = change(STEP, stack, connected(stack))
    assert made.edits == () and "is not in the environment" in made.refused[0].reason
