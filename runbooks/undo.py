"""Rolls a run back: its snapshots in reverse, byte for byte, the images that ran, services in waves, and a gate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from checks.model import Gate
from inventory import fleet
from inventory.errors import Drift, Refused, RunbookError
from inventory.values import frozen
from rollback import vault
from rollback.model import FileState, Snapshot
from runbooks import batches, cut_off, events, gating, unmaking
from runbooks.heartbeat import heartbeat
from runbooks.hostrun import HostRun, back_again, compose_of, in_order, order_of, restarts_of
from runbooks.plan_model import HostPlan, Restart, StartupPlan
from runbooks.session import Session

GATE = Gate(window_s=10.0, interval_s=2.0, failure_limit=1)
"""What is watched after a rollback: that the old stack stands again."""


@frozen
class HostUndo:
    """What a rollback does on one host: snapshots, the newest first, and the services to bring up, in order.

    `contents`: each snapshot's bytes by path, where they come from the controller's copy instead of the host's own.
    `back`: snapshots, the newest first, whose files an undo that was cut off put back already; it left the rest to this one.
    """

    host: str
    snapshots: tuple[Snapshot, ...]
    restarts: tuple[Restart, ...]
    contents: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    back: tuple[Snapshot, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(state.path for snapshot in self.snapshots for state in snapshot.before))

    @property
    def every(self) -> tuple[Snapshot, ...]:
        """All whose services are brought back, the newest first."""
        return (*self.back, *self.snapshots)


def applied(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The snapshots whose transactions still stand, the oldest first."""
    undone = {snapshot.note.get("undoes") for snapshot in snapshots}
    return [snapshot for snapshot in snapshots if "undoes" not in snapshot.note and snapshot.id not in undone]


def survey(
    session: Session, *, run: str | None, to: str | None, later: bool = False
) -> tuple[str, tuple[HostUndo, ...]]:
    """What there is to undo: a named run, back to a snapshot, or the last run that stands on these hosts; none named and an
    undo cut off somewhere: what that one undid.

    A host that has nothing of it is left out. What came after it and still stands is undone with it where `later` says
    so; else Refused is raised.
    """

    def read(name: str) -> tuple[list[Snapshot], list[Snapshot]]:
        writer = session.writer(name)
        if calls := writer.opening():
            writer.heard(session.links[name].together(calls))
        writer.prepare()
        writer.recover()
        found = writer.snapshots()
        return applied(found), cut_off.undone(writer, found)

    results = fleet.each(session.links, read, limit=session.forks)
    session.drop({name: result.error for name, result in results.items() if result.error})
    read_of = {name: result.value for name, result in results.items() if result.value}
    standing, back = ({name: found[at] for name, found in read_of.items()} for at in (0, 1))
    every = [snapshot for found in (back if any(back.values()) else standing).values() for snapshot in found]
    if to:
        chosen = {name: from_snapshot(found, to) for name, found in standing.items()}
        wanted = to
    else:
        if not every and run is None:
            return "", ()
        wanted = run or max(every, key=lambda snapshot: (snapshot.at, snapshot.run)).run
        chosen = {name: [snapshot for snapshot in found if snapshot.run == wanted] for name, found in standing.items()}
        if later:
            chosen = {
                name: from_snapshot(standing[name], found[0].id) if found else [] for name, found in chosen.items()
            }
    asked = [name for name in chosen if chosen[name] or any(wanted in (each.run, each.id) for each in back[name])]
    plans = tuple(host_undo(name, chosen[name], back[name]) for name in asked)
    for plan in (plan for plan in plans if plan.snapshots):
        after = [
            snapshot
            for snapshot in standing[plan.host]
            if snapshot.at > plan.snapshots[0].at and snapshot not in plan.snapshots
        ]
        if after:
            raise Refused(
                f"run {after[-1].run} came after it and still stands",
                host=plan.host,
                mend="roll that back first, or add --with-later to take both",
            )
    return wanted, plans


def survey_vault(session: Session, run: str) -> tuple[HostUndo, ...]:
    """What the controller's own copies can undo of a run, for hosts that lost theirs. What a host cannot repair is given up."""

    def read(name: str) -> HostUndo | None:
        writer = session.writer(name)
        kept = vault.of_run(name, writer.project_name, run)
        if not kept:
            return None
        if writer.prepare().pending:
            writer.abandon()
        plan = host_undo(name, [snapshot for snapshot, _ in reversed(kept)])
        return replace(plan, contents={snapshot.id: data for snapshot, data in kept})

    results = fleet.each(session.links, read, limit=session.forks)
    session.drop({name: result.error for name, result in results.items() if result.error})
    return tuple(result.value for result in results.values() if result.value)


