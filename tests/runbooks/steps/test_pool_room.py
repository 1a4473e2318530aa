"""The pooler's own settings: room for clients, and never more server connections than the database allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Answer
from runbooks.steps.pool_room import DIRECT, RESERVED
from tests.runbooks.steps.material import change, live, services, stack_of
from tests.runbooks.steps.test_pgbouncer import STEP, UPSTREAM, connected, pooled, settings_of

APP = f"U: '{UPSTREAM}'"


def users(count: int, pooler: str = "", **more: str) -> Stack:
    """As many services as users, each with a login of its own."""
    apps = {
        f"app{n}": f"image: app, environment: {{U: 'postgresql://user{n}:s@db:5432/shop'}}" for n in range(count)
    }  # fmt: skip
    return pooled("", pooler, **apps, **more)


def size(stack: Stack, most: str = "100") -> int:
    """The pool size afterwards."""
    return int(settings_of(change(STEP, stack, connected(stack, most=most))).get("DEFAULT_POOL_SIZE") or 20)


def test_one_user_keeps_the_size_that_there_is() -> None:
    made = change(STEP, pooled(APP, "DEFAULT_POOL_SIZE: 20"), NO_FACTS)
    assert settings_of(made)["DEFAULT_POOL_SIZE"] == "20"
    assert any("1 x 20 server connections fit under max_connections 100 (assumed)" in kept.reason for kept in made.kept)


def test_a_size_that_does_not_fit_becomes_what_does() -> None:
    assert size(users(6)) == (100 - RESERVED) // 6
    assert size(users(2, "DEFAULT_POOL_SIZE: 80")) == (100 - RESERVED) // 2
    assert size(users(2, "DEFAULT_POOL_SIZE: 80"), most="400") == 80


def test_one_user_of_two_databases_is_two_pools() -> None:
    stack = pooled("A: 'postgresql://app:s@db:5432/one', B: 'postgresql://app:s@db:5432/two'", "DEFAULT_POOL_SIZE: 90")
    assert size(stack) == (100 - RESERVED) // 2


def test_the_same_login_in_two_services_is_one_pool() -> None:
    stack = pooled(APP, "DEFAULT_POOL_SIZE: 90", other=f"image: o, environment: {{{APP}}}")
    assert size(stack) == 90


def test_a_login_that_goes_through_the_pooler_already_counts_too() -> None:
    there = "image: r, environment: {U: 'postgresql://reports:s@pgbouncer:5432/shop'}"
    assert size(pooled(APP, "DEFAULT_POOL_SIZE: 90", reports=there)) == (100 - RESERVED) // 2


def test_services_that_stay_direct_keep_their_connections() -> None:
    exporter = f"image: postgres-exporter, environment: {{DATA_SOURCE_NAME: '{UPSTREAM}'}}"
    assert size(pooled(APP, "DEFAULT_POOL_SIZE: 90", exporter=exporter)) == 100 - RESERVED - DIRECT


def test_each_pool_has_a_reserve_of_its_own() -> None:
    assert size(users(2, "DEFAULT_POOL_SIZE: 90, RESERVE_POOL_SIZE: 5")) == (100 - RESERVED) // 2 - 5


@limits(max_examples=60, deadline=None)
@given(count=st.integers(1, 8), wanted=st.integers(1, 300), reserve=st.integers(0, 8), direct=st.integers(0, 2), most=st.integers(130, 600))  # fmt: skip
def test_all_pools_reserves_and_direct_connections_fit_under_max_connections(count: int, wanted: int, reserve: int, direct: int, most: int) -> None:  # fmt: skip
    exporters = {
        f"exporter{n}": f"image: postgres-exporter, environment: {{U: '{UPSTREAM}'}}" for n in range(direct)
    }  # fmt: skip
    found = size(users(count, f"DEFAULT_POOL_SIZE: {wanted}, RESERVE_POOL_SIZE: {reserve}", **exporters), str(most))
    assert 1 <= found <= wanted
    assert count * (found + reserve) + direct * DIRECT + RESERVED <= most
    if found < wanted:
        assert count * (found + 1 + reserve) + direct * DIRECT + RESERVED > most


def test_five_hundred_clients_have_room_besides_those_of_today() -> None:
    stack = pooled(APP)
    assert settings_of(change(STEP, stack, connected(stack, most="150")))["MAX_CLIENT_CONN"] == "650"
    assert settings_of(change(STEP, stack, NO_FACTS, max_client_conn=900))["MAX_CLIENT_CONN"] == "1000"


def test_a_larger_number_of_clients_that_was_set_by_hand_stays() -> None:
    assert settings_of(change(STEP, pooled(APP, "MAX_CLIENT_CONN: 5000"), NO_FACTS))["MAX_CLIENT_CONN"] == "5000"


def test_an_answer_that_is_no_number_counts_as_no_answer() -> None:
    stack = pooled(APP, "DEFAULT_POOL_SIZE: 20")
    answers = {**connected(stack).answers, f"{STEP}/max_connections": Answer(1, "900", 0.1)}
    assert "max_connections 100 (assumed)" in change(STEP, stack, live(stack, answers=answers)).kept[-1].reason


@pytest.mark.parametrize(
    "pooler, expected",
    [
        ("", "extra_float_digits"),
        ("IGNORE_STARTUP_PARAMETERS: search_path", "search_path,extra_float_digits"),
        ("IGNORE_STARTUP_PARAMETERS: 'extra_float_digits, options'", "extra_float_digits, options"),
    ],
)
def test_what_drivers_send_at_start_is_ignored_besides_what_was(pooler: str, expected: str) -> None:
    assert settings_of(change(STEP, pooled(APP, pooler), NO_FACTS))["IGNORE_STARTUP_PARAMETERS"] == expected


@pytest.mark.parametrize(
    "pooler, expected",
    [
        ("POOL_MODE: transaction", "200"),
        ("POOL_MODE: session", None),
        ("", None),
        ("POOL_MODE: transaction, MAX_PREPARED_STATEMENTS: 50", "50"),
        ("POOL_MODE: transaction, MAX_PREPARED_STATEMENTS: 0", "200"),
    ],
)
def test_transaction_mode_and_no_other_gets_prepared_statements(pooler: str, expected: str | None) -> None:
    assert settings_of(change(STEP, pooled(APP, pooler), NO_FACTS)).get("MAX_PREPARED_STATEMENTS") == expected


def test_another_image_s_names_of_the_settings_are_used() -> None:
    stack = services(
        db="image: postgres",
        pgbouncer="image: bitnami/pgbouncer, environment: {POSTGRESQL_HOST: db}",
        app=f"image: app, environment: {{{APP}}}",
    )
    made = change(STEP, stack, NO_FACTS)
    assert settings_of(made)["PGBOUNCER_MAX_CLIENT_CONN"] == "600"
    assert settings_of(made, "app")["U"] == UPSTREAM.replace("db:5432", "pgbouncer:6432")


def test_a_service_whose_profile_is_off_neither_moves_nor_counts() -> None:
    stack = users(1, "DEFAULT_POOL_SIZE: 90", tool=f"image: t, profiles: [dev], environment: {{{APP}}}")
    made = change(STEP, stack, connected(stack))
    assert settings_of(made, "tool")["U"] == UPSTREAM
    assert settings_of(made)["DEFAULT_POOL_SIZE"] == "90"


def test_nobody_who_moves_means_no_setting_that_changes() -> None:
    stack = pooled("U: 'redis://cache'", "POOL_MODE: transaction")
    assert change(STEP, stack, NO_FACTS).altered == ()


def test_all_of_it_planned_again_changes_nothing() -> None:
    stack = users(3, "POOL_MODE: transaction, DEFAULT_POOL_SIZE: 90")
    made = change(STEP, stack, connected(stack))
    assert len(made.altered) == 3 * 2 + 4
    again = change(STEP, made.stack, connected(made.stack))
    assert (again.edits, again.altered, again.refused) == ((), (), ())


def test_the_pooler_and_who_moved_are_watched() -> None:
    made = change(STEP, pooled(APP), NO_FACTS)
    assert {(probe.kind, probe.service) for probe in made.probes} == {
        ("container", "app"), ("container", "pgbouncer"), ("container", "db"),
        ("command", "pgbouncer"), ("command", "db"), ("pgbouncer", "pgbouncer"),
    }  # fmt: skip


def test_what_cannot_be_seen_in_settings_is_said() -> None:
    (note,) = change(STEP, pooled(APP, "POOL_MODE: transaction"), NO_FACTS).notes
    assert "pools by transaction" in note and "LISTEN" in note and "pool_exclude" in note


def test_no_comment_or_order_of_the_file_is_lost() -> None:
    text = f"# head\nservices:\n  db: {{image: postgres}} # the store\n  pgbouncer:\n    image: pgbouncer\n    environment:\n      - DB_HOST=db # stays\n  app:\n    environment: # of app\n      - U={UPSTREAM} # moves\n    image: app\n"
    after = change(STEP, stack_of(text), NO_FACTS).stack.files["/srv/app/compose.yml"].decode()
    lines = [line.replace("@pgbouncer:5432", "@db:5432") for line in after.splitlines()]
    assert [line for line in lines if line in text.splitlines()] == text.splitlines()
