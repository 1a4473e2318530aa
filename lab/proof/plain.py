"""Strikes the plain cases, each the one process of a program of `rollback/plain`, at every system call that it makes: killed there, or the call fails.

The shell's program goes on after it, as on a host: it takes back what could not be written, and leaves to the next command
what was killed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from inventory.errors import RunbookError
from inventory.link import Call
from lab.proof.bed import AGAIN, FIRST, Bed, Outcome, room
from lab.proof.shell import ShellLink
from lab.proof.strikes import Operation, locked, prepared
from lab.proof.table import Effort, Part, Tally, columns, each, part
from lab.proof.tracing import cannot
from rollback.commit import HostWriter
from rollback.journal import FIRST as FIRST_HASH
from rollback.model import FileWrite, Transaction
from runbooks import look, programs

TITLE = "The plain cases, struck at each of their system calls"
COLUMNS = columns("operation", "struck")
FAULTS = {
    "signal=KILL": "killed before a call",
    "error=EIO": "a call fails",
    "error=ENOSPC": "there is no room for a call",
}
CALLS = (
    "openat", "read", "write", "lseek", "close", "fsync", "rename", "unlink", "mkdir", "rmdir", "symlink", "readlink", "fchmod", "fchown",
    "chdir", "flock", "newfstatat", "access", "getdents64", "statfs", "pipe2", "clone", "dup2", "fcntl", "wait4", "execve", "exit_group",
)  # fmt: skip
"""What it can be struck at: all that it says to the system, but for memory."""
NAMES = {"docker-compose.yml": b"services: {web: {image: b}}\n" * 40, "conf/app.env": b"A=2\n"}


def change(bed: Bed, host: HostWriter) -> Transaction:
    """Two files that are replaced, one of them in a folder, and one that was only read."""
    found = host.read([str(bed.project / each) for each in (*NAMES, "old.conf")])
    states = [state for state, _ in found.values()]
    writes = tuple(FileWrite(state, data) for state, data in zip(states, NAMES.values(), strict=False))
    return Transaction("t-1", host.run, "conditions", str(bed.project), writes, reads=(states[-1],))


def _committed(bed: Bed) -> None:
    prepared(bed)
    host = bed.writer(plainly=True)
    commit(host, bed)
    host.release()


def commit(host: HostWriter, bed: Bed) -> None:
    """The lock and a plain transaction, in one exchange."""
    made = change(bed, host)
    host.lock(wait=False)
    host.commit(made)


def undo(host: HostWriter, _bed: Bed) -> None:
    """The lock and the undoing of it, in one exchange."""
    made = next(found for found in host.snapshots() if found.id == "t-1")
    host.lock(wait=False)
    host.undo(made)


def end(host: HostWriter, _bed: Bed) -> None:
    """A note, and the lock given back, in one exchange."""
    host.note("gate", {"outcome": "pass"}, wait=False)
    host.release()


def read(host: HostWriter, bed: Bed) -> None:
    """Opens a host and reads two files of it, in one exchange; in one more where it is not plain. What is said then is true."""
    (opening,) = host.opening()
    paths = [str(bed.project / name) for name in ("docker-compose.yml", "old.conf")]
    data = "".join(map(programs.path_line, paths)).encode()
    reading = Call(programs.program("survey"), (str(bed.project), look.FILES), data)
    found = look.plainly(host.link, opening, reading, timeout_s=60, limit=1 << 26) if host.plainly else ()
    *first, last = found or host.link.together([opening, reading])
    bytes_of = programs.answers(last.out, "here").files
    if not host.heard(first) or bytes_of != {path: Path(path).read_bytes() for path in paths}:
        raise AssertionError(f"what was said is not so: {first}, {last}")
    head, snapshots = host.prepare().head, host.snapshots()
    events = host.journal()
    if (head, snapshots) != (events[-1].hash if events else FIRST_HASH, host.snapshots()) or host.recover():
        raise AssertionError(f"what was said of the state is not so: {head}, {snapshots}")


OPERATIONS = (
    Operation("plain commit", prepared, commit),
    Operation("plain undo", _committed, undo),
    Operation("plain end", locked, end),
    Operation("plain reading of a host that is new", lambda _bed: None, read),
    Operation("plain reading", _committed, read),
)


@dataclass(frozen=True)
class Case:
    """One strike: how, and at which of the process's calls: `call` is what it said, and the `nth` of its name (from 1)."""

    operation: Operation
    fault: str
    call: str
    nth: int


