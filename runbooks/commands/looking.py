"""`status`, `history` and `health`: what stands where, what happened, and how it is now. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks import health as healths
from checks.evidence import Store
from checks.model import Probe
from checks.probes import round_
from inventory import fleet
from inventory.values import frozen
from runbooks import cut_off, screen_history, session, undo
from runbooks.commands.codes import exit_code
from runbooks.compose.model import Stack
from runbooks.drift import Drifted, look
from runbooks.model import Facts
from runbooks.output import Output
from runbooks.session import Session
from runbooks.steps import images
from runbooks.steps.common import health_probes
from runbooks.survey import survey

if TYPE_CHECKING:
    from rich.table import Table

UNWELL = 3


@frozen
class HostStatus:
    """How a host stands: transactions that are applied, files that were changed since, who holds the lock, the last command."""

    host: str
    applied: tuple[dict[str, str], ...]
    drift: tuple[str, ...]
    lock: str
    last_command: str
    changes: tuple[Drifted, ...] = ()
    cut_off: tuple[str, ...] = ()
    """Snapshots whose files are back, and whose services a rollback has yet to bring back."""


def status(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """What is applied where, and what was changed by hand since."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        results = fleet.each(opened.links, lambda name: host_status(opened, name))
        opened.drop({name: result.error for name, result in results.items() if result.error})
        found = [result.value for result in results.values() if result.value]
        for each in found:
            out.show(*status_lines(each))
        tell_errors(out, opened)
        out.document({"environment": environment, "hosts": [asdict(each) for each in found]})
        return exit_code(opened.errors, found)


def host_status(opened: Session, name: str) -> HostStatus:
    """Reads one host's state. Raises RunbookError."""
    writer = opened.writer(name)
    writer.prepare()
    every = writer.snapshots()
    standing = undo.applied(every)
    drifted = look(writer, {state.path: state for each in standing for state in each.after}, opened.mask)
    owner = writer.owner()
    return HostStatus(
        name,
        tuple({"snapshot": each.id, "run": each.run, "steps": each.step, "at": each.at} for each in standing),
        tuple(each.path for each in drifted),
        f"held by {owner.who} for run {owner.run} since {owner.since}" + (", stale" if owner.stale else "")
        if owner
        else "free",
        ", ".join(filter(None, writer.last_command())),
        drifted,
        tuple(each.id for each in cut_off.undone(writer, every)),
    )


def status_lines(found: HostStatus) -> Iterator[str]:
    """A host's status as people read it."""
    yield f"{found.host}  {len(found.applied)} transaction(s) applied, lock {found.lock}"
    for each in found.applied:
        yield f"    {each['at']}  {each['steps']}  run {each['run']}"
    for name in found.cut_off:
        yield f"    ! the undo of {name} was cut off, its files are back: ./inv rollback brings its services back"
    for drifted in found.changes:
        yield f"    ! {drifted.path} {drifted.what}"
        yield from (f"      {line}" for line in drifted.patch.splitlines())


def history(
    out: Output,
    environment: str,
    *,
    folder: Path | None = None,
    limit: str | None = None,
    count: int = 20,
    verify: bool = False,
) -> int:
    """What the controller knows of the newest runs, then the journal of each host, the newest lines last.

    `verify`: against the last line that this controller knows; then a journal that was altered or cut off is refused, and
    what is whole is known from now on.
    """
    store = Store()
    with closing(store), session.opened(environment, folder, limit, out.mask) as opened:

        def read(name: str) -> tuple[Any, ...]:
            writer = opened.writer(name)
            writer.prepare()
            found = writer.journal(store.known_head(name, writer.project_name) if verify else None)
            if verify and found:
                store.head(name, writer.project_name, found[-1].hash)
            return found

        results = fleet.each(opened.links, read)
        opened.drop({name: result.error for name, result in results.items() if result.error})
        found = {name: result.value or () for name, result in results.items() if not result.error}
        runs = screen_history.told(store, environment, count)
        out.show(f"{environment}  {len(runs)} run(s) from here", *screen_history.lines(runs))
        for name, entries in found.items():
            out.show(f"{name}  {len(entries)} event(s)" + (", each in its place" if verify else ""))
            out.show(
                *(
                    f"    {each.at}  {each.kind:<10} {each.run}  {summary(each.data)}"
                    for each in entries[max(0, len(entries) - count) :]
                )
            )
        tell_errors(out, opened)
        journals = {
            name: [{"at": e.at, "kind": e.kind, "run": e.run, "data": dict(e.data), "hash": e.hash} for e in entries]
            for name, entries in found.items()
        }
        out.document({"environment": environment, "runs": runs, "hosts": journals})
        return exit_code(opened.errors, found)


def summary(data: Any) -> str:
    """The short fields of a journal entry."""
    words = data.get("argv")
    if isinstance(words, list):
        return " ".join(["...", *map(str, words[-3:])])
    parts = [
        f"{key}={value}"
        for key, value in data.items()
        if key not in ("who", "restarts", "created", "made", "before_undo", "compose")
        and isinstance(value, (str, int))
        and value != "-"
    ]
    return " ".join(parts)


def health(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """One round of all probes of each host, in the proposal's shape. Returns 3 when something is not healthy."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        surveyed = fleet.each(opened.links, lambda name: survey(opened.links[name], opened.host(name), out.mask))
        opened.drop({name: result.error for name, result in surveyed.items() if result.error})
        stacks = {name: result.value for name, result in surveyed.items() if result.value}
        probes = {name: all_probes(each.stack, each.facts) for name, each in stacks.items()}
        rounds = fleet.each(probes, lambda name: round_(opened.links[name], probes[name], stacks[name].compose.name))
        found = {name: healths.aggregate(probes[name], result.value or ()) for name, result in rounds.items()}
        for name, each in found.items():
            out.show(health_table(name, each))
        out.document(found)
        tell_errors(out, opened)
        return exit_code(opened.errors, found) or (UNWELL if healths.unwell(found) else 0)


def all_probes(stack: Stack, facts: Facts) -> tuple[Probe, ...]:
    """The engine's view and the own check of each long-running service that runs, and a real query of each data store."""
    services = [
        each.name for each in stack.services.values()
        if each.active and not images.is_one_shot(stack, each, facts) and facts.containers.get(each.name)
    ]  # fmt: skip
    probes = [*health_probes(stack, services)]
    for name in services:
        kind = QUERIED.get(images.repository(stack.services[name].image))
        if kind:
            probes.append(Probe(kind, f"{kind}:{name}", name))
    return tuple(probes)


QUERIED = {"postgres": "postgres", "redis": "redis", "pgbouncer": "pgbouncer"}
"""image -> the probe that asks it a real question."""


def health_table(host: str, found: dict[str, Any]) -> Table:
    """One host's services, one a line."""
    from rich.table import Table
    from rich.text import Text

    styles = {"healthy": "green", "unhealthy": "red", "unknown": "yellow"}
    table = Table(
        title=f"{host}: {found['status']}", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0)
    )
    for service, entry in found["services"].items():
        rest = " ".join(f"{key} {value}" for key, value in entry.items() if key != "status")
        table.add_row("  " + service, Text(entry["status"], styles[entry["status"]]), rest)
    return table


def tell_errors(out: Output, opened: Session) -> None:
    """A line for each host that could not be asked."""
    for name, error in opened.errors.items():
        error.host = error.host or name
        out.error(error)
