"""One host's whole part of a run as data that can be sent to another machine, and what is done with it there.

A connection cannot be sent: whoever does an errand connects by itself, with keys, known_hosts and sources of secrets of its
own machine. An errand may be done anew because whoever did it first was lost. So each who does it holds the host's lock
under a name of its own, takes it from the one before only after that one has been silent long enough, and goes on from
what the host's snapshots and journal say of the run: nothing is applied twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event as Flag

from inventory.errors import Busy, Locked, RunbookError
from inventory.link import Link
from inventory.model import Host, Inventory
from inventory.pool import Pool
from inventory.secrets import Mask
from inventory.values import frozen
from rollback import records
from rollback.commit import HostWriter
from rollback.model import Snapshot
from runbooks import events, propose, resuming, runner, staging
from runbooks.book import Phase
from runbooks.commands import standing
from runbooks.heartbeat import HEARTBEAT_S, heartbeat
from runbooks.hostrun import HostRun
from runbooks.mending import mending
from runbooks.plan_model import HostPlan, Plan
from runbooks.run_model import GOES_ON, NOT_ROLLED_BACK, ROLLED_BACK, End, Options, Run
from runbooks.session import Session, teach
from runbooks.undo import applied

SILENT_S = 3 * HEARTBEAT_S
"""Seconds without a sign after which whoever had an errand before is taken for lost."""
PATIENCE_S = 900.0
"""Seconds that a command which that one began on the host is waited for."""
# Standard input: a holder's name. Says which processes of its calls are still there: each has the name among its words.
STILL_THERE = "grep -lsF -f - /proc/[0-9]*/cmdline || true"


@frozen
class Errand:
    """What every errand to a host needs. `silent_s` is SILENT_S but for tests."""

    run: str
    who: str
    environment: str
    host: Host
    silent_s: float = SILENT_S


@frozen
class Look:
    """To read a host and plan a phase on it. `mends`: what an interrupted run left there is mended first."""

    errand: Errand
    phase: Phase
    accepted: str
    accept_drift: bool
    mends: bool


@frozen
class Looked:
    """What came of it: the host's plan, the lines that show drift, and what the mask must know to show them."""

    plan: HostPlan
    lines: tuple[str, ...]
    told: tuple[events.Event, ...]
    secrets: tuple[frozenset[str], frozenset[str]]


@frozen
class Carry:
    """To carry a plan out on its one host, gated and undone there where its gate fails. `number` is the batch's."""

    errand: Errand
    plan: Plan
    options: Options
    number: int


@frozen
class TakeBack:
    """To undo what a run wrote on a host, back to before a stage, as another host of its batch failed."""

    carry: Carry
    stage: int
    why: str
    code: int


@frozen
class Carried:
    """How a host was left. `snapshots` of the run stand there, by the number of their stage.

    `failed` is the number of the stage whose gate failed; 0 for none.
    """

    end: End
    ending: events.Ending
    error: RunbookError | None
    told: tuple[events.Event, ...]
    snapshots: tuple[tuple[int, Snapshot], ...]
    failed: int = 0


def look(given: Look) -> Looked:
    """Reads a host and plans. Raises RunbookError where it cannot be planned."""
    with _session(given.errand) as (session, told):
        opening = mending(session, told.append) if given.mends else None
        plan = propose.live(session, given.phase, told.append, opening, given.accepted)
        if not session.errors:
            plan, lines = standing.looked(session, plan, accept_drift=given.accept_drift)
        for error in session.errors.values():
            raise error
        return Looked(plan.hosts[0], lines, tuple(told), session.mask.known())


def carry(given: Carry) -> Carried:
    """Carries a plan out on a host, or goes on where whoever was lost before left it. Raises RunbookError before a write."""
    name = given.errand.host.name
    with _session(given.errand) as (session, told):
        run = _run(given, session, told, given.plan.hosts[0])
        host = run.hosts[name]
        if undone := _taken_over(given.errand, host):
            end = End("gate failed", ROLLED_BACK, f"{name}: undone there before whoever did it was lost")
            return _carried(run, end, "undone", told, undone)
        if host.plan.changed:
            end = runner.work_on(run, [host], given.number)
            begun = max((event.number for event in told if isinstance(event, events.StepStarted)), default=0)
            failed = begun if end.code in (ROLLED_BACK, NOT_ROLLED_BACK) else 0
            return _carried(run, end, run.endings[name], told, failed)
        return _carried(run, GOES_ON, "changed", told)


