"""Strikes whole runs at every exchange between controller and host: the link lost, the controller killed, the engine stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from inventory.errors import Refused, RunbookError
from lab.proof import stack
from lab.proof.bed import Bed, mend, room
from lab.proof.table import Effort, Part, Tally, each
from rollback.commit import HostWriter
from runbooks.undo import applied

LOST, KILLED = ("before", "after", "half"), ("kill-before", "kill-during", "kill-after")
MEANS = {
    "before": "link lost before it", "after": "link lost after it", "half": "link lost in the midst of the data",
    "kill-before": "controller killed before it", "kill-during": "controller killed during it",
    "kill-after": "controller killed after it", "engine": "engine stopped from then on",
}  # fmt: skip
COLUMNS = (
    "run",
    "at each exchange",
    "cases",
    "files old",
    "files new",
    "after one step",
    "repaired",
    "mixed",
    "files lost",
    "other wrongs",
    "ms to repair",
)
ROOT = Path(__file__).resolve().parents[2]
END_LIMIT_S = 60.0


@dataclass(frozen=True)
class Case:
    """One strike at a run's `at`-th exchange."""

    run: str
    fault: str
    at: int


def prove(effort: Effort) -> Part:
    """Strikes `migrate` and `rollback` at each exchange: in every way, or once in each family in short form."""
    begin = time.monotonic()
    tallies: dict[tuple[str, str], Tally] = {}
    with room() as base:
        free: dict[str, SimpleQueue[Bed]] = {}
        cases = []
        for run in stack.RUNS:
            free[run], exchanges = beds(base / run, run, effort.workers)
            cases += list(_cases(run, exchanges, full=effort.full))
        effort.tell(f"{len(cases)} strikes at exchanges")

        def one(case: Case) -> tuple[Case, str, float | None, str, int]:
            bed = free[case.run].get()
            try:
                return case, *strike(bed, case), bed.lost()
            finally:
                free[case.run].put(bed)

        for case, ended, repair_s, wrong, lost in each(effort, one, cases):
            tally = tallies.setdefault((case.run, case.fault), Tally())
            tally.add(ended, "repaired" if repair_s is not None else "", "wrong" if wrong else "")
            tally.counts["lost"] = tally.of("lost") + lost
            if repair_s is not None:
                tally.repairs_s.append(repair_s)
            if wrong:
                tally.wrong.append(f"{case.run}, {MEANS[case.fault]}, exchange {case.at}: {wrong}")
    rows = tuple((run, MEANS[fault], t.cases, t.of("old"), t.of("new"), t.of("step"), t.of("repaired"), t.of("between"), t.of("lost"),
                  t.of("wrong") - t.of("between"), t.mean_repair_ms) for (run, fault), t in tallies.items())  # fmt: skip
    every = tallies.values()
    return Part(
        "Whole runs, struck at each exchange", COLUMNS, rows, sum(t.cases for t in every), tuple(line for t in every for line in t.wrong),
        effort.short_of(sum(t.cases for t in every), len(cases)), seconds=time.monotonic() - begin, lost=sum(t.of("lost") for t in every), repairs_s=tuple(s for t in every for s in t.repairs_s),
    )  # fmt: skip


def beds(base: Path, run: str, workers: int) -> tuple[SimpleQueue[Bed], int]:
    """Beds where a run can begin, and how many exchanges it makes unharmed."""
    free: SimpleQueue[Bed] = SimpleQueue()
    exchanges = 0
    for number in range(workers):
        bed = Bed(base / f"bed {number}")
        stack.make(bed)
        bed.before = bed.files()
        if run == "rollback":
            stack.migrate(bed, stack.Struck(bed))
        bed.keep()
        bed.again()
        link = stack.Struck(bed)
        code = stack.RUNS[run](bed, link)
        if code:
            raise RunbookError(f"an unharmed {run} ends with {code}")
        exchanges = link.exchanges
        bed.again()
        if run == "migrate":
            stack.migrate(bed, stack.Struck(bed))
        bed.after = bed.files()
        free.put(bed)
    return free, exchanges


def _cases(run: str, exchanges: int, *, full: bool) -> Iterator[Case]:
    for at in range(1, exchanges + 1):
        for family in (LOST, KILLED, ("engine",)):
            for fault in family if full else [family[at % len(family)]]:
                yield Case(run, fault, at)


def strike(bed: Bed, case: Case) -> tuple[str, float | None, str]:
    """Does one case. Returns how the files are after the next command's repair, how long that took, and what is wrong."""
    bed.again()
    away = bed.base / "bin" / "away"
    away.unlink(missing_ok=True)
    code = _struck(bed, case)
    away.unlink(missing_ok=True)
    second = stack.writer(stack.Struck(bed), "run-3")
    begin = time.monotonic()
    try:
        said = _patiently(second)
    except RunbookError as error:
        return bed.stands(), None, f"the next command fails: {error}"
    repair_s = (
        time.monotonic() - begin if any(line.startswith(("reverted", "finished", "mended")) for line in said) else None
    )
    ended = _stands(bed)
    if ended == "between":
        return ended, repair_s, "mixed"
    if code == 0 and ended != ("new" if case.run == "migrate" else "old"):
        return ended, repair_s, "it said that it was done, and it is not"
    try:
        number = len(applied(second.snapshots()))
        if number != {"old": 0, "step": 1, "new": 2}[ended]:
            return ended, repair_s, f"files are {ended}, and {number} snapshot(s) stand"
        second.journal()
        stack.rollback(bed, stack.Struck(bed), run="run-4")
    except RunbookError as error:
        return ended, repair_s, f"afterwards: {error}"
    return ended, repair_s, "" if bed.files() == bed.before else "a rollback does not give everything back"


def _struck(bed: Bed, case: Case) -> int | None:
    """The run's exit code; None where it was killed or ended with an error."""
    if case.fault in KILLED:
        words = [sys.executable, "-m", "lab.proof.controller", str(bed.base), case.run, case.fault, str(case.at)]
        environment = {**os.environ, "RUNBOOK_STATE": str(bed.base / "controller")}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120,
                              start_new_session=True)  # fmt: skip
        return done.returncode if done.returncode >= 0 else None
    with suppress(RunbookError):
        return stack.RUNS[case.run](bed, stack.Struck(bed, case.fault, case.at))
    return None


def _patiently(host: HostWriter) -> tuple[str, ...]:
    """What the next command repairs. A program that the lost controller began may still be at it: then it is waited for, as
    an operator is told to."""
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        try:
            return mend(host)
        except Refused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _stands(bed: Bed) -> str:
    """Old, new, after the first step only, or between."""
    step = {**bed.before, **{name: entry for name, entry in bed.after.items() if name == stack.MADE}}
    found = bed.files()
    if found in (bed.before, bed.after):
        return "old" if found == bed.before else "new"
    body = bed.before[stack.COMPOSE][0]
    step[stack.COMPOSE] = ((body if isinstance(body, bytes) else b"") + b"# 1\n", *bed.before[stack.COMPOSE][1:])
    return "step" if found == step else "between"
