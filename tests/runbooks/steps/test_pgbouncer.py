"""Connections move to the pooler where their own login was seen to work there; everything else stays where it is."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.errors import InputError
from runbooks.compose import graph
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Change, Facts
from tests.runbooks.steps.material import answered, asks, change, container, live, reasons, services, stack_of, text_of

STEP = "pgbouncer"
DB = "image: 'postgres:17', healthcheck: {test: [CMD, x]}"
UPSTREAM = "postgresql://app:secret@db:5432/shop"


def pooled(app: str = "", pooler: str = "", **more: str) -> Stack:
    """A database, its pooler and `app`, each with the environment that is given; `more` are whole services."""
    return services(
        db=DB,
        pgbouncer=f"image: 'edoburu/pgbouncer:v1', environment: {{DATABASE_URL: '{UPSTREAM}'{', ' + pooler if pooler else ''}}}, healthcheck: {{test: [CMD, x]}}",
        **({"app": f"image: app, environment: {{{app}}}"} if app else {}),
        **more,
    )  # fmt: skip


def moved(made: Change) -> list[str]:
    return [altered.after for altered in made.altered if altered.what == "database_url"]


def settings_of(made: Change, service: str = "pgbouncer") -> dict[str, str | None]:
    return {name: variable.value for name, variable in made.stack.services[service].environment.items()}


def connected(stack: Stack, said: int | str | None = "1\n", most: str = "100", **given: Any) -> Facts:
    """A live host: what the database allows, and what each login gets when it asks through the pooler."""
    questions = asks(STEP, stack, live(stack), **given)
    return live(
        stack, answers=answered(questions, lambda asked: most if asked.key.endswith("max_connections") else said)
    )


URLS: list[tuple[str, str]] = [
    (f"{scheme}://app:secret@db:5432/shop", f"{scheme}://app:secret@pgbouncer:5432/shop")
    for scheme in (
        "postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "postgresql+pg8000", "jdbc:postgresql",
        "r2dbc:postgresql", "r2dbc:pool:postgresql", "ecto", "postgis", "pgsql", "POSTGRESQL",
    )
] + [
    ("postgresql://app:secret@db/shop", "postgresql://app:secret@pgbouncer/shop"),
    ("postgresql://app@db:5432", "postgresql://app@pgbouncer:5432"),
    ("postgresql://app:p%40ss%2Fword@db:5432/shop", "postgresql://app:p%40ss%2Fword@pgbouncer:5432/shop"),
    ("postgresql://app:p@db@db:5432/shop", "postgresql://app:p@db@pgbouncer:5432/shop"),
    ("postgresql://app:a/b@db:5432/shop", "postgresql://app:a/b@pgbouncer:5432/shop"),
    ("postgresql://app:a?b@db:5432/shop", "postgresql://app:a?b@pgbouncer:5432/shop"),
    ("postgresql://app:a#b@db:5432/shop", "postgresql://app:a#b@pgbouncer:5432/shop"),
    ("postgresql://db:db@db:5432/db", "postgresql://db:db@pgbouncer:5432/db"),
    ("postgresql://app:s@db:5432/shop?sslmode=disable&application_name=db", "postgresql://app:s@pgbouncer:5432/shop?sslmode=disable&application_name=db"),
    ("jdbc:postgresql://db:5432/shop?user=app&password=s", "jdbc:postgresql://pgbouncer:5432/shop?user=app&password=s"),
    ("postgresql:///shop?host=db&port=5432&user=app", "postgresql:///shop?host=pgbouncer&port=5432&user=app"),
    ("postgresql://app:s@/shop?user=x&host=db", "postgresql://app:s@/shop?user=x&host=pgbouncer"),
    ("host=db port=5432 user=app password=s dbname=shop", "host=pgbouncer port=5432 user=app password=s dbname=shop"),
    ("user=app host='db' dbname=shop", "user=app host='pgbouncer' dbname=shop"),
    ("Server=db;Port=5432;User Id=app;Password=s;Database=shop", "Server=pgbouncer;Port=5432;User Id=app;Password=s;Database=shop"),
]  # fmt: skip


@pytest.mark.parametrize("before, after", URLS)
def test_a_url_of_any_form_names_the_pooler_afterwards_and_else_what_it_named(before: str, after: str) -> None:
    made = change(STEP, pooled(f'DATABASE_URL: "{before}"'), NO_FACTS)
    assert moved(made) == [f"DATABASE_URL={after}"]
    assert text_of(made.stack).count(after) == 1


ELSEWHERE = [
    "postgresql://app:s@other:5432/shop", "postgresql://app:s@db.example.com:5432/shop", "postgresql://app:s@db:5433/shop",
    "postgresql://app:s@[::1]:5432/shop", "postgresql://app:s@[2001:db8::5]/shop?application_name=db",
    "postgresql:///shop?host=/var/run/postgresql", "postgresql:///shop?host=%2Frun%2Fpg", "mysql://app:s@db:5432/shop",
    "redis://db:5432/0", "http://db:5432/", "host=/var/run/postgresql user=app", "db", "I talk to db:5432",
    "postgresql://db:5432@other/shop",
]  # fmt: skip


@pytest.mark.parametrize("value", ELSEWHERE)
def test_what_points_elsewhere_is_not_touched(value: str) -> None:
    made = change(STEP, pooled(f'SOMETHING: "{value}"'), NO_FACTS)
    assert (made.edits, made.altered, made.refused) == ((), (), ())


def test_an_ipv6_address_that_is_the_database_s_alias_is_known() -> None:
    text = f"services:\n  db: {{{DB}, networks: {{back: {{aliases: ['fd00::5']}}}}}}\n  pgbouncer: {{image: pgbouncer, environment: {{DB_HOST: db}}}}\n  app: {{image: app, environment: {{U: 'postgresql://a:b@[fd00::5]:5432/shop'}}}}\nnetworks: {{back: }}\n"
    assert moved(change(STEP, stack_of(text), NO_FACTS)) == ["U=postgresql://a:b@pgbouncer:5432/shop"]


SETS: list[tuple[str, str, list[str]]] = [
    ("PGHOST: db, PGUSER: app, PGPASSWORD: s, PGDATABASE: shop", "", ["PGHOST=pgbouncer"]),
    ("PGHOST: db, PGPORT: 5432, PGUSER: app", "LISTEN_PORT: 6432", ["PGHOST=pgbouncer", "PGPORT=6432"]),
    ("DB_HOST: db, DB_PORT: '5432', DB_USER: app", "LISTEN_PORT: 6432", ["DB_HOST=pgbouncer", "DB_PORT=6432"]),
    ("POSTGRES_HOST: 'db:5432', POSTGRES_USER: app", "LISTEN_PORT: 6432", ["POSTGRES_HOST=pgbouncer:6432"]),
    ("APP_DB_HOSTNAME: db, APP_DB_USERNAME: app", "", ["APP_DB_HOSTNAME=pgbouncer"]),
]


@pytest.mark.parametrize("app, pooler, expected", SETS)
def test_host_and_port_in_variables_of_their_own_move_together(app: str, pooler: str, expected: list[str]) -> None:
    made = change(STEP, pooled(app, pooler), NO_FACTS)
    assert (moved(made), made.refused) == (expected, ())


REFUSED: list[tuple[str, str, str]] = [
    ("DB_HOST: db, DB_USER: app", "LISTEN_PORT: 6432", "it needs a variable for the port, 6432"),
    ("U: 'host=db user=app'", "LISTEN_PORT: 6432", "its port would have to become 6432"),
    ("U: 'postgresql:///shop?host=db&user=app'", "LISTEN_PORT: 6432", "its port would have to become 6432"),
    ("U: 'postgresql://app:s@db:5432,standby:5432/shop'", "", "it names several hosts"),
]


@pytest.mark.parametrize("app, pooler, reason", REFUSED)
def test_what_cannot_be_said_in_place_is_refused_with_a_reason(app: str, pooler: str, reason: str) -> None:
    made = change(STEP, pooled(app, pooler), NO_FACTS)
    (refusal,) = made.refused
    assert reason in refusal.reason and "pool_exclude" in refusal.mend
    assert (refusal.service, refusal.line, made.edits) == ("app", 4, ())


def test_a_value_in_env_changes_where_it_lives_unless_the_pooler_shares_it() -> None:
    text = "services:\n  db: {image: postgres}\n  pgbouncer: {image: pgbouncer, environment: {DB_HOST: db}}\n  app: {image: app, environment: {DATABASE_URL: '${URL}'}}\n"
    made = change(STEP, stack_of(text, env="URL=postgresql://a:b@db:5432/shop\n"), NO_FACTS)
    assert made.stack.files["/srv/app/.env"] == b"URL=postgresql://a:b@pgbouncer:5432/shop\n"
    shared = text.replace("DB_HOST: db", "DATABASE_URL: '${URL}'")
    made = change(STEP, stack_of(shared, env="URL=postgresql://a:b@db:5432/shop\n"), NO_FACTS)
    assert made.stack.files["/srv/app/.env"] == b"URL=postgresql://a:b@db:5432/shop\n"
    assert settings_of(made)["DATABASE_URL"] == "postgresql://a:b@db:5432/shop"
    assert settings_of(made, "app")["DATABASE_URL"] == "postgresql://a:b@pgbouncer:5432/shop"


def test_references_to_passwords_stay_references() -> None:
    text = "services:\n  db: {image: postgres}\n  pgbouncer: {image: pgbouncer, environment: {DB_HOST: db}}\n  app:\n    image: app\n    environment:\n      U: postgresql://${USR:-app}:${PW}@db:5432/shop\n"
    made = change(STEP, stack_of(text, env="PW=geheim1\n"), NO_FACTS)
    assert "postgresql://${USR:-app}:${PW}@pgbouncer:5432/shop" in text_of(made.stack)
    assert "geheim1" not in text_of(made.stack)


DIRECT: list[tuple[str, str, str]] = [
    ("exporter", "image: prometheuscommunity/postgres-exporter", "needs its own connection"),
    ("nightly", "image: postgres-backup-s3", "needs its own connection"),
    ("admin", "image: dpage/pgadmin4", "needs its own connection"),
    ("flyway", "image: 'flyway/flyway:10'", "needs its own connection"),
    ("cdc", "image: debezium/connect", "needs its own connection"),
    ("db-migrate", "image: app", "needs its own connection"),
    ("db-init", "image: app", "job that may migrate"),
    ("listener", "image: app", "is in pool_exclude"),
]


@pytest.mark.parametrize("name, image, reason", DIRECT, ids=[name for name, _, _ in DIRECT])
def test_what_needs_its_own_connection_keeps_it(name: str, image: str, reason: str) -> None:
    stack = pooled(**{name: f"{image}, environment: {{DATABASE_URL: '{UPSTREAM}'}}"})
    facts = live(stack)
    excluded = [name] if name == "listener" else []
    assert [question.key for question in asks(STEP, stack, facts, pool_exclude=excluded)] == [f"{STEP}/max_connections"]  # fmt: skip
    made = change(STEP, stack, facts, pool_exclude=excluded)
    assert made.edits == ()
    assert reason in reasons(made)[name, "database_url"]


def test_a_service_that_is_excluded_by_a_name_that_nobody_has_is_refused() -> None:
    stack = pooled(listener=f"image: app, environment: {{DATABASE_URL: '{UPSTREAM}'}}")
    with pytest.raises(InputError, match=r"pool_exclude: there is no service listner \(did you mean listener\?\)"):
        change(STEP, stack, NO_FACTS, pool_exclude=["listner"])


def test_a_job_that_others_wait_for_keeps_its_own_connection_whatever_its_name() -> None:
    stack = pooled(
        f"U: '{UPSTREAM}'",
        schema=f"image: app, environment: {{U: '{UPSTREAM}'}}",
        web="image: web, depends_on: {schema: {condition: service_completed_successfully}}",
    )
    made = change(STEP, stack, NO_FACTS)
    assert {altered.service for altered in made.altered if altered.what == "database_url"} == {"app"}
    assert "job" in reasons(made)["schema", "database_url"]


def test_a_job_that_ended_on_the_host_keeps_its_own_connection() -> None:
    stack = pooled(schema=f"image: app, environment: {{U: '{UPSTREAM}'}}")
    assert change(STEP, stack, live(stack, container("schema", "exited"))).edits == ()


def test_the_pooler_s_own_upstream_stays_the_database() -> None:
    made = change(STEP, pooled(f"U: '{UPSTREAM}'"), NO_FACTS)
    assert settings_of(made)["DATABASE_URL"] == UPSTREAM


@pytest.mark.parametrize(
    "environment",
    ["DB_HOST: db, DB_PORT: 5433", "POSTGRESQL_HOST: db, POSTGRESQL_PORT: '5433'", "DATABASE_URL: 'postgres://a@db:5433/x'"],
)  # fmt: skip
def test_the_upstream_s_port_is_read_from_beside_its_host(environment: str) -> None:
    stack = services(
        db=DB,
        pgbouncer=f"image: pgbouncer, environment: {{{environment}}}",
        app="image: app, environment: {U: 'postgresql://a:b@db:5433/shop', V: 'postgresql://a:b@db:5432/shop'}",
    )
    assert moved(change(STEP, stack, NO_FACTS)) == ["U=postgresql://a:b@pgbouncer:5432/shop"]


def test_a_service_moves_with_all_its_variables_or_with_none() -> None:
    app = "ONE: 'postgresql://app:s@db:5432/shop', TWO: 'postgresql://app:s@db:5432,standby/shop'"
    made = change(STEP, pooled(app), NO_FACTS)
    assert made.edits == () and len(made.refused) == 1


def test_the_edge_to_the_pooler_is_added_and_never_closes_a_cycle() -> None:
    made = change(STEP, pooled(f"U: '{UPSTREAM}'"), NO_FACTS)
    assert made.stack.services["app"].edges["pgbouncer"].condition == "service_healthy"
    assert change(STEP, made.stack, NO_FACTS).edits == ()
    stack = services(
        db=DB,
        pgbouncer="image: pgbouncer, environment: {DB_HOST: db}, depends_on: [auth]",
        auth="image: auth, depends_on: [users]",
        users=f"image: users, environment: {{U: '{UPSTREAM}'}}",
    )
    made = change(STEP, stack, NO_FACTS)
    assert made.edits == () and graph.cycle(graph.needs(made.stack)) is None
    assert "starts after users" in made.refused[0].reason


def test_the_edge_to_a_pooler_without_a_check_waits_for_its_start_only() -> None:
    stack = services(db=DB, pgbouncer="image: pgbouncer, environment: {DB_HOST: db}", app=f"image: app, environment: {{U: '{UPSTREAM}'}}")  # fmt: skip
    made = change(STEP, stack, NO_FACTS)
    assert made.stack.services["app"].edges["pgbouncer"].condition == "service_started"


NONE: list[tuple[Stack, str]] = [
    (services(db=DB, app=f"image: app, environment: {{U: '{UPSTREAM}'}}"), "the stack has no pooler"),
    (services(db=DB, a="image: pgbouncer", b="image: pgbouncer"), "the stack has 2 poolers: a, b"),
    (services(db=DB, p="image: pgbouncer, environment: {DB_HOST: pg.example}"), "is not a service of this stack"),
    (services(db=DB, p="image: pgbouncer-exporter"), "the stack has no pooler"),
    (
        services(db=DB, p="image: pgbouncer, environment: {DATABASE_URL: 'postgres://a:b@p:5432/c'}"),
        "p names itself as its database",
    ),
]


@pytest.mark.parametrize("stack, reason", NONE)
def test_without_one_pooler_nothing_is_asked_or_changed(stack: Stack, reason: str) -> None:
    made = change(STEP, stack, NO_FACTS)
    assert (asks(STEP, stack, live(stack)), made.edits) == ((), ())
    assert reason in made.kept[0].reason
