"""Sizes the pooler's pools by how much of them is used, towards 60 to 80 %, within what the database can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.model import Probe
from runbooks.compose import splice
from runbooks.compose.model import Stack
from runbooks.compose.operations import SetVariable
from runbooks.model import Altered, Change, Facts, Kept, Question, Refusal
from runbooks.steps import pool_room, pooling, urls
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.pool_room import DIRECT, RESERVED, USUAL_POOL, max_connections, number
from runbooks.steps.pooling import Pooler

NAME = "pool_tuning"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "pool_peak": (int, 0, "server connections that the fullest pool needs at its peak, as measured; 0: look now"),
    "pool_exclude": (list, [], "services that keep their direct connection (LISTEN, session advisory locks ...)"),
}
LOW, AIM, HIGH = 60, 70, 80
"""Percent of a pool that are to be used (the proposal: 60-80), and what a new size aims at."""
LEAST = 5
"""Server connections that a pool keeps however little it is used."""
LOOKS = 5
"""How often the console is asked, a second apart."""
SHOW_POOLS = (
    f'for look in $(seq {LOOKS}); do psql -X -q -w -A -F "|" -P footer=off -h "$1" -p "$2" -U "$3" -d pgbouncer '
    f'-c "show pools" || exit; [ "$look" = {LOOKS} ] || sleep 1; done'
)


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "pool_peak" and value < 0:
        return f"{value} connections cannot be", "write how many the fullest pool needs, or 0"
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """The pooler's own console, as the pooler's own login, and how many connections the database takes."""
    pooler, _ = pooling.find(stack)
    if pooler is None:
        return ()
    found = [pool_room.question(pooler)]
    login = own_login(pooler)
    if login.user and not settings["pool_peak"]:
        words = ("sh", "-c", SHOW_POOLS, "sh", pooler.service.name, str(pooler.port), login.user)
        environment = {"PGPASSWORD": login.password, "PGCONNECT_TIMEOUT": "5"}
        found.append(Question(f"{NAME}/pools", pooler.database.name, words, environment, 20.0 + LOOKS))
    return tuple(found)


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """A look of some seconds only ever raises a size; to lower one, the inventory must say what the peak needs."""
    pooler, reason = pooling.find(stack)
    if pooler is None:
        return kept_only(stack, Kept("", "pool", reason))
    name, peak = pooler.service.name, settings["pool_peak"]
    answer = facts.answers.get(f"{NAME}/pools")
    if not peak and not facts.live:
        return kept_only(stack, Kept(name, "pool", "how much of it is used is not known without a host: set pool_peak"))
    if not peak and (answer is None or answer.exit != 0):
        said = (answer.output.strip().splitlines() or ["no answer"])[-1] if answer else "its login is not known"
        return kept_only(stack, Kept(name, "pool", f"its console does not say how much is used: {said[:200]}", True))
    used = demand(answer.output) if answer and answer.exit == 0 else {}
    needed = peak or max(used.values(), default=0)
    size = number(pooler.setting("default_pool_size"), USUAL_POOL)
    share = f"{needed} of {size} server connections ({100 * needed / size:.0f} %)" if size else "no connections"
    if size and (100 * needed <= HIGH * size if not peak else LOW * size <= 100 * needed <= HIGH * size):
        low = not peak and 100 * needed < LOW * size
        more = ": a few seconds say little of the peak, set pool_peak to lower it" if low else ", as it should be"
        return kept_only(stack, Kept(name, "pool", f"{share} used{more}"))
    wanted = max(LEAST, -(-100 * needed // AIM))
    fits, sums = room(stack, pooler, facts, settings, len(used))
    if wanted == size:
        return kept_only(stack, Kept(name, "pool", f"{share} used, and it is the least already"))
    if wanted > size >= fits:
        place = pooler.service.place
        why = f"{share} used; {wanted} are needed, and {sums} leave {fits}"
        refusal = Refusal(name, place.path, place.line, "pool", why, "raise max_connections, or lower the load")
        return Change(step=NAME, risk="medium", stack=stack, refused=(refusal,))
    kept = (Kept(name, "pool", f"{wanted} are needed, and {sums} leave {fits}", True),) if wanted > fits else ()
    return written(stack, pooler, str(min(wanted, fits)), f"{share} used: towards {AIM} %", facts, kept)


def written(stack: Stack, pooler: Pooler, size: str, reason: str, facts: Facts, kept: tuple[Kept, ...]) -> Change:
    """The change of one setting."""
    variable, name = pooler.names["default_pool_size"], pooler.service.name
    operation = SetVariable(name, variable, size, reason)
    applied = splice.apply(stack, [operation])
    told, failed = refusals(applied, "pool")
    if failed:
        return Change(step=NAME, risk="medium", stack=stack, kept=kept, refused=told)
    old, new = pooler.service.environment.get(variable), applied.stack.services[name].environment[variable]
    altered = Altered(name, new.place.path, new.place.line, "pool", f"{variable}={old.value if old else 'none'}",
                      f"{variable}={size}", "proven" if facts.live else "unproven", reason)  # fmt: skip
    probes = (*health_probes(applied.stack, (name,)), Probe("pgbouncer", f"pgbouncer:{name}", name))
    return Change(step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=(operation,),
                  altered=(altered,), kept=kept, probes=probes)  # fmt: skip


def kept_only(stack: Stack, kept: Kept) -> Change:
    return Change(step=NAME, risk="medium", stack=stack, kept=(kept,))


def own_login(pooler: Pooler) -> urls.Login:
    """The login that the pooler itself has at its database, which its image makes the console's administrator, too."""
    variable = pooler.service.environment.get("DATABASE_URL")
    aimed = urls.target(variable.value) if variable and variable.value else None
    return aimed.login if aimed and aimed.login.user else pooling.login_beside(pooler.service, "DB")


def demand(output: str) -> dict[tuple[str, str], int]:
    """(database, user) -> the most server connections that were at work or waited for in one of the looks.

    The console's columns differ between versions, so the headings are read.
    """
    found: dict[tuple[str, str], int] = {}
    heading: list[str] = []
    for line in output.splitlines():
        words = line.strip().split("|")
        if words[0] == "database":
            heading = words
            continue
        row = dict(zip(heading, words, strict=False))
        if row.get("database") in (None, "pgbouncer"):
            continue
        pair = row["database"], row.get("user", "")
        found[pair] = max(found.get(pair, 0), number(row.get("sv_active"), 0) + number(row.get("cl_waiting"), 0))
    return found


def room(stack: Stack, pooler: Pooler, facts: Facts, settings: Mapping[str, Any], pools: int) -> tuple[int, str]:
    """How large each pool may be, so that all of them fit under max_connections, and the sum in words."""
    most, assumed = max_connections(facts)
    logins = {(login.database or login.user, login.user) for login in pooling.pooled(stack, pooler)}
    count = max(1, pools, len(logins))
    excluded = frozenset(settings["pool_exclude"])
    direct = DIRECT * sum(
        bool(pooling.why_direct(stack, service, facts, excluded)) and any(pooling.pointers(service, pooler))
        for service in stack.services.values()
        if service.active and service.name not in (pooler.service.name, pooler.database.name)
    )
    reserve = number(pooler.setting("reserve_pool_size"), 0)
    fits = max(1, (most - RESERVED - direct) // count - reserve)
    word = "assumed" if assumed else "asked"
    return fits, f"max_connections {most} ({word}), {RESERVED} reserved, {direct} direct and {count} pool(s)"
