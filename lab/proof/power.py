"""Cuts the power: records the file operations and syncs of real runs, builds every state that a disk may legally be left in,
and lets the next command find each."""

from __future__ import annotations

import os
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from inventory.errors import HostFailed, RunbookError
from lab.proof import calls, disk, plain
from lab.proof.bed import AGAIN, Bed, Outcome, room
from lab.proof.shell import ShellLink
from lab.proof.strikes import OPERATIONS, Operation
from lab.proof.table import OUTCOMES, Effort, Part, Tally, spread
from lab.proof.tracing import cannot, recorder
from rollback.commit import HostWriter

COLUMNS = ("operation", "file operations", "states", *OUTCOMES)
COUNT = ("a project's folder", "state")
FEW = 120
"""States of each operation in the short form, evenly spread over all of them."""


def first_time(host: HostWriter, bed: Bed) -> None:
    """A host's very first transaction: the state folder is made in the same run."""
    host.prepare()
    host.lock()
    host.commit(bed.change(host))


RECORDED = (
    Operation("first of a host", lambda _bed: None, first_time),
    *(each for each in OPERATIONS if each.name in ("commit", "undo", "repair that reverts", "repair that finishes", "repair of the journal",
                                                   "a command", "a journal line", "prune", "heartbeat")),
    *plain.OPERATIONS,
)  # fmt: skip


def prove(effort: Effort) -> Part:
    """Every state of every recorded operation; a spread of them in short form."""
    begin = time.monotonic()
    wrong_here = cannot()
    if wrong_here:
        return Part("The power, cut anywhere", COLUMNS, (), 0, skipped=(wrong_here,))
    rows, wrong, cases, lost, repairs_s = [], [], 0, 0, []
    short: list[str] = []
    for operation in RECORDED:
        if effort.stop.is_set():
            short.append(f"{operation.name}: stopped before its first state")
            continue
        with room() as base:
            tally, ops, states, bad = cut(base, operation, effort)
        short += [f"{operation.name}: {line}" for line in effort.short_of(tally.cases, states, "states")]
        rows.append((operation.name, ops, tally.cases, tally.of("old"), tally.of("new"), tally.of("repaired"), tally.of("between"),
                     tally.of("lost"), tally.of("wrong") - tally.of("between"), tally.mean_repair_ms))  # fmt: skip
        wrong += bad
        cases += tally.cases
        lost += tally.of("lost")
        repairs_s += tally.repairs_s
        effort.tell(f"power cut, {operation.name}: {tally.cases} states of {ops} file operations")
    return Part("The power, cut anywhere", COLUMNS, tuple(rows), cases, tuple(wrong), tuple(short), time.monotonic() - begin,
                lost, tuple(repairs_s))  # fmt: skip


def cut(base: Path, operation: Operation, effort: Effort) -> tuple[Tally, int, int, list[str]]:
    """All states of one operation. Returns their outcomes, how many file operations it makes, how many states there are to
    look at, and what did not hold."""
    beds = [Bed(base / f"bed {number}" / "bed") for number in range(effort.workers)]
    # Each bed has a recording of its own: what a host keeps names the paths that it is about.
    recordings = [recorded(bed, operation) for bed in beds]
    counts = [0] * effort.workers

    def share(number: int) -> list[tuple[int, Outcome]]:
        bed, recording = beds[number], recordings[number]
        states = list(recording.states())
        if not effort.full:
            states = spread(states, FEW)
        counts[number] = len(states)
        found = []
        for upto, tree in states[number :: effort.workers]:
            if effort.stop.is_set():
                break
            put(bed, tree)
            # What was said to be done is done, whatever happens from then on.
            error = None if upto == len(recording.ops) else HostFailed("the power was cut")
            found.append((upto, bed.next_command(error)))
        return found

    tally, wrong, ops = Tally(), [], len(recordings[0].ops)
    with ThreadPoolExecutor(effort.workers) as pool:
        cases = [case for found in pool.map(share, range(effort.workers)) for case in found]
    for upto, outcome in cases:
        tally.add(outcome.ended, "repaired" if outcome.repair_s is not None else "", "wrong" if outcome.wrong else "")
        tally.counts["lost"] = tally.of("lost") + outcome.lost
        if outcome.repair_s is not None:
            tally.repairs_s.append(outcome.repair_s)
        if outcome.wrong:
            wrong.append(f"power cut, {operation.name}, after file operation {upto} of {ops}: {outcome.wrong}")
    return tally, ops, counts[0], wrong


def recorded(bed: Bed, operation: Operation) -> disk.Recording:
    """Does an operation once, recorded; the recording, played to its end, must give the very tree that is there."""
    bed.make()
    operation.ready(bed)
    with suppress(RunbookError):
        bed.head = next((event.hash for event in reversed(bed.writer(AGAIN).journal())), "")
    if not bed.before:
        bed.before, bed.standing["old"] = bed.files(), bed.applied(bed.writer(AGAIN))
    before, log = tree(bed.base), bed.base.parent / "log"
    link = ShellLink(bed.project, bed.shell, through=recorder(log))
    host = HostWriter(link, str(bed.project), "shop", run=operation.run, who="eve@laptop", state_dir=str(bed.state),
                      plainly=operation in plain.OPERATIONS)  # fmt: skip
    operation.work(host, bed)
    bed.after, bed.standing["new"] = bed.files(), bed.applied(bed.writer(AGAIN))
    made = calls.record(log.read_text(), before, str(bed.base))
    log.unlink()
    there = tree(bed.base)
    if _told(made.tree()) != _told(there):
        raise RunbookError(f"the recording of {operation.name} does not give what is there: "
                           f"{sorted(set(_told(made.tree()).items()) ^ set(_told(there).items()), key=str)[:2]}")  # fmt: skip
    return made


def _told(found: disk.Tree) -> dict[str, disk.Entry]:
    """A tree without the modes of links and the folder above all, which no run changes."""
    return {path: replace(entry, meta=(0, 0, 0)) if entry.kind == "link" else entry for path, entry in found.items()}


def tree(base: Path) -> disk.Tree:
    """A bed's folders, and everything below the two that count."""
    there = {}
    for path in (base, *(found for name in COUNT for found in (base / name, *sorted((base / name).rglob("*"))))):
        if not path.exists() and not path.is_symlink():
            continue
        was = path.lstat()
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        data = os.fsencode(path.readlink()) if kind == "link" else b"" if kind == "folder" else path.read_bytes()
        there[str(path)] = disk.Entry(kind, data, (stat.S_IMODE(was.st_mode), was.st_uid, was.st_gid))
    return there


def put(bed: Bed, found: disk.Tree) -> None:
    """Makes a bed's folders what a tree says."""
    for path in (bed.project, bed.state):
        shutil.rmtree(path, ignore_errors=True)
    for name in sorted(found):
        entry, path = found[name], Path(name)
        if path == bed.base:
            continue
        if entry.kind == "link":
            path.symlink_to(os.fsdecode(entry.data))
            continue
        if entry.kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(entry.data)
        if os.getuid() == 0:
            os.chown(path, *entry.meta[1:])
        path.chmod(entry.meta[0])
