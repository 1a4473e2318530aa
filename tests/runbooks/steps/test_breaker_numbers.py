"""Other numbers for breakers that are there: read back from the file as it stands, written anew, and nothing else touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.compose.model import Stack
from runbooks.compose.operations import SetSetting
from runbooks.model import HOST, Answer, Change
from runbooks.steps import haproxy, haproxy_file, images
from runbooks.steps.haproxy import Breaker, Numbers
from tests.runbooks.compose import invariants
from tests.runbooks.steps.material import asks, change, live, reasons
from tests.runbooks.steps.test_circuit_breakers import FILE, STEP, TEXT, planned, stack

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
BREAKERS = st.one_of(
    st.builds(Breaker, NAMES, st.integers(1, 65535), st.integers(1, 65535), fallback=st.sampled_from(["", "replica:5432"])),
    st.builds(Breaker, NAMES, st.integers(1, 65535), st.integers(1, 65535), st.just(True), st.just(""), st.integers(200, 599), WORDS, st.integers(1, 600).map(float)),
    st.builds(Breaker, NAMES, st.integers(1, 65535), st.integers(1, 65535), st.just(True), st.just("replica:80"), limit_s=st.sampled_from([0.5, 60.0])),
)  # fmt: skip


@given(st.lists(BREAKERS, min_size=1, max_size=3), st.integers(1, 100), st.integers(1, 3600), st.integers(1, 100), st.sampled_from([1.0, 2.5, 3.0]))  # fmt: skip
def test_whatever_is_written_is_read_back(
    breakers: list[Breaker], failures: int, opened: int, closes: int, limit_s: float
) -> None:
    text = haproxy.configuration(breakers, Numbers(failures, float(opened), closes), "health", 8080, limit_s)
    found = haproxy_file.read(text)
    assert found is not None
    assert found.text() == text
    assert [each.service for each in found.breakers] == [each.service for each in breakers]
    assert (found.numbers.failures, found.numbers.closes) == (failures, closes)
    assert found.numbers.open_s == pytest.approx(opened, abs=0.1)


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text + "\n# mine\n",
        lambda text: text.replace("maxconn 4096", "maxconn 8192"),
        lambda text: text.replace("rise 3", "rise 2", 1),
        lambda text: text.partition("listen ")[0],
        lambda text: text[: len(text) // 2],
        lambda text: "",
    ],
)
def test_a_file_that_somebody_changed_is_not_taken_for_this_step_s_own(changed: Any) -> None:
    text = haproxy.configuration([Breaker("db", 5432, 5432), Breaker("api", 80, 80, True)], Numbers(), "health", 8080, 3.0)  # fmt: skip
    assert haproxy_file.read(text) is not None
    assert haproxy_file.read(changed(text)) is None


def again(made: Change, said: bytes | None = None, **more: Any) -> Change:
    """The step planned on its own result, on a host whose file says so (as it was written, where nothing else is given)."""
    on = made.stack
    (question,) = asks(STEP, on, live(on))
    assert (question.service, question.argv) == (HOST, ("cat", FILE))
    answer = Answer(0, (made.created[FILE] if said is None else said).decode(), 0.1)
    return change(STEP, on, live(on, answers={question.key: answer}), **more)


def test_with_the_same_numbers_nothing_is_planned() -> None:
    own = {"api": {"status": 200, "body": "[]", "limit": "5s"}, "pgbouncer": {"fallback": "replica:5432"}}
    made = planned(stack(), breakers=own)
    found = again(made, breakers=own)
    assert (found.edits, dict(found.created)) == ((), {})
    assert reasons(found) == {("circuit-breaker", "breaker"): "is there already"}


def test_other_numbers_are_written_and_the_breaker_alone_is_made_anew() -> None:
    made = planned(stack())
    found = again(made, breaker_open="10s", breaker_failures=2, breakers={"api": {"status": 200, "body": "[]", "limit": "5s"}})  # fmt: skip
    text = found.created[FILE].decode()
    assert text == planned(stack(), breaker_open="10s", breaker_failures=2, breakers={"api": {"status": 200, "body": "[]", "limit": "5s"}}).created[FILE].decode()  # fmt: skip
    assert [type(each) for each in found.operations] == [SetSetting]
    before, after = (each.stack.services["circuit-breaker"].value for each in (made, found))
    assert before["labels"][images.CONTENT] != after["labels"][images.CONTENT]
    assert {**before, "labels": ""} == {**after, "labels": ""}
    invariants.only_the_edits_differ(made.stack, found)
    assert [(each.service, each.before, each.after) for each in found.altered] == [
        ("circuit-breaker", "opens after 5 failures, for 30 s, until 3 good checks", "opens after 2 failures, for 10 s, until 3 good checks"),
        ("circuit-breaker", "api: 60 s, else 503", "api: 5 s, else 200 []"),
    ]  # fmt: skip
    assert found.images[0].data == found.created[FILE]
    assert {"container:circuit-breaker", "breaker:circuit-breaker", "container:api"} <= {each.name for each in found.probes}  # fmt: skip
    # And once more nothing, then back again.
    there = replace(found, created={FILE: found.created[FILE]})
    assert again(there, breaker_open="10s", breaker_failures=2, breakers={"api": {"status": 200, "body": "[]", "limit": "5s"}}).edits == ()  # fmt: skip
    assert again(there).created[FILE] == made.created[FILE]


def test_a_breaker_of_before_there_was_a_label_gets_one() -> None:
    made = planned(stack())
    label = f"{images.CONTENT}: "
    bare = [line for line in made.stack.files[next(iter(made.stack.files))].decode().splitlines() if label not in line]
    on = reloaded(made.stack, "\n".join(bare) + "\n")
    found = again(replace(made, stack=on), breaker_open="10s")
    assert found.stack.services["circuit-breaker"].value["labels"].keys() == {images.ADDED, images.CONTENT}


def test_a_file_that_was_changed_by_hand_stays_and_the_plan_says_so() -> None:
    made = planned(stack())
    found = again(made, made.created[FILE] + b"# mine\n", breaker_open="10s")
    assert (found.edits, dict(found.created)) == ((), {})
    assert "is not as this version writes it" in reasons(found)["circuit-breaker", "breaker"]
    assert found.kept[0].attention


def test_a_file_that_cannot_be_read_is_said_in_its_own_words() -> None:
    on = planned(stack()).stack
    (question,) = asks(STEP, on, live(on))
    answer = Answer(1, f"cat: {FILE}: Permission denied\n", 0.1)
    found = change(STEP, on, live(on, answers={question.key: answer}), breaker_open="10s")
    assert reasons(found)["circuit-breaker", "breaker"] == f"its numbers stay as they are: cat: {FILE}: Permission denied"  # fmt: skip
    assert "was not read" in reasons(change(STEP, on, live(on), breaker_open="10s"))["circuit-breaker", "breaker"]


def test_who_is_behind_a_breaker_stays_and_how_to_change_that_is_said() -> None:
    found = again(planned(stack()), breakers={"cache": "skip", "logstash": {"limit": "5s"}, "db": "skip"})
    assert found.edits == ()
    assert reasons(found)["cache", "breaker"] == "roll back and plan anew to take it from behind one"
    assert reasons(found)["logstash", "breaker"] == "roll back and plan anew to put it behind one"
    assert ("db", "breaker") not in reasons(found)


def test_a_fallback_that_the_breaker_could_not_reach_is_refused() -> None:
    text = TEXT.replace("  logstash:\n", "  far:\n    image: shop/mirror\n    networks: [away]\n  logstash:\n") + "networks: {away: {}}\n"  # fmt: skip
    made = planned(stack(text))
    found = again(made, breakers={"cache": {"fallback": "far:6379"}})
    assert [(each.reason, each.mend) for each in found.refused] == [
        ("far:6379 shares no network with circuit-breaker", "name another fallback, or roll back and plan anew")
    ]
    assert "server fallback logstash:6379 backup" in again(made, breakers={"cache": {"fallback": "logstash:6379"}}).created[FILE].decode()  # fmt: skip


def reloaded(on: Stack, text: str) -> Stack:
    """A stack with another text in its one Compose file."""
    from runbooks.compose import project

    files = {path: text.encode() if path.endswith(".yml") else data for path, data in on.files.items()}
    return project.load(on.spec, files, frozenset())