def prove(effort: Effort) -> Part:
    """Every fault at every call; in short form each call once, each in another way."""
    begin = time.monotonic()
    why = cannot() or ("" if shutil.which("perl") else "the plain case needs perl: apt-get install perl-base")
    if why:
        return Part(TITLE, COLUMNS, (), 0, skipped=(why,))
    tallies: dict[tuple[str, str], Tally] = {}
    points = 0
    with room() as base:
        for operation in OPERATIONS:
            free: SimpleQueue[Bed] = SimpleQueue()
            calls: tuple[str, ...] = ()
            for number in range(effort.workers):
                bed, calls = measured(base / f"{operation.name} {number}", operation)
                free.put(bed)
            cases = list(_cases(effort, operation, calls))
            points += len(cases)

            def one(case: Case, free: SimpleQueue[Bed] = free) -> tuple[Case, Outcome]:
                bed = free.get()
                try:
                    return case, strike(bed, case, again=effort.full)
                finally:
                    free.put(bed)

            for case, outcome in each(effort, one, cases):
                tally = tallies.setdefault((operation.name, case.fault), Tally())
                tally.take(outcome, f"{operation.name}, {case.fault} at {case.nth}: {case.call[:80]}")
            effort.tell(f"{operation.name}: {len(cases)} strikes")
    rows = [tally.row(name, FAULTS[fault]) for (name, fault), tally in tallies.items()]
    short = effort.short_of(sum(tally.cases for tally in tallies.values()), points)
    return part(TITLE, COLUMNS, rows, tallies.values(), time.monotonic() - begin, short)


def measured(base: Path, operation: Operation) -> tuple[Bed, tuple[str, ...]]:
    """A bed for an operation that was done once, unharmed, and the calls that it makes."""
    bed = Bed(base)
    bed.make()
    operation.ready(bed)
    bed.keep()
    bed.again()
    bed.head = next((event.hash for event in reversed(bed.writer(AGAIN).journal())), "")
    bed.before, bed.standing["old"] = bed.files(), bed.applied(bed.writer(AGAIN))
    operation.work(struck(bed), bed)
    calls = tuple((bed.calls / "log").read_text().splitlines())
    bed.after, bed.standing["new"] = bed.files(), bed.applied(bed.writer(AGAIN))
    return bed, calls


def struck(bed: Bed, fault: str = "", name: str = "", nth: int = 0) -> HostWriter:
    """A writer whose plain case is struck at its `nth` call of a name: strace counts each name by itself."""
    shim = bed.calls / "perl"
    inject = f"-e inject={name}:{fault}:when={nth}" if fault else ""
    shim.write_text(
        f'#!/bin/sh\nexec strace -qq -o "{bed.calls}/log" -e trace={",".join(CALLS)} {inject} "{shutil.which("perl")}" "$@"\n'
    )
    shim.chmod(0o755)
    link = ShellLink(bed.project, bed.shell, path=str(bed.calls))
    return HostWriter(link, str(bed.project), "shop", run=FIRST, who="eve@laptop", state_dir=str(bed.state))


def _cases(effort: Effort, operation: Operation, calls: tuple[str, ...]) -> Iterator[Case]:
    for number, (call, nth) in enumerate(numbered(calls)):
        # A close that fails has closed; strace would leave it open.
        fitting = list(FAULTS)[: 1 if call.startswith("close(") else None]
        for fault in fitting if effort.full else [fitting[(number + len(operation.name)) % len(fitting)]]:
            yield Case(operation, fault, call, nth)


def numbered(calls: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each call, and the how manieth of its name it is. What else is said, of signals and of the end, is none."""
    seen: dict[str, int] = {}
    for call in calls:
        name = call.partition("(")[0]
        if name in CALLS and name != "exit_group":
            seen[name] = seen.get(name, 0) + 1
            yield call, seen[name]


def strike(bed: Bed, case: Case, *, again: bool = False) -> Outcome:
    """Does one case. `again`: then also does the operation once more, unharmed, which must succeed."""
    bed.again()
    error: RunbookError | None = None
    try:
        case.operation.work(struck(bed, case.fault, case.call.partition("(")[0], case.nth), bed)
    except RunbookError as found:
        error = found
    outcome = bed.next_command(error)
    if outcome.wrong or not again or outcome.ended == "new":
        return outcome
    try:
        case.operation.work(bed.writer(AGAIN, plainly=True), bed)
    except RunbookError as found:
        return replace(outcome, wrong=f"it cannot be done again: {found}")
    return outcome if bed.files() == bed.after else replace(outcome, wrong="done again, it gives something else")
