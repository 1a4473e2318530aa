"""Strikes the program that writes to hosts at every external command that it runs, in each way, under each shell.

Whatever happens, the next command must find every file as before or every file as after, with mode and owner, nothing left
behind, the journal whole, and be able to go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from inventory.errors import RunbookError
from lab.proof.bed import AGAIN, FIRST, SECOND, Bed, Outcome, mend, room, undone
from lab.proof.table import Effort, Part, Tally, columns, each, part
from rollback.commit import HostWriter

FAULTS = ("before", "after", "torn", "fail", "full", "late")
WRITES_IN_PARTS = ("cp", "cat", "head", "tail")
COLUMNS = columns("operation", "struck")
MEANS = {
    "before": "killed before a call", "after": "killed after a call", "torn": "killed half way through a write",
    "fail": "a call fails", "full": "a write fails half way", "late": "a call works and says that it failed",
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """Something that is struck. `ready` brings a bed to where it begins, `work` is what is struck, by the run `run`."""

    name: str
    ready: Callable[[Bed], object]
    work: Callable[[HostWriter, Bed], object]
    run: str = FIRST


@dataclass(frozen=True)
class Case:
    """One strike: which operation under which shell, how, and at which of its calls (from 1; `call` are its words)."""

    operation: Operation
    shell: str
    fault: str
    at: int
    call: str


def prove(effort: Effort) -> Part:
    """Strikes all operations. In short form each call of each once, each in another way; the first
    shell (dash) strikes all, the others the transaction alone."""
    begin = time.monotonic()
    tallies: dict[tuple[str, str], Tally] = {}
    with room() as base:
        beds = {(shell, operation.name): _bed(base, shell, operation, effort.workers)
                for shell in effort.shells for operation in OPERATIONS if effort.full or shell == effort.shells[0] or operation in OPERATIONS[:2]}  # fmt: skip
        cases = [case for (shell, name), own in beds.items() for case in _cases(effort, shell, name, own)]
        effort.tell(f"{len(cases)} strikes")

        def one(case: Case) -> tuple[Case, Outcome]:
            queue = beds[case.shell, case.operation.name].free
            bed = queue.get()
            try:
                return case, strike(bed, case, again=effort.full)
            finally:
                queue.put(bed)

        for number, (case, outcome) in enumerate(each(effort, one, cases), 1):
            if number % 500 == 0:
                effort.tell(f"{number} of {len(cases)} struck")
            tally = tallies.setdefault((case.operation.name, case.fault), Tally())
            tally.take(outcome, f"{case.operation.name}, {case.shell}, {case.fault} {case.at} ({case.call[:60]})")
    rows = [tally.row(name, MEANS[fault]) for (name, fault), tally in tallies.items()]
    title = "The program on the host, struck at each of its calls"
    short = effort.short_of(sum(tally.cases for tally in tallies.values()), len(cases))
    return part(title, COLUMNS, rows, tallies.values(), time.monotonic() - begin, short)


@dataclass(frozen=True)
class _Beds:
    """Beds for one operation under one shell, and the calls that it makes."""

    operation: Operation
    free: SimpleQueue[Bed]
    calls: tuple[str, ...]


def _bed(base: Path, shell: str, operation: Operation, workers: int) -> _Beds:
    free: SimpleQueue[Bed] = SimpleQueue()
    calls: tuple[str, ...] = ()
    for number in range(workers):
        bed = Bed(base / f"{shell} {operation.name} {number}", shell)
        bed.make()
        operation.ready(bed)
        bed.keep()
        bed.again()
        calls = measured(bed, operation)
        free.put(bed)
    return _Beds(operation, free, calls)


def measured(bed: Bed, operation: Operation) -> tuple[str, ...]:
    """Does the operation unharmed; learns what its files are before and after, and the calls that it makes."""
    with suppress(RunbookError):  # its last line may be cut off
        bed.head = next((event.hash for event in reversed(bed.writer(AGAIN).journal())), "")
    if not bed.before:
        bed.before, bed.standing["old"] = bed.files(), bed.applied(bed.writer(AGAIN))
    operation.work(struck(bed, operation.run), bed)
    calls = tuple((bed.calls / str(number)).read_text().strip() for number in range(1, len(list(bed.calls.iterdir()))))
    bed.after, bed.standing["new"] = bed.files(), bed.applied(bed.writer(AGAIN))
    return calls


def struck(bed: Bed, run: str, fault: str = "", at: int = 0) -> HostWriter:
    """A writer whose program is struck at its `at`-th call."""
    more = {"FAULT": fault, "FAULT_AT": str(at), "FAULT_CALLS": str(bed.calls)}
    return bed.writer(run, more=more, before=prefix())


@cache
def prefix() -> str:
    """The text that counts and strikes, in front of the program."""
    return (Path(__file__).parent / "strike.sh").read_text()


def _cases(effort: Effort, shell: str, name: str, own: _Beds) -> Iterator[Case]:
    for at, call in enumerate(own.calls, 1):
        fitting = [fault for fault in FAULTS if fault not in ("torn", "full") or call.split()[0] in WRITES_IN_PARTS]
        shift = at + effort.shells.index(shell) + sum(map(ord, name))
        for fault in fitting if effort.full else [fitting[shift % len(fitting)]]:
            yield Case(own.operation, shell, fault, at, call)


def strike(bed: Bed, case: Case, *, again: bool = False) -> Outcome:
    """Does one case. `again`: then also does the operation once more, unharmed, which must succeed."""
    bed.again()
    operation = case.operation
    error: RunbookError | None = None
    try:
        operation.work(struck(bed, operation.run, case.fault, case.at), bed)
    except RunbookError as found:
        error = found
    outcome = bed.next_command(error)
    if outcome.wrong or not again or outcome.ended == "new" or bed.before == bed.after:
        return outcome
    third = bed.writer(AGAIN)
    try:
        third.lock()
        undone(third) if operation is OPERATIONS[1] else third.commit(bed.change(third))
    except RunbookError as found:
        return replace(outcome, wrong=f"it cannot be done again: {found}")
    wrong = "" if bed.files() == bed.after else "done again, it gives something else"
    return replace(outcome, wrong=wrong)


def locked(bed: Bed) -> HostWriter:
    """A prepared bed, and its lock taken."""
    host = bed.writer()
    host.prepare()
    host.lock()
    return host


def _committed(bed: Bed) -> None:
    host = locked(bed)
    host.commit(bed.change(host))


def _cut(bed: Bed, call: Callable[[str], bool]) -> None:
    """A transaction that was killed before the first call that fits; the lock is gone already, as after `unlock`."""
    host = locked(bed)
    bed.keep()
    bed.again()
    bed.before, bed.standing["old"] = bed.files(), []
    operation = OPERATIONS[0]
    at = next(number for number, words in enumerate(measured(bed, operation), 1) if call(words))
    bed.again()
    with suppress(RunbookError):
        operation.work(struck(bed, FIRST, "before", at), bed)
    host.release()


def _between(bed: Bed) -> None:
    _cut(bed, lambda words: words.startswith("rm -f ") and words.endswith("old.conf"))
    bed.after = {}


def _written(bed: Bed) -> None:
    _cut(bed, lambda words: words.startswith("rm -f ") and words.endswith("/pending"))


def _torn(bed: Bed) -> None:
    _committed(bed)
    bed.writer().release()
    bed.head = bed.writer().journal()[-1].hash
    journal = bed.state / "journal"
    journal.write_bytes(journal.read_bytes() + b'{"previous":"12')


def _loud(host: HostWriter, _bed: Bed) -> object:
    return host.execute(["sh", "-c", "echo a; echo b"], timeout_s=30, about="up web")


def prepared(bed: Bed) -> None:
    """A bed with a state folder."""
    bed.writer().prepare()


def _first_write(host: HostWriter, bed: Bed) -> None:
    change = bed.change(host)
    host.lock(wait=False)
    host.commit(change)


def _end(host: HostWriter, _bed: Bed) -> None:
    host.note("gate", {"outcome": "pass"}, wait=False)
    host.release()


def _undone(bed: Bed) -> None:
    host = locked(bed)
    host.undo(host.commit(bed.change(host)))


OPERATIONS = (
    Operation("commit", locked, lambda host, bed: host.commit(bed.change(host))),
    Operation("undo", _committed, lambda host, _bed: undone(host)),
    Operation("repair that reverts", _between, lambda host, _bed: mend(host), SECOND),
    Operation("repair that finishes", _written, lambda host, _bed: mend(host), SECOND),
    Operation("repair of the journal", _torn, lambda host, _bed: mend(host), SECOND),
    Operation("prepare", lambda _bed: None, lambda host, _bed: host.prepare()),
    Operation("lock", prepared, lambda host, _bed: host.lock()),
    Operation("heartbeat", locked, lambda host, _bed: host.renew()),
    Operation("release", locked, lambda host, _bed: host.release()),
    Operation("unlock", locked, lambda host, _bed: host.unlock(FIRST), SECOND),
    Operation("a command", locked, _loud),
    Operation("a journal line", locked, lambda host, _bed: host.note("gate", {"outcome": "pass"})),
    Operation("prune", _undone, lambda host, _bed: host.prune([found.id for found in host.snapshots()])),
    Operation("the lock with a commit", prepared, _first_write),
    Operation("a note with the release", locked, _end),
    Operation("reading", _committed, lambda host, bed: bed.change(host)),
)  # fmt: skip
