"""Hosts and passwords by name: what each variable means stays, `.env` says it, and a service moves by one line of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.errors import InputError
from inventory.secrets import Mask
from runbooks import book
from runbooks.compose import project, splices
from runbooks.compose.intent import meaning
from runbooks.compose.model import Stack
from runbooks.compose.patch import patch
from runbooks.learning import learn
from runbooks.model import NO_FACTS, Answer, Change, Facts
from runbooks.survey_files import file_stack
from tests.runbooks.compose.test_corpus import REAL, ROOT, completed, name, needs_corpus
from tests.runbooks.steps.material import asks, change, live, reasons, services, stack_of, text_of

STEP = "discovery_variables"
ENV = "/srv/app/.env"


def planned(on: Stack, facts: Facts = NO_FACTS, **more: Any) -> Change:
    return change(STEP, on, facts, **more)


def env_of(made: Change) -> str:
    return made.stack.files[ENV].decode()


def values(stack: Stack) -> dict[tuple[str, str], str | None]:
    return {(service.name, each.name): each.value for service in stack.services.values() for each in service.environment.values()}  # fmt: skip


SHOP = services(
    db="image: 'postgres:17', environment: {POSTGRES_PASSWORD: 'se#cr$$et'}",
    redis="image: 'redis:8'",
    web="image: web, environment: {DATABASE_URL: 'postgres://app:se#cr$$et@db:5432/shop', REDIS_URL: 'redis://redis', REDIS_HOST: redis}",
)


def test_hosts_and_passwords_become_names_and_every_variable_means_what_it_meant() -> None:
    made = planned(SHOP)
    assert "'postgres://app:${POSTGRES_PASSWORD}@${DB_SERVICE}:5432/shop'" in text_of(made.stack)
    assert "POSTGRES_PASSWORD: '${POSTGRES_PASSWORD}'" in text_of(made.stack)
    assert "REDIS_HOST: '${REDIS_SERVICE}'" in text_of(made.stack)
    assert env_of(made) == "POSTGRES_PASSWORD='se#cr$et'\nDB_SERVICE=db\nREDIS_SERVICE=redis\n"
    assert meaning(made.stack) == meaning(SHOP)
    assert values(made.stack) == values(SHOP)
    assert not made.refused


def test_planning_again_on_the_result_plans_nothing() -> None:
    made = planned(planned(SHOP).stack)
    assert (made.edits, made.operations, made.refused, made.modes) == ((), (), (), {})


def test_the_file_that_takes_a_password_becomes_its_owner_s_alone() -> None:
    assert planned(SHOP).modes == {ENV: 0o600}
    there = stack_of("services: {a: {image: x, environment: {TOKEN: abcdef}}}", env="A=1\n")
    assert planned(there).modes == {ENV: 0o600}
    assert planned(there, env_file_mode="0640").modes == {ENV: 0o640}
    assert planned(there, env_file_mode="keep").modes == {}


def test_a_file_that_takes_only_hosts_keeps_its_mode() -> None:
    hosts = stack_of("services: {a: {image: x, environment: {URL: 'http://b'}}, b: {image: x}}", env="A=1\n")
    assert planned(hosts).modes == {}


def test_a_name_that_says_the_same_already_is_used() -> None:
    there = stack_of("services: {a: {image: x, environment: {URL: 'http://u:pass1@b'}}, b: {image: x}}", env="B_SERVICE=b\nTHE_PASS=pass1\n")  # fmt: skip
    made = planned(there)
    assert "http://u:${THE_PASS}@${B_SERVICE}" in text_of(made.stack)
    assert env_of(made) == "B_SERVICE=b\nTHE_PASS=pass1\n"


def test_a_name_that_says_something_else_is_refused_with_the_setting_that_mends_it() -> None:
    there = stack_of("services: {a: {image: x, environment: {URL: 'http://b'}}, b: {image: x}}", env="B_SERVICE=other\n")  # fmt: skip
    made = planned(there)
    assert not made.edits
    assert made.refused[0].reason == "B_SERVICE is taken already and says another host"
    assert "service_variables: {b: OTHER_NAME}" in made.refused[0].mend
    assert "http://${WHERE_B_IS}" in text_of(planned(there, service_variables={"b": "WHERE_B_IS"}).stack)


def test_a_name_that_the_shell_sets_is_none_of_ours() -> None:
    spec = replace(SHOP.spec, environment={"REDIS_SERVICE": "redis"})
    made = planned(project.load(spec, SHOP.files))
    assert {each.variable for each in made.operations} == {"DATABASE_URL", "POSTGRES_PASSWORD"}
    assert all("REDIS_SERVICE is taken" in each.reason for each in made.refused)


def test_a_password_of_another_service_under_the_same_variable_gets_a_name_of_its_own() -> None:
    made = planned(services(a="image: x, environment: {PASSWORD: first1}", b="image: x, environment: {PASSWORD: second2}"))  # fmt: skip
    assert env_of(made) == "PASSWORD=first1\nB_PASSWORD=second2\n"


def test_a_name_that_a_file_uses_while_nothing_sets_it_is_left_free() -> None:
    made = planned(services(a="image: x, environment: {API_KEY: abcdef, OTHER: '${API_KEY-x}'}"))
    assert env_of(made) == "A_API_KEY=abcdef\n"


def test_a_dollar_of_a_health_check_is_no_use_of_a_name() -> None:
    check = "healthcheck: {test: 'x $$API_KEY'}"
    assert env_of(planned(services(a=f"image: x, environment: {{API_KEY: abcdef}}, {check}"))) == "API_KEY=abcdef\n"


def test_what_comes_by_a_reference_from_an_env_file_or_names_itself_stays() -> None:
    there = stack_of(
        "services:\n  a: {image: x, env_file: [.a], environment: {ONE: '${URL}', TWO: '${NO:-http://b}', SELF_HOST: a, PASSWORD_FILE: /run/pass, MAX_TOKENS: 4096}}\n  b: {image: x}\n",
        env="URL=http://u:secret@b\n", a="URL=http://b\n",
    )  # fmt: skip
    made = planned(there)
    assert not made.edits
    assert reasons(made) == {("a", "service_host"): "URL stands in an env_file, which is one place already"}


def test_a_service_that_takes_the_whole_env_file_would_get_each_name_so_nothing_is_done() -> None:
    there = stack_of("services: {a: {image: x, env_file: [.env], environment: {URL: 'http://b'}}, b: {image: x}}", env="A=1\n")  # fmt: skip
    made = planned(there)
    assert not made.edits
    assert ".env is its env_file too" in made.refused[0].reason


def test_a_password_in_a_command_is_told() -> None:
    made = planned(services(redis="image: 'redis:8', command: 'redis-server --requirepass abcdef'"))
    assert [(each.what, each.attention) for each in made.kept] == [("secret", True)]
    held = stack_of("services: {redis: {image: x, command: 'redis-server --requirepass ${P}'}}", env="P=abcdef\n")
    assert not planned(held).kept


def test_a_service_that_lives_elsewhere_is_said_in_one_line_and_its_users_change() -> None:
    first = planned(SHOP).stack
    made = planned(first, service_locations={"db": "db.example.net"})
    assert text_of(made.stack) == text_of(first)
    assert env_of(made) == "POSTGRES_PASSWORD='se#cr$et'\nDB_SERVICE=db.example.net\nREDIS_SERVICE=redis\n"
    assert values(made.stack)["web", "DATABASE_URL"] == "postgres://app:se#cr$et@db.example.net:5432/shop"
    assert [(each.service, each.what) for each in made.altered] == [("web", "service_host")]
    assert "db itself goes on running here" in made.notes[-1]
    assert {each.service for each in made.probes} == {"web"}
    back = planned(made.stack, service_locations={"db": "db"})
    assert back.stack.files == first.files
    assert not planned(made.stack).edits, "who moved it by hand, or left the setting out, is not moved back"


def test_a_first_migration_can_name_the_new_place_at_once() -> None:
    made = planned(SHOP, service_locations={"db": "10.0.0.7"})
    assert "DB_SERVICE=10.0.0.7" in env_of(made)
    assert values(made.stack)["web", "DATABASE_URL"] == "postgres://app:se#cr$et@10.0.0.7:5432/shop"


def test_a_host_that_a_user_of_it_cannot_find_is_refused_and_nothing_changes() -> None:
    facts = live(SHOP)
    questions = asks(STEP, SHOP, facts, service_locations={"db": "db.example.net"})
    assert [(each.service, each.argv) for each in questions[1:]] == [("web", ("getent", "ahosts", "db.example.net"))]

    def told(code: int | None) -> Change:
        answers = {questions[1].key: Answer(code, "", 0.1), questions[0].key: Answer(0, "", 0.1)}
        return planned(SHOP, replace(facts, answers=answers), service_locations={"db": "db.example.net"})

    assert "db.example.net is not found from web" in told(2).refused[0].reason
    assert not told(2).edits
    for code, proof in ((0, "proven"), (127, "unproven"), (None, "unproven")):
        assert {each.proof for each in told(code).altered if each.service and "example.net" in each.after} == {proof}


@pytest.mark.parametrize(("code", "words"), [(0, ()), (128, ()), (1, ("git would show .env",))])
def test_an_env_file_that_git_would_show_is_told(code: int, words: tuple[str, ...]) -> None:
    facts = replace(live(SHOP), answers={f"{STEP}/git": Answer(code, "", 0.1)})
    assert [note.partition(":")[0] for note in planned(SHOP, facts).notes if "git" in note] == list(words)


BAD = [
    ("service_locations", {"db": "http://db:5432"}, "is no host"),
    ("service_locations", {"db": "a b"}, "is no host"),
    ("service_locations", {"db": 7}, "is no host"),
    ("service_variables", {"db": "9-x"}, "is no name of a variable"),
    ("env_file_mode", "0777", "is no mode"),
]


@pytest.mark.parametrize(("key", "value", "words"), BAD)
def test_a_setting_that_cannot_be_is_refused_with_its_place_and_mend(key: str, value: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^phase_3\.yml:7: vars\.{key}: .*{words}"):
        book.check_setting(STEP, key, value, "phase_3.yml", 7)


@pytest.mark.parametrize("key", ["service_locations", "service_variables"])
def test_a_service_that_is_not_there_is_refused(key: str) -> None:
    with pytest.raises(InputError, match=r"there is no service bd \(write db or redis or web\)"):
        planned(SHOP, **{key: {"bd": "x"}})


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=4, max_size=20))
def test_any_password_comes_out_of_the_env_file_as_it_went_in(password: str) -> None:
    single = "'" + password.replace("'", "''").replace("$", "$$") + "'"
    stack = stack_of(
        f"services:\n  a:\n    image: x\n    environment:\n      THE_SECRET: {single}\n", env="# kept\nA='b'\n"
    )
    made = planned(stack)
    assert not made.refused
    assert values(made.stack) == values(stack)
    if made.edits:
        assert "THE_SECRET: '${THE_SECRET}'" in text_of(made.stack)
        assert splices.undone(made.stack.files, made.edits, stack.files) == stack.files


@needs_corpus
@pytest.mark.parametrize("path", REAL, ids=name)
def test_a_real_file_means_the_same_afterwards_and_is_done_with(path: Any) -> None:
    stack = completed(path)
    made = planned(stack)
    assert meaning(made.stack) == replace(meaning(stack), unset=meaning(made.stack).unset)
    back = splices.undone(made.stack.files, made.edits, stack.files)
    assert {each: data for each, data in back.items() if each in stack.files} == {each: stack.files[each] for each in back if each in stack.files}  # fmt: skip
    assert not planned(made.stack).operations


def test_the_example_names_every_service_that_its_urls_name() -> None:
    made = planned(file_stack([ROOT / "examples" / "reconciliation" / "docker-compose.yml"]))
    assert not made.refused
    for line in ("POSTGRES_SERVICE=postgres", "REDIS_SERVICE=redis", "ELASTICSEARCH_SERVICE=elasticsearch"):
        assert line in made.stack.files[made.stack.spec.directory + "/.env"].decode()


@pytest.mark.parametrize("middle", ["-", "it's", 'quo"te', "back\\slash", "\\'\"$#", "${NOT}", "$dollar$$", "'", " # "])
def test_no_way_of_writing_a_password_shows_it_in_the_plan(middle: str) -> None:
    password = f"Qz7{middle}Xk9vvvv"
    single = "'" + password.replace("'", "''").replace("$", "$$") + "'"
    stack = stack_of(f"services:\n  a:\n    image: x\n    environment:\n      THE_SECRET: {single}\n")
    made, mask = planned(stack), Mask()
    learn(mask, stack, NO_FACTS)
    texts = [patch(stack.files.get(path, b""), data, path) for path, data in made.stack.files.items()]
    texts += [f"{each.before} {each.after}" for each in made.altered]
    shown = mask.hide("\n".join(texts))
    assert made.edits
    assert "Qz7" not in shown
    assert "Xk9" not in shown
