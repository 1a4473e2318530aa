"""`snapshots.list`, `snapshots.prune` and `unlock`: what hosts keep so that runs can be undone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inventory import fleet
from inventory.durations import duration
from inventory.errors import InputError
from rollback.model import Snapshot
from runbooks import cut_off, session, undo
from runbooks.commands.codes import exit_code
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
    out: Output,
    environment: str,
    *,
    folder: Path | None = None,
    limit: str | None = None,
    keep: int = 10,
    older_than: str = "",
) -> int:
    """Removes the oldest snapshots that no longer stand, but for the last `keep`, and where `older_than` is given (`30d`) only
    older ones. What is applied is never removed."""
    if keep < 0:
        raise InputError("cannot be below 0", key="--keep", mend="write a number from 0 on")
    before = datetime.now(UTC) - timedelta(seconds=age(older_than))
    with session.opened(environment, folder, limit, out.mask) as opened:
        found = read(opened)
        ending = fleet.each(found, lambda name: cut_off.undone(opened.writer(name), found[name]), limit=opened.forks)
        needed = {name: [each.id for each in result.value or ()] for name, result in ending.items()}
        chosen = {name: prunable(every, keep, before, needed[name]) for name, every in found.items()}
        count = sum(map(len, chosen.values()))
        if not count and found:
            out.show("nothing to prune")
        elif count:
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


def prunable(every: tuple[Snapshot, ...], keep: int, before: datetime, needed: Collection[str] = ()) -> list[str]:
    """The snapshots that no rollback needs (`needed`: those that one has yet to end), without the last `keep` and those of `before` and later: each undone one, and
    right after it what undid it, so that at no time an undone one looks as if it stood."""
    standing = {each.id for each in undo.applied(every)}
    undoing = {each.note["undoes"]: each.id for each in every if "undoes" in each.note}
    there = {each.id for each in every}
    done = [each for each in every if each.id not in {*standing, *needed} and each.note.get("undoes") not in there]
    old = [each for each in done[: max(0, len(done) - keep)] if datetime.fromisoformat(each.at) < before]
    return [name for each in old for name in (each.id, undoing.get(each.id)) if name]


def age(text: str) -> float:
    """Seconds of `30d` or a duration; 0 for nothing. Raises InputError."""
    if not text:
        return 0.0
    if text.endswith("d") and text[:-1].isdigit():
        return float(text[:-1]) * 86400
    return duration(text, key="--older-than")


def unlock(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """Breaks the lock of hosts, after showing who holds it."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        runs: dict[str, str] = {}

        def owner(name: str) -> str:
            writer = opened.writer(name)
            pending = writer.prepare().pending
            found, (fate, command) = writer.owner(), writer.last_command()
            runs[name] = found.run if found else ""
            left = f"; transaction {pending} is unfinished, the next run mends it" if pending else ""
            left += f"; its last command ({command}) still runs" if fate == "running" else ""
            return (
                ""
                if found is None
                else f"{found.who}, run {found.run}, since {found.since}"
                + ("" if found.stale else ", and it is alive: that run would stop")
                + left
            )

        results = fleet.each(opened.links, owner)
        opened.drop({name: result.error for name, result in results.items() if result.error})
        held = {name: result.value for name, result in results.items() if result.value}
        for name, words in held.items():
            out.show(f"{name}  locked by {words}")
        if held:
            out.confirm(f"break the lock on {', '.join(held)}?")
        for name in held:
            opened.writer(name).unlock(runs[name])
        if held or opened.links:
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
