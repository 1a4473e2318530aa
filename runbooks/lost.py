"""Hosts that lost what they kept of a run: that is said, with the way back, where there would seem to be nothing to undo."""

from __future__ import annotations

from collections.abc import Collection

from checks.evidence import Store
from inventory import fleet
from inventory.errors import Refused
from rollback import vault
from rollback.commit import HostWriter
from runbooks.session import Session


def drop(session: Session, store: Store, run: str, found: Collection[str]) -> None:
    """Takes those hosts out of a rollback of `run`, each with why. `found` are the hosts that keep something of it.

    A host has lost it where this controller has copies of the run's snapshots, the host has none of them, and its journal either
    is not the one that this controller saw last or says that they were written and never undone.
    """
    names = [name for name in session.links if name not in found]
    heads = {name: store.known_head(name, session.writer(name).project_name) for name in names}

    def look(name: str) -> Refused | None:
        writer, head = session.writer(name), heads[name]
        kept = _kept(name, writer, run)
        if head is None or not kept or kept & {snapshot.id for snapshot in writer.snapshots()}:
            return None
        return _told(name, writer, run) if _stood(writer, head, kept) else None

    results = fleet.each({name: session.links[name] for name in names}, look, limit=session.forks)
    session.drop({name: error for name, result in results.items() if (error := result.error or result.value)})


def _kept(name: str, writer: HostWriter, run: str) -> set[str]:
    """The snapshots of a run of which this controller has whole copies."""
    try:
        return {snapshot.id for snapshot, _ in vault.of_run(name, writer.project_name, run)}
    except Refused:
        return set()


def _stood(writer: HostWriter, head: str, kept: Collection[str]) -> bool:
    """Whether something of `kept` stands for all that is known: it was never undone, or the journal that would say so is gone."""
    try:
        events = writer.journal(head)
    except Refused:
        return True
    written = {event.data["id"] for event in events if event.kind == "commit"}
    undone = {event.data.get("undoes") for event in events if event.kind == "commit"}
    return bool(written.intersection(kept) - undone)


def _told(name: str, writer: HostWriter, run: str) -> Refused:
    return Refused(
        f"{writer.state_dir} keeps nothing of {run} any more, of which this controller has a copy",
        host=name,
        mend="put that folder back, or add --from-controller",
    )
