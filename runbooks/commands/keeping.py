"""`snapshots.list`, `snapshots.prune` and `unlock`: what hosts keep so that runs can be undone."""

from __future__ import annotations

from pathlib import Path

from inventory import fleet
from inventory.errors import InputError
from rollback.model import Snapshot
from runbooks import session, undo
from runbooks.commands.choice import exit_code
from runbooks.commands.looking import tell_errors
from runbooks.output import Output
from runbooks.session import Session


def snapshots(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """What can be restored on each host, the oldest first."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        found = read(opened)
        for name, every in found.items():
            standing = {each.id for each in undo.applied(every)}
            out.show(f"{name}  {len(every)} snapshot(s)")
            for each in every:
                word = "undoes " + each.note["undoes"] if "undoes" in each.note else each.step
                out.show(f"    {each.at}  {each.id}  {'applied' if each.id in standing else 'undone '}  {word}")
        tell_errors(out, opened)
        out.document({
            name: [
                {"id": each.id, "run": each.run, "steps": each.step, "at": each.at, "files": [s.path for s in each.before]}
                for each in every
            ]
            for name, every in found.items()
        })  # fmt: skip
        return exit_code(opened.errors, found)


def prune(
    out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None, keep: int = 10
) -> int:
    """Removes the oldest snapshots that no longer stand, but for the last `keep`. What is applied is never removed."""
    if keep < 0:
        raise InputError("cannot be below 0", key="--keep", mend="write a number from 0 on")
    with session.opened(environment, folder, limit, out.mask) as opened:
        found = read(opened)
        chosen = {name: prunable(every, keep) for name, every in found.items()}
        count = sum(map(len, chosen.values()))
        if not count:
            out.show("nothing to prune")
        else:
            out.confirm(
                f"remove {count} snapshot(s) on {', '.join(name for name, ids in chosen.items() if ids)} for good?"
            )
            for name, ids in chosen.items():
                if ids:
                    opened.writer(name).prune(ids)
                    out.show(f"{name}  removed {len(ids)} snapshot(s)")
        tell_errors(out, opened)
        out.document({"removed": chosen})
        return exit_code(opened.errors, found)


def prunable(every: tuple[Snapshot, ...], keep: int) -> list[str]:
    """The snapshots that are undone, or that only undid another, without the last `keep` of them."""
    standing = {each.id for each in undo.applied(every)}
    done = [each.id for each in every if each.id not in standing]
    return done[: max(0, len(done) - keep)]


def unlock(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """Breaks the lock of hosts, after showing who holds it."""
    with session.opened(environment, folder, limit, out.mask) as opened:

        def owner(name: str) -> str:
            writer = opened.writer(name)
            writer.prepare()
            found = writer.owner()
            return (
                ""
                if found is None
                else f"{found.who}, run {found.run}, since {found.since}"
                + ("" if found.stale else ", and it is alive: that run would stop")
            )

        results = fleet.each(opened.links, owner)
        opened.drop({name: result.error for name, result in results.items() if result.error})
        held = {name: result.value for name, result in results.items() if result.value}
        for name, words in held.items():
            out.show(f"{name}  locked by {words}")
        if held:
            out.confirm(f"break the lock on {', '.join(held)}?")
        for name in held:
            opened.writer(name).unlock()
        out.show(f"{len(held)} lock(s) broken" if held else "no host is locked")
        tell_errors(out, opened)
        out.document({"unlocked": held})
        return exit_code(opened.errors, results)


def read(opened: Session) -> dict[str, tuple[Snapshot, ...]]:
    """Every snapshot of each host; hosts that do not answer drop out."""

    def one(name: str) -> tuple[Snapshot, ...]:
        writer = opened.writer(name)
        writer.prepare()
        return writer.snapshots()

    results = fleet.each(opened.links, one)
    opened.drop({name: result.error for name, result in results.items() if result.error})
    return {name: result.value or () for name, result in results.items() if not result.error}
