"""`rollback`: what an earlier run wrote is undone, byte for byte."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from checks.evidence import RunRecord, Store
from inventory import receivers
from inventory.errors import InputError, RunbookError
from runbooks import events, interrupt, lost, session, undo
from runbooks.commands import options
from runbooks.commands.codes import exit_code
from runbooks.notifier import telling
from runbooks.output import Output
from runbooks.screen_live import Shown
from runbooks.screen_run import Collector, Recorder, some
from runbooks.undo import HostUndo
from runbooks.who import operator


def rollback(out: Output, environment: str = "", *, folder: Path | None = None, run: str | None = None,
             to: str | None = None, limit: str | None = None, force: bool = False, later: bool = False,
             forks: str = "", from_controller: bool = False) -> int:  # fmt: skip
    """Undoes the last run that this operator made, or the one that is named. Returns the exit code.

    Raises InputError where production would be chosen without being named.
    """
    if run and to:
        raise InputError("are two ways to say the same", key="--run, --to", mend="name one of them")
    store, chosen = Store(), run
    try:
        if not environment:
            last = last_run(store, run)
            if last is None:
                raise InputError("there is no run to undo", mend="name the environment: --env staging")
            environment, chosen = last.environment, None if to else last.id
        with session.opened(environment, folder, limit, out.mask, forks=options.forks(forks)) as opened:
            newest = chosen or next(
                (each.id for each in store.runs(environment=environment) if each.kind == "migrate"), ""
            )
            if from_controller:
                what, plans = newest, undo.survey_vault(opened, newest)
            else:
                what, plans = undo.survey(opened, run=chosen, to=to, later=later)
                if not to:
                    lost.drop(opened, store, what or newest, [plan.host for plan in plans])
            for name, error in opened.errors.items():
                error.host = error.host or name
                out.error(error)
            if not plans and (run or to) and not opened.errors:
                kind = "snapshot" if to else "run"
                raise InputError(f"no {kind} {what} stands on these hosts", mend="see ./inv snapshots.list")
            if not plans:
                if not opened.errors:
                    out.show(f"nothing to undo on {environment}")
                out.document({"run": None, "outcome": "nothing", "code": exit_code(opened.errors, opened.links)})
                return exit_code(opened.errors, opened.links)
            out.show(*told(what, plans))
            out.confirm(f"undo {what} on {some([plan.host for plan in plans])}?")
            collector = Collector()
            shown, kept = Shown(out, opened.inventory.hosts), Recorder(store, out.mask, undoes=what, warn=out.warn)
            with telling(receivers.of(opened.inventory.hosts), out.mask, out.warn) as news:
                emit = events.fan_out(collector, shown, kept, news)
                carried = "the rollback is carried to its end first"
                with shown.redrawn(), interrupt.heeded(Event(), out.warn, carried):
                    code = undo.rollback(opened, plans, what, emit, force=force)
            try:
                if store.watched(environment):
                    from runbooks import soak_news

                    soak_news.end_all(
                        store, environment, f"rollback {opened.run} changed {environment}", out.mask, out.warn
                    )
            except RunbookError as error:
                out.warn(f"the soaks of {environment} could not be ended: {error}")
            if out.as_json:
                out.raw(collector.document(out.mask) + "\n")
            return code or exit_code(opened.errors, plans)
    finally:
        store.close()


def last_run(store: Store, run: str | None) -> RunRecord | None:
    """The last run that this operator made and that wrote something, or the named one. Production must be named."""
    who = operator()
    undone = {record.undoes for record in store.runs(limit=1000) if record.undoes and whole(record)}
    for record in store.runs(limit=1000):
        if record.kind != "migrate" or (run and record.id != run):
            continue
        if not run and (record.who != who or record.id in undone or not wrote(record)):
            continue
        if record.environment == "production":
            raise InputError(
                f"the last run was on production: {record.id}", key="--env", mend="name it: --env production"
            )
        return record
    if run:
        raise InputError(f"this controller knows no run {run}", key="--run", mend="name its environment: --env NAME")
    return None


def whole(record: RunRecord) -> bool:
    """Whether a rollback ended well wherever it was to."""
    return bool(record.hosts) and all(ending == "undone" for ending in record.hosts.values())


def wrote(record: RunRecord) -> bool:
    """Whether something of a run may stand on a host; a run that broke off may have left something anywhere."""
    return record.ended is None or any(
        ending in ("changed", "paused", "stands", "failed") for ending in record.hosts.values()
    )


def told(what: str, plans: tuple[HostUndo, ...]) -> list[str]:
    """What a rollback will do and where."""
    lines = [f"roll back {what}:"]
    for plan in plans:
        services = ", ".join(restart.service for restart in plan.restarts) or "no service"
        files = (
            f"{', '.join(plan.paths)} as before" if plan.paths else "its files are back already, an undo was cut off"
        )
        lines.append(f"  {plan.host}  {files}; brings up again: {services}")
    return lines