def from_snapshot(found: Sequence[Snapshot], to: str) -> list[Snapshot]:
    """A snapshot and all that came after it."""
    names = [snapshot.id for snapshot in found]
    return list(found[names.index(to) :]) if to in names else []


def host_undo(host: str, found: Sequence[Snapshot], back: Sequence[Snapshot] = ()) -> HostUndo:
    """`found` are to be undone, `back` came after them, and their files are back; both the oldest first."""
    every = (*found, *back)
    restarts: dict[str, Restart] = {}
    made = unmaking.made_of(every).services
    for snapshot in every:
        for restart in restarts_of(snapshot):
            if restart.service not in made:
                first = restarts.setdefault(restart.service, restart)
                restarts[restart.service] = replace(first, renew=first.renew or restart.renew)
    # The stack goes back to what it was before the oldest: what a later stage brought up may be needed by an earlier one's.
    ups = in_order(restarts.values(), order_of(every[0]))
    return HostUndo(host, tuple(reversed(found)), ups, back=tuple(reversed(back)))


def rollback(session: Session, plans: Sequence[HostUndo], what: str, emit: events.Sink, *, force: bool = False,
             gate: Gate | None = None) -> int:  # fmt: skip
    """Undoes `plans` on all their hosts in parallel, gates, and returns the exit code.

    Of a fleet that cannot all be connected at once, so many hosts as can are carried to their end before the next begin.
    """
    begin = time.monotonic()
    order = batches.split(plans, ("100%",), session.forks)
    emit(events.RunStarted(
        run=session.run, kind="rollback", environment=session.inventory.environment, who=session.who,
        batches=tuple(tuple(plan.host for plan in batch) for batch in order), phase=what,
        steps=tuple(dict.fromkeys(s.step for plan in plans for s in plan.every)),
    ))  # fmt: skip
    errors: dict[str, RunbookError] = {}
    well: dict[str, bool] = {}
    measured = True
    for batch in order:
        measured &= undo_batch(session, batch, emit, errors, well, force=force, gate=gate or GATE)
    return ended(session, plans, errors, well, emit, time.monotonic() - begin, measured=measured)


def undo_batch(session: Session, plans: Sequence[HostUndo], emit: events.Sink, errors: dict[str, RunbookError],
               well: dict[str, bool], *, force: bool, gate: Gate) -> bool:  # fmt: skip
    """One batch: locks, undoes, gates, and gives the locks back whatever happens. Fills `errors`, and `well` by host: whether it
    stands as before. Returns whether that could be measured."""
    by_name = {plan.host: plan for plan in plans}
    runs = {name: host_run(session, plan, emit) for name, plan in by_name.items()}
    measured = True
    # The undo of one snapshot sees for itself, before it writes, that nothing was changed: then the lock goes with it.
    at_once = {name for name, plan in by_name.items() if len(plan.snapshots) == 1 and not force}
    locked = fleet.each(runs, lambda name: runs[name].writer.lock(wait=name not in at_once), limit=session.forks)
    errors |= {name: result.error for name, result in locked.items() if result.error}
    ready = [name for name in runs if name not in errors]
    try:
        with heartbeat([runs[name] for name in ready]):
            results = fleet.each(
                ready, lambda name: undo_host(runs[name], by_name[name], emit, force=force), limit=session.forks
            )
            errors |= {name: result.error for name, result in results.items() if result.error}
            back = [name for name in ready if name not in errors]
            well |= {name: bool(results[name].value) for name in back}
            if back:
                unwell, measured = gated([runs[name] for name in back], by_name, emit, gate)
                well |= unwell
            for name in (name for name in back if well[name] and measured):
                cut_off.ended(runs[name], ("rollback",))
    finally:
        fleet.each(ready, lambda name: runs[name].writer.release(), limit=session.forks)
    return measured


def host_run(session: Session, plan: HostUndo, emit: events.Sink) -> HostRun:
    newest = plan.every[0]
    made = HostPlan(plan.host, newest.project_dir, compose_of(newest), (), StartupPlan(), images=plan.every[-1].images)
    return HostRun(session.links[plan.host], session.writer(plan.host), made, emit, lambda: False)


