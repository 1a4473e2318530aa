"""Moves the database connections of applications to the pooler that stands ready, after each login was seen to work there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from checks.model import Probe
from runbooks.compose import graph, splice
from runbooks.compose.model import Condition, Stack
from runbooks.compose.operations import AddDependency, Applied, Operation, ReplaceText, SetVariable
from runbooks.model import Altered, Change, Facts, Kept, Proof, Question, Refusal
from runbooks.steps import images, pool_room, pooling
from runbooks.steps.common import health_probes, must_be_there, refusals
from runbooks.steps.pooling import Pointer, Pooler
from runbooks.steps.urls import Login

NAME = "pgbouncer"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "pool_exclude": (list, [], "services that keep their direct connection (LISTEN, session advisory locks ...)"),
    "max_client_conn": (int, 500, "clients that the pooler accepts; a larger value set by hand stays"),
    "default_pool_size": (int, 20, "server connections per (database, user), where the pooler names none"),
}


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    return (f"{value!r} is no count", "write 1 or more") if name != "pool_exclude" and value < 1 else None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Whether each consumer's own login runs a query through the live pooler, and how many connections there are."""
    pooler, _ = pooling.find(stack)
    if pooler is None:
        return ()
    found = [pool_room.question(pooler)]
    for service, pointers in consumers(stack, pooler, facts, settings).items():
        for pointer in pointers:
            if pointer.login and pointer.login.user:
                found.append(
                    Question(
                        key(service, pointer),
                        pooler.database.name,
                        query(pooler, pointer),
                        environment(pointer.login),
                        10.0,
                    )
                )
    return tuple(found)


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Points consumers at the pooler, adds the edge to it, and gives it room. Never its own upstream, nor what is kept."""
    pooler, reason = pooling.find(stack)
    if pooler is None:
        return Change(step=NAME, risk="medium", stack=stack, kept=(Kept("", "pool", reason),))
    must_be_there(stack, "pool_exclude", settings["pool_exclude"])
    kept = [
        Kept(service.name, "database_url", why)
        for service in stack.services.values()
        if service.active
        and service.name not in (pooler.service.name, pooler.database.name)
        and any(pooling.pointers(service, pooler))
        for why in (pooling.why_direct(stack, service, facts, frozenset(settings["pool_exclude"])),)
        if why
    ]
    moves: list[Pointer] = []
    refused: list[Refusal] = []
    for service, pointers in consumers(stack, pooler, facts, settings).items():
        problem = next(
            (text for pointer in pointers for text in (why_not(stack, service, pointer, pooler, facts),) if text), ""
        )
        if problem:
            variable = stack.services[service].environment[pointers[0].variable]
            refused.append(
                Refusal(
                    service,
                    variable.place.path,
                    variable.place.line,
                    "database_url",
                    problem,
                    f"mend that, or add {service} to pool_exclude",
                )
            )
        else:
            moves += pointers
    operations = [*edges(stack, pooler, moves, facts), *pool_room.room(stack, pooler, moves, facts, settings, kept)]
    applied, done, failures = carried_out(stack, moves, operations)
    refused += failures
    notes = () if not moves else (
        f"{pooler.service.name} pools by {(pooler.setting('pool_mode') or 'session')}: a service that uses LISTEN, session "
        "advisory locks or lasting SETs belongs in pool_exclude (that cannot be seen in its settings)",
    )  # fmt: skip
    touched = (
        sorted({operation.service for operation in done} | {pooler.service.name, pooler.database.name}) if done else ()
    )
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, kept=tuple(kept), refused=tuple(refused),
        operations=tuple(done), notes=notes if done else (), altered=tuple(told(stack, applied.stack, operation, facts) for operation in done),
        probes=(
            *health_probes(applied.stack, touched),
            *((Probe("pgbouncer", f"pgbouncer:{pooler.service.name}", pooler.service.name),) if done else ()),
        ),
    )  # fmt: skip


def consumers(stack: Stack, pooler: Pooler, facts: Facts, settings: Mapping[str, Any]) -> dict[str, list[Pointer]]:
    """The services that may go through the pooler, with every place where they name its database."""
    excluded = frozenset(settings["pool_exclude"])
    found: dict[str, list[Pointer]] = {}
    for service in stack.services.values():
        itself = service.name in (pooler.service.name, pooler.database.name) or "pgbouncer" in images.repository(
            service.image
        )
        if service.active and not itself and not pooling.why_direct(stack, service, facts, excluded):
            pointers = list(pooling.pointers(service, pooler))
            if pointers:
                found[service.name] = pointers
    return found


def why_not(stack: Stack, service: str, pointer: Pointer, pooler: Pooler, facts: Facts) -> str:
    """Why a consumer stays where it is; empty when nothing is in the way."""
    if graph.adds_cycle(stack, service, pooler.service.name):
        return f"{pooler.service.name} itself starts after {service}, so each would wait for the other"
    if pointer.problem:
        return pointer.problem
    if not facts.live:
        return ""
    if pointer.login is None or not pointer.login.user:
        return f"the login of {pointer.variable} is not in the environment, so it cannot be tried through {pooler.service.name}"
    answer = facts.answers.get(key(service, pointer))
    if answer is not None and answer.exit == 0 and answer.output.strip() == "1":
        return ""
    lines = answer.output.strip().splitlines() if answer else []
    said = lines[-1] if lines else "no answer"
    return f"its login as {pointer.login.user} runs no query through {pooler.service.name}: {said[:200]}"


def edges(stack: Stack, pooler: Pooler, moves: list[Pointer], facts: Facts) -> list[Operation]:
    """An edge to the pooler for each service that moves."""
    condition: Condition = "service_healthy" if images.has_check(pooler.service, facts) else "service_started"
    return [
        AddDependency(service, pooler.service.name, condition, "its connections go through the pooler")
        for service in dict.fromkeys(move.service for move in moves)
        if pooler.service.name not in stack.services[service].edges
    ]


def carried_out(
    stack: Stack,
    moves: list[Pointer],
    others: list[Operation],
    what: str = "database_url",
    reason: str = "the pooler, not the database",
    besides: frozenset[str] = frozenset(),
) -> tuple[Applied, list[Operation], list[Refusal]]:
    """Applies the moves where the characters live, else at the service's own reference to them; all or none of a service.

    `besides`: services that do not move, and whose edges are added all the same.
    """
    at: dict[Pointer, Literal["origin", "reference"]] = dict.fromkeys(moves, "origin")
    while True:
        texts = {
            move: ReplaceText(move.service, move.variable, move.start, move.end, move.text, at[move], reason)
            for move in at
        }
        movers = {move.service for move in at}
        rest = [
            operation
            for operation in others
            if movers and (not isinstance(operation, AddDependency) or operation.service in movers | besides)
        ]
        operations: list[Operation] = [*texts.values(), *rest]
        applied = splice.apply(stack, operations)
        told, failed = refusals(applied, what)
        again = [move for move, operation in texts.items() if operation in failed and at[move] == "origin"]
        if again:
            at.update(dict.fromkeys(again, "reference"))
            continue
        bad = {operation.service for operation in failed if isinstance(operation, (ReplaceText, AddDependency))}
        if bad & movers:
            others_left, more, refused = carried_out(
                stack, [move for move in at if move.service not in bad], others, what, reason, besides
            )
            return others_left, more, [*told, *refused]
        return applied, [operation for operation in operations if operation not in failed], list(told)


def told(before: Stack, after: Stack, operation: Operation, facts: Facts) -> Altered:
    """An operation as people and JSON see it."""
    service = after.services[operation.service]
    if isinstance(operation, AddDependency):
        edge = service.edges[operation.dependency]
        return Altered(
            service.name,
            edge.place.path,
            edge.place.line,
            "condition",
            "none",
            f"{operation.dependency}: {operation.condition}",
            "not needed",
            operation.reason,
        )
    assert isinstance(operation, (ReplaceText, SetVariable))  # noqa: S101 - the kinds that this step makes
    name = operation.variable if isinstance(operation, ReplaceText) else operation.name
    old, new = before.services[service.name].environment.get(name), service.environment[name]
    what = "database_url" if isinstance(operation, ReplaceText) else "pool"
    proof: Proof = "not needed" if what == "pool" else "proven" if facts.live else "unproven"
    was = old.value if old and old.value is not None else "none"
    return Altered(
        service.name,
        new.place.path,
        new.place.line,
        what,
        f"{name}={was}",
        f"{name}={new.value}",
        proof,
        operation.reason,
    )


def environment(login: Login) -> dict[str, str]:
    """What a consumer's login brings to the query besides its name; a login that insists on TLS is tried with it."""
    return {"PGPASSWORD": login.password, "PGCONNECT_TIMEOUT": "5", **({"PGSSLMODE": "require"} if login.tls else {})}


def query(pooler: Pooler, pointer: Pointer) -> tuple[str, ...]:
    """A query through the live pooler with a consumer's login; the password is in the environment."""
    login = pointer.login
    assert login is not None  # noqa: S101 - asked by the caller
    words = ("-h", pooler.service.name, "-p", str(pooler.port), "-U", login.user, "-d", login.database or login.user)
    return ("psql", "-X", "-q", "-t", "-A", "-w", *words, "-c", "select 1")


def key(service: str, pointer: Pointer) -> str:
    return f"{NAME}/{service}/{pointer.variable}"
