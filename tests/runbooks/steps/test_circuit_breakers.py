"""Breakers in a stack: who moves to which port, what stays, the file that is created, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book, draft
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Change
from runbooks.steps import circuit_breakers
from tests.runbooks.compose import invariants
from tests.runbooks.steps.material import ROOT, change, reasons, stack_of

STEP = "circuit_breakers"
FILE = f"{ROOT}/infrastructure/circuit-breaker/haproxy.cfg"
TEXT = """\
services:
  db:
    image: postgres:17
    environment: {POSTGRES_USER: app, POSTGRES_DB: shop, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
  pgbouncer:
    image: edoburu/pgbouncer:v1
    environment: {DATABASE_URL: "postgres://app:${DB_PASSWORD}@db:5432/shop"}
  cache:
    image: redis:8
    environment: {REDIS_PASSWORD: "${CACHE_PASSWORD}"}
  api:
    image: shop/api
    environment:
      DATABASE_URL: postgres://app:${DB_PASSWORD}@pgbouncer:5432/shop   # through the pooler
      REDIS_URL: redis://:${CACHE_PASSWORD}@cache:6379/0
      LOG_URL: http://logstash:9600
    expose: ["5432"]
    depends_on: [pgbouncer]
  worker:
    image: shop/worker
    environment: [REDIS_HOST=cache, REDIS_PORT=6379, "API=http://api:5432/v1"]
  logstash:
    image: logstash:8
  exporter:
    image: prometheuscommunity/postgres-exporter
    environment: {DATA_SOURCE_NAME: "postgres://app:${DB_PASSWORD}@db:5432/shop"}
"""
SECRETS = "DB_PASSWORD=geheim-db\nCACHE_PASSWORD=geheim-cache\n"


def stack(text: str = TEXT) -> Stack:
    """With its aggregator."""
    return change("health_aggregator", stack_of(text, env=SECRETS), NO_FACTS).stack


def planned(on: Stack, **more: Any) -> Change:
    return change(STEP, on, NO_FACTS, **more)


def test_a_database_whose_login_is_found_later_gets_no_breaker_as_its_aggregator_asks_the_port_alone() -> None:
    # Phase 3 puts passwords into .env. Phase 2, planned again, must then have nothing to do.
    plain = (
        "services:\n  db: {image: 'postgres:17', environment: {POSTGRES_PASSWORD: geheim-db}}\n"
        "  api: {image: shop/api, environment: {DATABASE_URL: 'postgres://postgres:geheim-db@db:5432/shop'}}\n"
    )
    was = draft.walk(book.load("2"), stack_of(plain), NO_FACTS, {}).stages[-1].after
    assert "CHECK_db" in was.services["health-aggregator"].environment
    now = draft.walk(book.load("3"), was, NO_FACTS, {}).stages[-1].after
    assert now.services["db"].environment["POSTGRES_PASSWORD"].raw == "${POSTGRES_PASSWORD}"
    assert [
        step.edits
        for stage in draft.walk(book.load("2"), now, NO_FACTS, {}).stages
        for _, step in stage.steps
        if step.edits
    ] == []


def value(made: Change, service: str, variable: str) -> str | None:
    return made.stack.services[service].environment[variable].raw


def test_each_consumer_moves_to_its_dependency_s_own_port_and_secrets_stay_references() -> None:
    on = stack()
    made = planned(on)
    assert value(made, "api", "DATABASE_URL") == "postgres://app:${DB_PASSWORD}@circuit-breaker:5432/shop"
    assert value(made, "api", "REDIS_URL") == "redis://:${CACHE_PASSWORD}@circuit-breaker:6379/0"
    assert value(made, "worker", "REDIS_HOST") == "circuit-breaker"
    # api has the same port as the pooler: behind the breaker each has one of its own.
    assert value(made, "worker", "API") == "http://circuit-breaker:5433/v1"
    assert made.stack.services["api"].edges["circuit-breaker"].condition == "service_healthy"
    assert made.refused == ()
    invariants.only_the_edits_differ(on, made)
    assert "geheim" not in b"".join(edit.text for edit in made.edits).decode() + made.created[FILE].decode()


def test_the_pooler_the_exporter_and_the_aggregator_keep_their_way_and_what_is_optional_is_said() -> None:
    on = stack()
    made = planned(on)
    for name in ("pgbouncer", "exporter", "health-aggregator"):
        before, after = (found.services[name].environment for found in (on, made.stack))
        assert {key: variable.raw for key, variable in before.items()} == {key: variable.raw for key, variable in after.items()}  # fmt: skip
    assert value(made, "api", "LOG_URL") == "http://logstash:9600"
    assert "name it in breakers" in reasons(made)["logstash", "breaker"]
    chosen = planned(on, breakers={"logstash": {"limit": "5s"}})
    assert value(chosen, "api", "LOG_URL") == "http://circuit-breaker:9600"


def test_the_file_has_a_listener_for_each_dependency_with_the_proposal_s_numbers() -> None:
    made = planned(stack(), breakers={"pgbouncer": {"fallback": "replica:5432"}, "api": {"status": 200, "body": "[]"}})
    text = made.created[FILE].decode()
    assert text.count("\nlisten ") == 4  # the aggregator's, and three
    assert text.count("fall 1 rise 3 observe layer4 error-limit 5 on-error mark-down on-marked-down shutdown-sessions") == 2  # fmt: skip
    assert text.count("fastinter 15000ms downinter 15000ms") == 3
    assert "server fallback replica:5432 backup" in text
    assert "http-request return status 200" in text
    assert made.images[0].argv == circuit_breakers.TRY
    assert made.images[0].data == made.created[FILE]
    assert f"./{FILE.removeprefix(ROOT + '/')}:/usr/local/etc/haproxy/haproxy.cfg:ro" in made.stack.services["circuit-breaker"].value["volumes"]  # fmt: skip


def test_other_numbers_are_the_operator_s() -> None:
    text = planned(stack(), breaker_failures=2, breaker_open="10s", breaker_closes=2).created[FILE].decode()
    assert "/health/pgbouncer?failures=2&pause=2 " in text
    assert "fastinter 10000ms downinter 10000ms fall 1 rise 2 observe layer4 error-limit 2" in text


def test_it_is_planned_once_and_phase_1_stands_after_it() -> None:
    made = planned(stack())
    assert planned(made.stack).edits == ()
    assert reasons(planned(made.stack))["circuit-breaker", "breaker"] == "is there already"
    assert change("pgbouncer", made.stack, NO_FACTS).edits == ()


def test_without_an_aggregator_there_is_nobody_who_could_close_one() -> None:
    made = planned(stack_of(TEXT, env=SECRETS))
    assert made.edits == ()
    assert "health_aggregator comes first" in reasons(made)["", "breaker"]


def test_a_dependency_that_the_aggregator_does_not_ask_gets_none() -> None:
    on = change("health_aggregator", stack_of(TEXT, env=SECRETS), NO_FACTS, aggregator_checks={"cache": "skip"}).stack
    made = planned(on)
    assert value(made, "api", "REDIS_URL") == "redis://:${CACHE_PASSWORD}@cache:6379/0"
    assert "nobody could tell when to close it" in reasons(made)["cache", "breaker"]


def test_what_one_consumer_cannot_do_is_refused_and_the_others_move() -> None:
    made = planned(stack(TEXT.replace("image: shop/worker", "image: shop/worker\n    network_mode: host")))
    assert {refusal.service for refusal in made.refused} == {"worker"}
    assert "would not reach the breaker" in made.refused[0].reason
    assert value(made, "api", "REDIS_URL") == "redis://:${CACHE_PASSWORD}@circuit-breaker:6379/0"
    taken = planned(stack(TEXT.replace("  worker:", "  circuit-breaker:")))
    assert [refusal.mend for refusal in taken.refused] == ["choose another breaker_name"]


def test_a_service_behind_none_is_left_alone() -> None:
    made = planned(stack(), breakers=dict.fromkeys(("pgbouncer", "cache", "api", "db"), "skip"))
    assert made.edits == ()
    assert made.created == {}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"breakers": {"cache": "maybe"}}, "cache: 'maybe' says nothing"),
        ({"breakers": {"cache": {"fallbak": "x:1"}}}, "cache: fallbak is no key of a breaker (did you mean fallback?)"),
        ({"breakers": {"cache": {"fallback": "replica"}}}, "'replica' is no fallback (write HOST:PORT)"),
        ({"breakers": {"api": {"fallback": "a:1", "status": 200}}}, "keep one of the two"),
        ({"breakers": {"api": {"body": "two\nlines"}}}, "api: its body is no line of text"),
        ({"breakers": {"api": {"status": 999}}}, "api: 999 is no status"),
        ({"breaker_config": "../haproxy.cfg"}, "is no file in the project (write a relative path)"),
        ({"breaker_open": "for ever"}, "'for ever' is no time"),
        ({"breaker_failures": 0}, "0 is no count (write 1 to 100)"),
        ({"breaker_name": "a b"}, "is no name of a service"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_with_the_mend(given: dict[str, Any], line: str) -> None:
    ((name, found),) = given.items()
    with pytest.raises(InputError) as caught:
        book.check_setting(STEP, name, found, "phase_2.yml", 7)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_breaker_for_a_service_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(InputError, match=r"breakers: there is no service cashe \(did you mean cache\?\)"):
        planned(stack(), breakers={"cashe": "skip"})
