"""Changes the world under a running transaction: at each of its calls the disk fills up, runs out of inodes, turns read-only,
or the rights are taken away. The next command comes twice: while it is still so, and after an operator mended it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from inventory.errors import RunbookError
from lab.proof.bed import NEXT, Bed, mend, room
from lab.proof.strikes import OPERATIONS, Operation, measured, struck
from lab.proof.table import Effort, Part, Tally, columns, part

TITLE = "The world, changed in the midst"
COLUMNS = columns("operation", "at each call")
NOBODY = 65534
SIZE = "size=1m,nr_inodes=300"
STRUCK = OPERATIONS[:3]


@dataclass(frozen=True)
class World:
    """One way in which the world changes: a command that does it, run by the struck program, and what puts it right."""

    name: str
    command: Callable[[Bed], str]
    mend: Callable[[Bed], object]
    user: int | None = None


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _remount(bed: Bed, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(bed.base)], check=True)


def _emptied(bed: Bed) -> None:
    for path in bed.base.glob("fill*"):
        path.unlink()


def _allowed(bed: Bed) -> None:
    for base in (bed.project, bed.state):
        for path in (base, *base.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o700)


WORLDS = (
    World("the disk is full", lambda bed: f"cat /dev/zero >{_quoted(bed.base)}/fill", _emptied),
    World("no inode is left", lambda bed: f"n=0; while : >{_quoted(bed.base)}/fill.$n; do n=$((n + 1)); done", _emptied),
    World("the file system turns read-only", lambda bed: f"mount -o remount,ro {_quoted(bed.base)}", lambda bed: _remount(bed, "rw")),
    World("the project may no longer be written", lambda bed: f"chmod 0555 {_quoted(bed.project)} {_quoted(bed.project)}/conf", _allowed, NOBODY),
    World("the state may no longer be written",
          lambda bed: f"chmod 0555 {_quoted(bed.state)} {_quoted(bed.state)}/objects {_quoted(bed.state)}/snapshots", _allowed, NOBODY),
)  # fmt: skip


def prove(effort: Effort) -> Part:
    """Every world at every call of a transaction, an undo and a repair; in short form one world at each call."""
    begin = time.monotonic()
    if os.geteuid() != 0:
        return Part(TITLE, COLUMNS, (), 0, skipped=("full and read-only disks need root",))
    tallies: dict[tuple[str, str], Tally] = {}
    points = 0
    try:
        for number, world in enumerate(WORLDS):
            for operation in STRUCK:
                if effort.stop.is_set():
                    break
                tallies[operation.name, world.name], more = changed(world, operation, number, effort)
                points += more
            effort.tell(f"{world.name}: done")
    except subprocess.CalledProcessError as error:
        return Part(TITLE, COLUMNS, (), 0, skipped=(f"nothing can be mounted here: {error}",))
    rows = [tally.row(operation, world) for (operation, world), tally in tallies.items()]
    missing = len(WORLDS) * len(STRUCK) - len(tallies)
    short = (*effort.short_of(sum(tally.cases for tally in tallies.values()), points),
             *((f"stopped before {missing} of {len(WORLDS) * len(STRUCK)} rows",) if missing else ()))  # fmt: skip
    return part(TITLE, COLUMNS, rows, tallies.values(), time.monotonic() - begin, short)


def changed(world: World, operation: Operation, number: int, effort: Effort) -> tuple[Tally, int]:
    """One world at the calls of one operation. Returns the outcomes, and at how many calls it was to change."""
    tally = Tally()
    with room() as base, room() as elsewhere, mounted(base):
        elsewhere.chmod(0o755)
        bed = Bed(base, user=world.user)
        bed.calls = elsewhere / "calls"  # counted where nothing changes
        bed.make()
        operation.ready(bed)
        bed.keep()
        bed.again()
        calls = measured(bed, operation)
        points = [at for at in range(1, len(calls) + 1) if effort.full or at % len(WORLDS) == number]
        for at in points:
            if effort.stop.is_set():
                break
            bed.again()
            error: RunbookError | None = None
            try:
                operation.work(struck(bed, operation.run, world.command(bed), at), bed)
            except RunbookError as found:
                error = found
            # A repair that cannot be done yet says so; it must not make anything worse.
            with suppress(RunbookError):
                mend(bed.writer(NEXT))
            world.mend(bed)
            outcome = bed.next_command(error)
            tally.take(outcome, f"{operation.name}, {world.name} from call {at} ({calls[at - 1][:60]})")
    return tally, len(points)


@contextmanager
def mounted(base: Path) -> Iterator[None]:
    """A small file system of its own on a folder. Raises CalledProcessError where nothing may be mounted."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", SIZE, "proof", str(base)], check=True, capture_output=True)
    try:
        base.chmod(0o755)
        yield
    finally:
        subprocess.run(["umount", str(base)], check=True)
