"""A health check is written only after it was seen to pass, and to fail, in the live container."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Facts, Image, Question
from runbooks.steps.catalogue import ENTRIES, WRONG_PORT
from runbooks.steps.common import argv
from runbooks.steps.health_checks import misdirected
from tests.runbooks.steps.material import (
    NEW,
    OLD,
    answered,
    asks,
    change,
    container,
    live,
    reasons,
    services,
    stack_of,
    text_of,
)

STEP = "health_checks"
WEB = services(web="image: 'nginx:1.27', restart: always")
BUILT = stack_of("services:\n  api:\n    build: .\n    expose: ['8000']\n")


def asked(stack: Stack, facts: Facts, said: dict[str, Any], **given: Any) -> Facts:
    """The facts with every question answered: by the first word of `said` that its key holds, else with 1."""

    def ask(question: Question) -> Any:
        return next((exit_ for word, exit_ in said.items() if word in question.key), 1)

    return live(stack, answers=answered(asks(STEP, stack, facts, **given), ask), images=facts.images)


def test_a_check_of_a_service_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"health_checks: there is no service wbe \(did you mean web\?\)"):
        change("health_checks", services(web="image: nginx"), NO_FACTS, health_checks={"wbe": "true"})


def test_a_check_that_passes_here_and_fails_elsewhere_is_proven() -> None:
    made = change(STEP, WEB, asked(WEB, live(WEB), {"/right": 0, "/wrong": 1}))
    (altered,) = made.altered
    assert (altered.what, altered.proof, altered.before) == ("health_check", "proven", "none")
    check = made.stack.services["web"].health_check
    assert check is not None
    assert check.test == ("CMD-SHELL", "curl -fsS -o /dev/null http://127.0.0.1:80/ || exit 1")


def test_each_candidate_is_asked_of_a_port_where_nothing_listens_too() -> None:
    pairs: dict[str, dict[str, str]] = {}
    for question in asks(STEP, WEB, live(WEB)):
        *_, number, target = question.key.split("/")
        pairs.setdefault(number, {})[target] = " ".join(question.argv)
    assert len(pairs) > 2
    for pair in pairs.values():
        assert pair["wrong"] != pair["right"]
        assert f"127.0.0.1:{WRONG_PORT}/" in pair["wrong"] or f"/{WRONG_PORT}" in pair["wrong"] or f" {WRONG_PORT} " in pair["wrong"]  # fmt: skip


def test_the_first_alternative_that_can_be_proven_is_taken() -> None:
    second = next(question for question in asks(STEP, WEB, live(WEB)) if question.key.endswith("web/2/right"))
    made = change(STEP, WEB, asked(WEB, live(WEB), {"web/1/right": 127, "/right": 0, "/wrong": 1}))
    assert made.altered[0].after == second.argv[-1]


REFUSED_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "passes against the wrong port": ({"/right": 0, "/wrong": 0}, "passes whatever is asked"),
    "fails in the container": ({"/right": 1, "/wrong": 1}, "known checks passes in the live container"),
    "could not run": ({"/right": None, "/wrong": None}, "known checks passes in the live container"),
    "the wrong target gave no answer": ({"/right": 0, "/wrong": None}, "passes whatever is asked"),
}


@pytest.mark.parametrize("said, reason", REFUSED_ANSWERS.values(), ids=REFUSED_ANSWERS)
def test_a_check_without_both_proofs_is_kept_out_and_reported(said: dict[str, Any], reason: str) -> None:
    made = change(STEP, WEB, asked(WEB, live(WEB), said))
    assert made.edits == () and made.altered == ()
    (kept,) = made.kept
    assert reason in kept.reason
    assert kept.attention


def test_no_answer_at_all_is_no_proof() -> None:
    assert change(STEP, WEB, live(WEB)).edits == ()


@pytest.mark.parametrize("test", ["true", "exit 0", ["CMD", "true"], "redis-cli ping"])
def test_a_check_of_ones_own_that_cannot_fail_is_no_check(test: Any) -> None:
    own = {"web": {"test": test}}
    made = change(STEP, WEB, asked(WEB, live(WEB), {"/right": 0, "/wrong": 1}, health_checks=own), health_checks=own)
    assert made.edits == ()
    assert "checks nothing" in reasons(made)["web", "health_check"]


def test_a_check_of_ones_own_may_name_what_must_fail() -> None:
    own = {"web": {"test": "test -S /run/app.sock", "wrong": "test -S /run/none.sock"}}
    facts = asked(WEB, live(WEB), {"/right": 0, "/wrong": 1}, health_checks=own)
    made = change(STEP, WEB, facts, health_checks=own)
    assert made.stack.services["web"].health_check.test == ("CMD-SHELL", "test -S /run/app.sock")  # type: ignore[union-attr]
    assert "none.sock" not in text_of(made.stack) and "wrong" not in text_of(made.stack)


@pytest.mark.parametrize(
    "test, expected",
    [
        ("nc -z 127.0.0.1 8080", "nc -z 127.0.0.1 1"),
        ("curl -f http://localhost:8080/health", "curl -f http://localhost:1/health"),
        ("curl -f http://localhost:8080?deep=1", "curl -f http://localhost:1?deep=1"),
        ("curl -f http://localhost:8080||exit 1", "curl -f http://localhost:1||exit 1"),
        ("(exec 3<>/dev/tcp/10.20.30.40/8080)", "(exec 3<>/dev/tcp/10.20.30.40/1)"),
        ("wget -qO- http://h2c.example/", None),
    ],
)
def test_the_wrong_target_differs_from_the_right_one_in_its_port_alone(test: str, expected: str | None) -> None:
    found = misdirected(("CMD-SHELL", test))
    assert found == (None if expected is None else ("CMD-SHELL", expected))


def test_a_port_that_is_a_word_of_its_own_is_misdirected_too() -> None:
    assert misdirected(("CMD", "nc", "-z", "127.0.0.1", "8080")) == ("CMD", "nc", "-z", "127.0.0.1", "1")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
@pytest.mark.parametrize("client", ["curl", "bash"])
def test_a_check_of_the_catalogue_really_passes_where_somebody_listens_and_fails_elsewhere(client: str) -> None:
    check = next(each for each in ENTRIES["nginx"].checks if client in argv(each.test)[0] or client in each.test[1])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        right = subprocess.Popen(argv(check.at(port)), stderr=subprocess.DEVNULL)
        connection, _ = server.accept()
        with connection:
            if client == "curl":
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert right.wait(5) == 0
    assert subprocess.run(argv(check.at(port)), stderr=subprocess.DEVNULL, timeout=5, check=False).returncode != 0


@pytest.mark.parametrize("image", ["redis:8", "postgres:17", "mysql:8", "valkey/valkey:8", "mariadb:11"])
def test_a_check_holds_references_and_never_a_secret(image: str) -> None:
    secret = "s3cret-of-the-stack"
    variables = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "MYSQL_ROOT_PASSWORD", "VALKEY_PASSWORD", "MARIADB_ROOT_PASSWORD", "POSTGRES_USER")  # fmt: skip
    lines = "".join(f"      {name}: {secret}\n" for name in variables)
    stack = stack_of(f"services:\n  db:\n    image: {image}\n    restart: always\n    environment:\n{lines}")
    made = change(STEP, stack, NO_FACTS)
    check = made.stack.services["db"].health_check
    assert check is not None and "$" in check.test[1]
    added = text_of(made.stack).replace(lines, "")
    assert secret not in added and "$$" in added
    assert secret not in str(asks(STEP, stack, live(stack)))


def test_postgres_is_asked_over_tcp_with_names_read_in_the_container() -> None:
    made = change(STEP, services(db="image: 'postgres:17'"), NO_FACTS)
    assert "-h 127.0.0.1" in text_of(made.stack)
    assert "$${POSTGRES_USER:-postgres}" in text_of(made.stack)


@pytest.mark.parametrize(
    "versions, quick",
    [(NEW, True), (OLD, False), (((25,), (2, 20, 2)), True), (((25,), (2, 20, 1)), False), (((24, 0, 9), (2, 29)), False)],
)  # fmt: skip
def test_start_interval_is_written_where_engine_and_compose_both_know_it(versions: Any, quick: bool) -> None:
    stack = services(web="image: nginx", own="image: a, healthcheck: {test: [CMD, x], interval: 30s}")
    answers = asked(stack, live(stack), {"/right": 0, "/wrong": 1}).answers
    made = change(STEP, stack, live(stack, answers=answers, versions=versions))
    found = {name: made.stack.services[name].health_check.start_interval_s for name in ("web", "own")}  # type: ignore[union-attr]
    assert found == ({"web": 1.0, "own": 1.0} if quick else {"web": None, "own": None})
    assert all(made.stack.services[name].health_check.start_period_s for name in found)  # type: ignore[union-attr]


def test_without_a_host_start_interval_is_not_written() -> None:
    assert "start_interval" not in text_of(change(STEP, WEB, NO_FACTS).stack)


def test_a_check_that_is_asked_often_anyway_stays_as_it_is() -> None:
    stack = services(web="image: nginx, healthcheck: {test: [CMD, x], interval: 4s}")
    assert change(STEP, stack, live(stack)).edits == ()


def test_an_own_check_keeps_its_test_and_interval() -> None:
    stack = services(web="image: nginx, healthcheck: {test: [CMD, x], interval: 30s, retries: 7}")
    check = change(STEP, stack, live(stack)).stack.services["web"].health_check
    assert check is not None and (check.test, check.interval_s, check.retries) == (("CMD", "x"), 30.0, 7)


def test_a_start_period_of_zero_that_was_written_by_hand_stays() -> None:
    stack = services(web="image: a, healthcheck: {test: [CMD, x], interval: 30s, start_period: 0s}")
    assert change(STEP, stack, live(stack)).edits == ()


KEPT = {
    "runs once and ends": services(x="image: a, restart: 'no'"),
    "is disabled in the file": services(x="image: a, healthcheck: {disable: true}"),
}


@pytest.mark.parametrize("reason, stack", KEPT.items(), ids=KEPT)
def test_what_needs_no_check_is_kept_with_why(reason: str, stack: Stack) -> None:
    made = change(STEP, stack, live(stack, container("x", "exited") if "once" in reason else container("x")))
    assert (made.edits, reasons(made)) == ((), {("x", "health_check"): reason})


def test_a_service_whose_profile_is_off_is_left_alone() -> None:
    stack = services(tool="image: nginx, profiles: [dev]")
    made = change(STEP, stack, NO_FACTS)
    assert (made.edits, made.kept, asks(STEP, stack, live(stack))) == ((), (), ())


def test_a_service_that_crashed_is_no_one_shot_job() -> None:
    stack = services(x="image: a, restart: 'no'")
    made = change(STEP, stack, live(stack, container("x", "exited", exit_code=1)))
    assert "runs once" not in reasons(made)["x", "health_check"]


def test_the_image_s_own_check_counts() -> None:
    facts = live(WEB, images={"nginx:1.27": Image("i", has_health_check=True)})
    assert (asks(STEP, WEB, facts), reasons(change(STEP, WEB, facts))) == ((), {("web", "health_check"): "its image brings one"})  # fmt: skip


def test_the_own_check_of_an_image_that_is_built_counts_too() -> None:
    facts = live(BUILT, images={"sha256:api": Image("sha256:api", has_health_check=True)})
    assert reasons(change(STEP, BUILT, facts)) == {("api", "health_check"): "its image brings one"}


def test_an_unknown_image_is_asked_on_the_port_that_it_declares() -> None:
    made = change(STEP, BUILT, asked(BUILT, live(BUILT), {"/right": 0, "/wrong": 1}))
    assert "http://127.0.0.1:8000/health " in made.altered[0].after


def test_an_unknown_image_is_not_guessed_at_without_a_host() -> None:
    made = change(STEP, BUILT, NO_FACTS)
    assert made.edits == () and "plan against the live host" in reasons(made)["api", "health_check"]


def test_what_has_a_check_is_watched_by_that_very_check() -> None:
    made = change(STEP, WEB, NO_FACTS)
    assert {(probe.kind, probe.service) for probe in made.probes} == {("container", "web"), ("command", "web")}


def test_planning_again_on_the_result_changes_nothing() -> None:
    facts = asked(WEB, live(WEB), {"/right": 0, "/wrong": 1})
    again = change(STEP, change(STEP, WEB, facts).stack, facts)
    assert (again.edits, again.altered) == ((), ())


@pytest.mark.parametrize("image", sorted(ENTRIES))
def test_every_entry_of_the_catalogue_can_be_proven_and_written(image: str) -> None:
    stack = services(x=f"image: 'registry.example/{image}:1'")
    made = change(STEP, stack, asked(stack, live(stack), {"/right": 0, "/wrong": 1}))
    (altered,) = made.altered
    assert (altered.what, altered.proof) == ("health_check", "proven")
    check = made.stack.services["x"].health_check
    assert check is not None and altered.after == " ".join(check.test[1:])


BAD_OWN: dict[str, tuple[Any, str]] = {
    "a key with a slip": ({"tset": "curl localhost:80"}, "did you mean test"),
    "no test": ({"interval": "5s"}, "has no test that can be run"),
    "an empty test": ("", "has no test that can be run"),
    "an empty list": ([], "has no test that can be run"),
    "a list without CMD": (["curl", "localhost:80"], "has no test that can be run"),
    "a number": (5, "has no test that can be run"),
    "nothing": (None, "has no test that can be run"),
    "an interval that is none": ({"test": "curl localhost:80", "interval": "often"}, "'often' is no duration"),
    "an interval without unit": ({"test": "curl localhost:80", "interval": 5}, "5 is no duration"),
    "no retries": ({"test": "curl localhost:80", "retries": 0}, "0 is no count"),
    "a wrong that is none": ({"test": "curl localhost:80", "wrong": ""}, "has no wrong that can be run"),
}


@pytest.mark.parametrize("own, words", BAD_OWN.values(), ids=BAD_OWN)
def test_a_check_in_the_inventory_that_cannot_be_used_is_refused_by_name(own: Any, words: str) -> None:
    from inventory.errors import InputError

    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, "health_checks", {"web": own}, "hosts.yml", 3)
    assert str(caught.value).startswith("hosts.yml:3: vars.health_checks: web: ")
    assert words in str(caught.value)
