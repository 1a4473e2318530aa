"""The program that writes to hosts is struck at its calls: killed, torn in the middle of a write, or with a call that fails.

`./inv proof` strikes at every one of them, and in the whole test run each is struck once; here a spread of each operation.
"""

import os
import signal
from importlib import import_module

import pytest

from inventory.errors import HostFailed
from lab.proof import calls, prove, strikes
from lab.proof.bed import FIRST, Bed
from lab.proof.disk import Entry
from lab.proof.shell import SHELLS
from lab.proof.table import Effort, spread
from rollback import door

pytestmark = pytest.mark.slow

EXHAUSTIVE = bool(os.environ.get("RUNBOOK_EXHAUSTIVE"))
SPREAD = 6
OPERATIONS = {operation.name: operation for operation in strikes.OPERATIONS}


@pytest.fixture
def bed(tmp_path, shell):
    made = Bed(tmp_path / "bed", shell)
    made.make()
    return made


def ready(bed, operation):
    operation.ready(bed)
    bed.keep()
    bed.again()
    return strikes.measured(bed, operation)


@pytest.mark.skipif(EXHAUSTIVE, reason="the proof strikes every call in this run")
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_call_is_struck_all_files_are_as_before_or_all_as_after(bed, name):
    operation = OPERATIONS[name]
    calls = list(enumerate(ready(bed, operation), 1))
    shift = list(OPERATIONS).index(name) + list(SHELLS).index(bed.shell)
    for number, (at, call) in enumerate(spread(calls[shift % 3 :], SPREAD if bed.shell == "dash" else 2)):
        fault = strikes.FAULTS[(number + shift) % len(strikes.FAULTS)]
        outcome = strikes.strike(bed, strikes.Case(operation, bed.shell, fault, at, call), again=number == 0)
        assert outcome.wrong == "", f"{fault} {at} {call}"
        assert outcome.lost == 0


def test_a_struck_program_is_a_failure_of_the_host_and_strikes_are_counted(bed):
    operation = OPERATIONS["commit"]
    calls = ready(bed, operation)
    bed.again()
    with pytest.raises(HostFailed, match=str(128 + signal.SIGKILL)):
        operation.work(strikes.struck(bed, FIRST, "before", 30), bed)
    assert 30 < len(list(bed.calls.glob("[0-9]*"))) < len(calls)


def test_the_proof_sees_a_program_that_does_not_repair(bed, monkeypatch):
    """The proof can fail: a program that says it has repaired, and has not, is told from one that has."""
    operation = OPERATIONS["commit"]
    calls = ready(bed, operation)
    at = next(number for number, call in enumerate(calls, 1) if call.startswith("rm -f") and "old.conf" in call)
    case = strikes.Case(operation, bed.shell, "before", at, "")
    assert strikes.strike(bed, case).wrong == ""
    whole = door.program()
    assert "put()" in whole
    monkeypatch.setattr(door, "program", lambda: whole.replace("\nput() {", "\nput() { return 0\n"))
    outcome = strikes.strike(bed, case)
    assert outcome.ended == "between"
    assert "mixed" in outcome.wrong


FOUND = {
    "a link that could not be read was replaced by a file": (
        "repair that reverts",
        "fail",
        "readlink -f {project}/.env",
    ),
    "half of a command's name made a line that no journal can hold": (
        "a command",
        "full",
        "head -n 1 {state}/commands/",
    ),
}
"""What the whole proof, every fault at every call, found once: the operation, the fault, and the call that it struck."""


@pytest.mark.parametrize("case", FOUND)
def test_what_the_proof_once_found_is_mended(bed, case):
    name, fault, call = FOUND[case]
    operation = OPERATIONS[name]
    words = call.format(project=bed.project, state=bed.state)
    struck = [(at, found) for at, found in enumerate(ready(bed, operation), 1) if found.startswith(words)]
    assert struck
    for at, found in struck:
        outcome = strikes.strike(bed, strikes.Case(operation, bed.shell, fault, at, found), again=True)
        assert outcome.wrong == "", f"{at} {found}"


@pytest.mark.skipif(not EXHAUSTIVE, reason="the whole test run does the proof in its short form")
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("name", "least"), [("calls", 800), ("plain", 900), ("power", 700), ("worlds", 250), ("exchanges", 60)]
)
def test_wherever_it_is_struck_every_host_is_whole_and_no_file_is_lost(name, least, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    part = import_module(prove.PARTS[name]).prove(Effort(workers=2))
    if part.skipped:
        pytest.skip("; ".join(part.skipped))
    assert part.wrong == ()
    assert part.lost == 0
    assert part.cases > least


def test_what_was_not_synced_may_be_lost_and_what_was_is_not():
    base = {"/r": Entry("folder", b"", (0o755, 0, 0)), "/r/a": Entry("file", b"old", (0o644, 0, 0))}
    lines = [
        '1 openat(AT_FDCWD<\\x2f>, "\\x2f\\x72\\x2f\\x62", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3<\\x2f\\x72\\x2f\\x62>',
        '1 write(3<\\x2f\\x72\\x2f\\x62>, "\\x6e\\x65\\x77", 3) = 3',
        "1 fsync(3<\\x2f\\x72\\x2f\\x62>) = 0",
        '1 renameat2(AT_FDCWD<\\x2f>, "\\x2f\\x72\\x2f\\x62", AT_FDCWD<\\x2f>, "\\x2f\\x72\\x2f\\x61", 0) = 0',
        "1 fsync(3<\\x2f\\x72>) = 0",
    ]

    def bodies(count):
        return {tree["/r/a"].data for _, tree in calls.record("\n".join(lines[:count]), base, "/r").states()}

    assert bodies(4) == {b"old", b"new"}  # whole or not at all: its bytes were synced before it took the name
    last = calls.record("\n".join(lines), base, "/r")
    assert {tree["/r/a"].data for upto, tree in last.states() if upto == len(last.ops)} == {b"new"}
    del lines[2]
    assert bodies(3) == {b"old", b"", b"n", b"new", b"\0\0\0"}  # moved before its bytes were synced: anything


def test_of_a_file_that_is_cut_shorter_in_place_nothing_that_stays_is_in_doubt():
    base = {"/r": Entry("folder", b"", (0o755, 0, 0)), "/r/a": Entry("file", b"a line, half", (0o644, 0, 0))}
    lines = ["1 ftruncate(3<\\x2f\\x72\\x2f\\x61>, 6) = 0", "1 fsync(3<\\x2f\\x72\\x2f\\x61>) = 0"]

    def bodies(*made):
        recording = calls.record("\n".join(made), base, "/r")
        return {tree["/r/a"].data for upto, tree in recording.states() if upto == len(recording.ops)}

    assert bodies(lines[0]) == {b"a line, half", b"a line"}
    assert bodies(*lines) == {b"a line"}
    more = '1 write(3<\\x2f\\x72\\x2f\\x61>, "\\x2e\\x2e", 2) = 2'
    assert b"\0" * 8 in bodies(lines[0], more)  # what was written to it since may take any of it along