def undo_host(host: HostRun, plan: HostUndo, emit: events.Sink, *, force: bool) -> bool:
    """Puts the files back snapshot by snapshot, then the images, then brings each service up once."""
    begin = time.monotonic()
    if plan.back:
        steps = ", ".join(snapshot.step for snapshot in plan.back)
        emit(events.Noted(host=host.name, text=f"the undo of {steps} was cut off: its files are back, and its services are brought "
                          "up again", attention=True))  # fmt: skip
        if not force and not plan.snapshots:
            still_back(host, plan)
    # What is made to hold before an undo must not be made for one that is refused then.
    asked = any(map(unmaking.questions_of, plan.snapshots))
    if not force and (asked or len(plan.snapshots) > 1) and not plan.contents:
        unchanged(host, plan)
    if not force:
        unmaking.ready(host.link, host.plan.compose.name, plan.snapshots)
    known = [state for snapshot in plan.snapshots for state in (*snapshot.before, *snapshot.after)]
    for snapshot in plan.snapshots:
        if plan.contents:
            host.writer.restore(snapshot, plan.contents[snapshot.id], known, force=force)
        else:
            host.writer.undo(snapshot, force=force)
    host.give_back_images(plan.every[-1])
    well = host.bring_up(plan.restarts, undoing=True)
    detail = "" if well else "the files are as before; not every service got healthy with them"
    if well:
        detail = unmaking.take_away(host.link, host.plan.compose.name, unmaking.made_of(plan.every))
        well = not detail
    emit(events.StepUndone(
        host=host.name, steps=tuple(snapshot.step for snapshot in plan.every), snapshot=plan.every[-1].id, paths=plan.paths,
        why="the operator asked for it", ok=well, seconds=time.monotonic() - begin,
        detail=detail,
    ))  # fmt: skip
    return well


def unchanged(host: HostRun, plan: HostUndo) -> None:
    """Raises Drift where any of the snapshots could not be undone: half a rollback would be worse than none."""
    expected: dict[str, FileState] = {}
    for snapshot in plan.snapshots:
        for state in snapshot.after:
            expected.setdefault(state.path, state)
    for path, (found, _) in host.writer.read(list(expected)).items():
        if found != expected[path]:
            raise Drift(f"{path} was changed since", host=host.name, mend="restore it, or add --force (keeps a copy)")


def still_back(host: HostRun, plan: HostUndo) -> None:
    """Raises Drift where a file that an earlier undo put back was changed since: services are not brought up with that."""
    expected = {state.path: state for snapshot in plan.back for state in snapshot.before}
    for path, (found, _) in host.writer.read(list(expected)).items():
        if found != expected[path]:
            raise Drift(
                f"{path} was changed since it was put back", host=host.name,
                mend="restore it, or add --force to bring services up with it as it is",
            )  # fmt: skip


def gated(hosts: Sequence[HostRun], plans: Mapping[str, HostUndo], emit: events.Sink, gate: Gate
          ) -> tuple[dict[str, bool], bool]:  # fmt: skip
    """Watches the services that were brought up. Returns the hosts that are not well, as at least one of their probes
    failed, and whether enough could be measured to say so."""
    probes = {host.name: back_again(host.plan.images, plans[host.name].restarts) for host in hosts}
    if not any(probes.values()):
        return {}, True
    verdict = gating.watch(hosts, probes, gate, emit, steps=("rollback",), side="undo")
    measured = verdict.outcome != "inconclusive"
    return {result.host: False for result in verdict.results if result.failed}, measured


def ended(session: Session, plans: Sequence[HostUndo], errors: Mapping[str, RunbookError], well: Mapping[str, bool],
          emit: events.Sink, seconds: float, *, measured: bool) -> int:  # fmt: skip
    """The last event of a rollback, and its exit code."""
    endings: dict[str, events.Ending] = {}
    for plan in plans:
        endings[plan.host] = "failed" if plan.host in errors else "undone" if well.get(plan.host) else "stands"
        writer = session.writer(plan.host)
        emit(events.HostEnded(
            host=plan.host, ending=endings[plan.host], seconds=seconds, project=writer.project_name, head=writer.head,
        ))  # fmt: skip
    for name, error in errors.items():
        emit(events.HostFailed(host=name, error=error.message, mend=error.mend, code=error.code))
    code, outcome, message = 0, "done", "every file is as it was, byte for byte"
    if not measured:
        code, outcome = 7, "inconclusive"
        message = "every file is as it was, but whether the stack is well could not be measured: see ./inv health"
    if errors:
        refused = all(error.code == Refused.code for error in errors.values())
        code, outcome = (4, "refused") if refused else (5, "failed")
        message = "; ".join(str(error) for error in errors.values())
    bad = [name for name, ending in endings.items() if ending == "stands"]
    if bad:
        code, outcome = 6, "rollback failed"
        message = f"the files are as before on {', '.join(bad)}, but the stack is not well"
    emit(events.RunEnded(run=session.run, outcome=outcome, code=code, hosts=endings, seconds=seconds, message=message))  # type: ignore[arg-type]
    return code
