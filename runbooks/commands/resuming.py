"""`migrate --resume`: which run it goes on with, and what of that run stands half done on which host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from checks.evidence import Store
from checks.model import Probe
from inventory import fleet
from inventory.errors import InputError
from runbooks import events, resuming
from runbooks.book import Phase
from runbooks.commands.choice import Choice
from runbooks.commands.watching import watched
from runbooks.hostrun import Left
from runbooks.plan_model import Plan
from runbooks.session import Session

UNFINISHED = ("gate failed", "inconclusive", "failed", "interrupted")
DID = ("stands", "paused", "changed", "undone")
"""Endings of a host that a run wrote to."""


@dataclass
class Found:
    """What stands half done, by host, and what else each is asked in the gate."""

    hosts: dict[str, Left] = field(default_factory=dict)
    probes: dict[str, Sequence[Probe]] = field(default_factory=dict)

    def plan(self, phase: Phase, environment: str) -> Plan:
        """The plan of what is left."""
        return resuming.plan(phase, environment, self.hosts, self.probes)


def chosen(choice: Choice) -> tuple[Choice, tuple[str, ...]]:
    """The choice narrowed to what the environment's last runs did not finish, and those runs, the newest first.

    A run that went on with an earlier one may itself have been cut off, or refused before it wrote anything: then what the
    earlier one left is still there. Raises InputError where all is finished.
    """
    store = Store()
    try:
        runs = [run for run in store.runs(environment=choice.environment) if run.kind == "migrate"]
    finally:
        store.close()
    tried = list(takewhile(lambda run: run.ended is None or run.outcome in (*UNFINISHED, "refused"), runs))
    open_ = [run for run in tried if run.ended is None or run.outcome in UNFINISHED]
    last = next((run for run in open_ if run.ended is None or set(DID) & set(run.hosts.values())), None) or next(
        iter(open_), None
    )
    if last is None:
        raise InputError(f"the last run on {choice.environment} is not unfinished", key="--resume", mend="leave it out")
    if choice.phase and str(choice.phase) != last.phase:
        raise InputError(
            f"the unfinished run is of phase {last.phase}", key="--phase", mend=f"write --phase {last.phase}"
        )
    left = [host for host, ending in last.hosts.items() if ending not in ("changed", "unchanged")]
    return replace(choice, phase=last.phase, limit=choice.limit or ",".join(left) or None), tuple(
        run.id for run in tried
    )


def found(opened: Session, runs: Collection[str], emit: events.Sink) -> Found:
    """Repairs what the runs left half written, says what they left half brought up, and why that is carried on or undone.

    Hosts whose files were changed since drop out of the session, as do those that another run holds.
    """

    def one(name: str) -> tuple[Left, tuple[Probe, ...]] | None:
        writer = opened.writer(name)
        writer.prepare()
        for line in writer.recover():
            emit(events.Noted(host=name, text=f"an interrupted run was mended: {line}", attention=True))
        left = resuming.left(writer, runs)
        if left is None:
            return None
        mine = {up.service for up in resuming.ups_of(left.snapshot)}
        asked, _ = watched(opened.links[name], opened.host(name), opened.mask) if mine else ((), "")
        return left, tuple(probe for probe in asked if probe.service in mine)

    results = fleet.each(opened.links, one, limit=opened.forks)
    opened.drop({name: result.error for name, result in results.items() if result.error})
    made = Found()
    for name, result in results.items():
        if result.value is not None and not result.error:
            made.hosts[name], made.probes[name] = result.value
    return made
