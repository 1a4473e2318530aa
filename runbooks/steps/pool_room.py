"""How much room a pooler has: clients that it accepts, and server connections that fit under what its database allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks.compose.model import Stack
from runbooks.compose.operations import Operation, SetVariable
from runbooks.model import Facts, Kept, Question
from runbooks.steps import pooling
from runbooks.steps.pooling import Pointer, Pooler

ASKED = "pgbouncer/max_connections"
ASSUMED_MAX = 100
"""PostgreSQL's own default of max_connections, where the database cannot be asked."""
RESERVED = 3
"""superuser_reserved_connections, PostgreSQL's default."""
DIRECT = 10
"""Connections left for each service that keeps its direct way."""
USUAL_POOL, USUAL_CLIENTS = 20, 100
"""PgBouncer's defaults of default_pool_size and max_client_conn."""
SHOW_MAX = 'exec psql -X -q -t -A -U "${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}" -d "${POSTGRES_DB:-${POSTGRESQL_DATABASE:-postgres}}" -c "show max_connections"'


def question(pooler: Pooler) -> Question:
    """How many connections the pooler's database allows."""
    return Question(ASKED, pooler.database.name, ("sh", "-c", SHOW_MAX))


def room(
    stack: Stack, pooler: Pooler, moves: list[Pointer], facts: Facts, settings: Mapping[str, Any], kept: list[Kept]
) -> list[Operation]:
    """The pooler's settings: room for clients, server connections that fit, and what drivers send at start."""
    if not moves:
        return []
    wanted: dict[str, str] = {}
    most, assumed = max_connections(facts)
    clients = number(pooler.setting("max_client_conn"), USUAL_CLIENTS)
    # Who is connected to the database today will be a client too, so the promised number comes on top of them.
    room_for = settings["max_client_conn"] + most
    if clients < room_for:
        wanted["max_client_conn"] = str(room_for)
    logins = [*(move.login for move in moves if move.login), *pooling.pooled(stack, pooler)]
    pairs = {(login.database or login.user, login.user) for login in logins} or {("", "")}
    direct = sum(DIRECT for entry in kept if entry.what == "database_url")
    # PgBouncer's reserve is a pool's own, not one of all pools together.
    fits = max(1, (most - RESERVED - direct) // len(pairs) - number(pooler.setting("reserve_pool_size"), 0))
    size = number(pooler.setting("default_pool_size"), USUAL_POOL)
    if pooler.setting("default_pool_size") is None and settings["default_pool_size"] != USUAL_POOL:
        size = settings["default_pool_size"]
        wanted["default_pool_size"] = str(min(size, fits))
    if size > fits:
        wanted["default_pool_size"] = str(fits)
    elif "default_pool_size" not in wanted:
        origin = "assumed" if assumed else "asked"
        kept.append(
            Kept(
                pooler.service.name,
                "pool",
                f"{len(pairs)} x {size} server connections fit under max_connections {most} ({origin})",
            )
        )
    ignored = [word.strip() for word in (pooler.setting("ignore_startup_parameters") or "").split(",") if word.strip()]
    if "extra_float_digits" not in ignored:
        wanted["ignore_startup_parameters"] = ",".join([*ignored, "extra_float_digits"])
    if (pooler.setting("pool_mode") or "session") == "transaction" and number(
        pooler.setting("max_prepared_statements"), 0
    ) == 0:
        wanted["max_prepared_statements"] = "200"
    reasons = {
        "max_client_conn": f"{settings['max_client_conn']} clients besides the {most} that the database itself can have",
        "default_pool_size": f"{len(pairs)} pool(s), {direct} direct and {RESERVED} reserved connections fit under max_connections {most}",
        "ignore_startup_parameters": "JDBC and others send extra_float_digits at start",
        "max_prepared_statements": "drivers prepare statements, which transaction mode allows only so",
    }
    return [
        SetVariable(pooler.service.name, pooler.names[name], value, reasons[name]) for name, value in wanted.items()
    ]


def max_connections(facts: Facts) -> tuple[int, bool]:
    """The database's max_connections, and whether it is only assumed."""
    answer = facts.answers.get(ASKED)
    if answer and answer.exit == 0 and answer.output.strip().isdigit():
        return int(answer.output.strip()), False
    return ASSUMED_MAX, True


def number(text: str | None, usual: int) -> int:
    return int(text) if text and text.strip().isdigit() else usual