def take_back(given: TakeBack) -> Carried:
    """Undoes a run's stages on a host, the newest first, and gates what stands then."""
    name = given.carry.errand.host.name
    with _session(given.carry.errand) as (session, told):
        run = _run(given.carry, session, told, given.carry.plan.hosts[0])
        host = run.hosts[name]
        _taken_over(given.carry.errand, host, going_back=True)
        host.writer.lock()
        end = GOES_ON
        try:
            with heartbeat([host]):
                while host.snapshots and host.snapshots[-1][0].number >= given.stage and end.code != NOT_ROLLED_BACK:
                    end = staging.undo(run, [host], host.snapshots[-1][0], given.why, given.code)
        finally:
            host.writer.release()
        return _carried(run, end, run.endings.get(name, "undone"), told)


def _carried(run: Run, end: End, ending: events.Ending, told: list[events.Event], failed: int = 0) -> Carried:
    (name, host), *_ = run.hosts.items()
    snapshots = tuple((stage.number, snapshot) for stage, snapshot in host.snapshots)
    return Carried(end, ending, run.errors.get(name), tuple(told), snapshots, failed)


@contextmanager
def _session(errand: Errand) -> Iterator[tuple[Session, list[events.Event]]]:
    """A session of the one host, connected when it is first used, and what is told meanwhile."""
    mask, name = Mask(), errand.host.name
    teach(mask, errand.host.variables)
    pool = Pool(1, mask)
    holder = f"{errand.run}.{secrets.token_hex(3)}"
    made = Session(
        Inventory(errand.environment, "", (errand.host,), {}), mask, errand.who, errand.run,
        links={name: pool.link(errand.host)}, holder=holder,
    )  # fmt: skip
    try:
        yield made, []
    finally:
        pool.close()


def _run(given: Carry, session: Session, told: list[events.Event], plan: HostPlan) -> Run:
    link, writer = session.links[plan.host], session.writer(plan.host)
    host = HostRun(link, writer, plan, told.append, lambda: False)
    return Run(session.run, session.who, given.plan, {plan.host: host}, given.options, told.append, Flag())


def _taken_over(errand: Errand, host: HostRun, *, going_back: bool = False) -> int:
    """Makes the host ready, and lets `host` know what of the run stands there already. Returns the earliest stage of it that
    was undone there, 0 for none.

    Raises Locked where another run holds the host, Drift where a file that this run wrote was changed since.
    """
    writer = host.writer
    _ready(errand, writer, host.link)
    every = writer.snapshots()
    mine = {snapshot.id: snapshot for snapshot in applied(every) if snapshot.run == errand.run}
    written = {stage.number: f"{errand.run}-{stage.number}" for stage in host.plan.stages}
    undone = {snapshot.note.get("undoes") for snapshot in every}
    if not going_back and (gone := [number for number, name in written.items() if name in undone]):
        return min(gone)
    left = None if going_back or not mine else resuming.left(writer, (errand.run,))
    stages = []
    for stage in host.plan.stages:
        snapshot = mine.get(written[stage.number])
        carried_on = left is not None and snapshot == left.snapshot
        if snapshot is not None and not carried_on:
            host.snapshots.append((stage, snapshot))
        stages.append(stage if snapshot is None or carried_on or going_back else replace(stage, files=()))
    host.plan, host.left = replace(host.plan, stages=tuple(stages)), left
    return 0


def _ready(errand: Errand, writer: HostWriter, link: Link) -> None:
    """Mends what was left half written, after whoever had the errand before is surely gone."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            if calls := writer.opening():
                writer.heard(link.together(calls))
            writer.prepare()
            writer.recover()
            return
        except Busy:
            if time.monotonic() > until:
                raise
            time.sleep(2)
        except Locked:
            owner = writer.owner()
            if owner is not None and records.run_of(owner.run) != errand.run:
                raise
            wait_s = errand.silent_s - owner.silent_s if owner is not None else 0
            if wait_s > 0:
                time.sleep(min(wait_s, 5))
            elif owner is not None and not link.run(STILL_THERE, data=owner.run.encode(), become=link.host.become).text:
                writer.unlock(owner.run)
            else:
                time.sleep(1)
