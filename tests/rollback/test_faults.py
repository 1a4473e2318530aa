"""The program that writes to hosts is struck at its calls: killed, torn in the middle of a write, or with a call that fails.

`./inv proof` strikes at every one of them, and in the whole test run each is struck once; here a spread of each operation.
"""

import os
import signal

import pytest

from inventory.errors import HostFailed
from lab.proof import strikes
from lab.proof.bed import FIRST, Bed
from lab.proof.shell import SHELLS
from lab.proof.table import Effort, spread
from rollback import commit

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
    whole = commit.program()
    assert "put()" in whole
    monkeypatch.setattr(commit, "program", lambda: whole.replace("\nput() {", "\nput() { return 0\n"))
    outcome = strikes.strike(bed, case)
    assert outcome.ended == "between"
    assert "mixed" in outcome.wrong


@pytest.mark.skipif(not EXHAUSTIVE, reason="the whole test run strikes every call once")
def test_every_call_of_every_operation_is_struck_once_and_every_host_is_whole():
    part = strikes.prove(Effort(workers=2))
    assert part.wrong == ()
    assert part.cases > 700
