"""Stops the program at any of its calls: killed, torn in the middle of a write, or with an effect that fails.

Every effect of `host.sh` is an external command, so shims that stand first on PATH count the calls and strike at the
n-th. Whatever happens, the next run finds every file as before or every file as after, and can go on.
"""

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from inventory.errors import HostFailed, Locked, RunbookError
from rollback.model import FileWrite, Transaction
from runbooks.undo import applied

EXHAUSTIVE = bool(os.environ.get("RUNBOOK_EXHAUSTIVE"))
SPREAD = 3
"""Calls that are struck in the fast run, evenly spread, others for each fault; all with RUNBOOK_EXHAUSTIVE=1."""
FAULTS = ("kill", "torn", "fail")
EFFECTS = ("cp", "mv", "rm", "chmod", "chown", "sync", "ln", "mkdir", "tail", "head", "cat")
# Each call takes the next free number, also when two of a pipeline come at once.
SHIM = r"""#!/bin/sh
name=${0##*/} number=1
PATH=${PATH#"${0%/*}:"}
[ "${FAULT_ONLY:-$name}" = "$name" ] || exec "$name" "$@"
set -C
until { true >"$FAULT_CALLS/$number"; } 2>/dev/null; do number=$((number + 1)); done
set +C
[ "$number" = "$FAULT_AT" ] || exec "$name" "$@"
half() { head -c $(($(wc -c <"$1") / 2)) "$1"; }
case $FAULT$name in
    fail*) exit 1 ;;
    torncp) half "$1" >"$2" ;;
    torncat) if [ $# = 0 ]; then head -c 40; else half "$1"; fi ;;
esac
kill -9 0
"""


@pytest.fixture
def shims(tmp_path):
    folder = tmp_path / "shims"
    folder.mkdir()
    for name in EFFECTS:
        (folder / name).write_text(SHIM)
        (folder / name).chmod(0o755)
    return folder


class Bed:
    """A project and its state, as they are before the operation that is struck; put back as often as one likes."""

    def __init__(self, tmp_path, writer, shims):
        self.tmp_path, self.writer, self.shims = tmp_path, writer, shims
        self.project = tmp_path / "a project's folder"

    def keep(self):
        """What `again` puts back."""
        for name in ("a project's folder", "state"):
            shutil.copytree(self.tmp_path / name, self.tmp_path / "kept" / name, symlinks=True)

    def again(self):
        for name in ("a project's folder", "state"):
            shutil.rmtree(self.tmp_path / name)
            shutil.copytree(self.tmp_path / "kept" / name, self.tmp_path / name, symlinks=True)

    def struck(self, work, fault, at, run="run-1", only=""):
        """Does `work` with a writer whose program is struck at its n-th call (of the command `only`). Returns the error
        that it ended with, and how many calls it made."""
        calls = self.tmp_path / "calls"
        shutil.rmtree(calls, ignore_errors=True)
        calls.mkdir()
        more = {"FAULT": fault, "FAULT_AT": str(at), "FAULT_CALLS": str(calls), "FAULT_ONLY": only}
        host = self.writer(run=run, path=str(self.shims), more=more)
        try:
            work(host)
            error = None
        except RunbookError as found:
            error = found
        return error, len(list(calls.iterdir()))

    def files(self):
        """Every entry of the project but the lock: drafts left behind would show."""
        return {
            str(path.relative_to(self.project)): (content(path), owner(path))
            for path in self.project.rglob("*")
            if path.name != ".compose-runbook.lock"
        }


def content(path: Path):
    if path.is_symlink():
        return path.readlink()
    return None if path.is_dir() else path.read_bytes()


def owner(path: Path):
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def change(host, project, name):
    """Two files that are there, and one that is created in a folder of a folder that are not."""
    paths = [str(project / file) for file in ("docker-compose.yml", ".env", "conf/deep/made.conf")]
    compose, env, made = (state for state, _ in host.read(paths).values())
    writes = (
        FileWrite(compose, b"services: {web: {}}\n" * 40),
        FileWrite(env, b"A=2\n"),
        FileWrite(made, b"x\r\n", mode=0o640, uid=os.getuid(), gid=os.getgid()),
    )
    return Transaction(name, host.run, "conditions", str(project), writes)


def points(total, fault):
    """The calls to strike: all of them, or an even spread, shifted for each fault."""
    if EXHAUSTIVE:
        return list(range(1, total + 1))
    shift = FAULTS.index(fault) / len(FAULTS)
    return sorted({1 + int((step + shift) * total / SPREAD) for step in range(SPREAD)})


@pytest.fixture
def bed(tmp_path, writer, project, shims):
    """The operation `commit` or `undo`, ready to be struck, with the files before and after it."""
    made = Bed(tmp_path, writer, shims)

    def ready(operation):
        host = writer()
        host.prepare()
        host.lock()
        before = made.files()
        transaction = change(host, project, "t-1")
        if operation == "undo":
            snapshot = host.commit(transaction)
            before = made.files()
        made.keep()
        work = (lambda struck: struck.undo(snapshot)) if operation == "undo" else (lambda it: it.commit(transaction))
        error, calls = made.struck(work, "kill", 0)
        assert error is None, error
        return work, before, made.files(), calls

    made.ready = ready
    return made


def whole(bed, before, after, operation):
    """What the next run finds and does: it mends, and says of each file and each snapshot the same. True: it is done."""
    second = bed.writer(run="run-2")
    with pytest.raises(Locked, match="eve@laptop holds the lock"):
        second.recover()
    second.unlock()
    second.recover()
    assert second.recover() == ()
    found = bed.files()
    assert found in (before, after)
    stands = ["t-1"] if (found == after) == (operation == "commit") else []
    assert [snapshot.id for snapshot in applied(second.snapshots())] == stands
    kinds = [event.kind for event in second.journal()]
    # Struck between its first line and its first write: it never began, whatever the journal says of it.
    assert kinds.count("begin") - kinds.count("commit") - kinds.count("revert") in ((0,) if found == after else (0, 1))
    assert second.owner() is None
    return found == after


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["commit", "undo"])
def test_whatever_call_is_struck_all_files_are_as_before_or_all_as_after(bed, project, operation, fault):
    work, before, after, calls = bed.ready(operation)
    outcomes = {True: 0, False: 0}
    for at in points(calls, fault):
        bed.again()
        error, _ = bed.struck(work, fault, at)
        assert error is not None or fault == "fail", f"call {at} was not struck"
        done = whole(bed, before, after, operation)
        outcomes[done] += 1
        assert done or error is not None, f"call {at} failed, and nobody was told"
        if not done and (EXHAUSTIVE or outcomes[False] == 1):
            again = bed.writer(run="run-3")
            again.lock()
            if operation == "undo":
                again.undo(next(snapshot for snapshot in again.snapshots() if snapshot.id == "t-1"))
            else:
                again.commit(change(again, project, "t-1"))
            assert bed.files() == after
    assert outcomes[False]
    assert outcomes[True] or not EXHAUSTIVE


@pytest.mark.parametrize("fault", FAULTS)
def test_mending_can_itself_be_struck_and_done_again(bed, fault):
    work, before, *_ = bed.ready("commit")
    bed.again()
    bed.struck(work, "kill", 3, only="chmod")  # it is called twice a file: the first has its new bytes, the second not
    assert bed.files()["docker-compose.yml"] != before["docker-compose.yml"]
    assert bed.files()[".env"] == before[".env"]
    bed.writer().release()
    shutil.rmtree(bed.tmp_path / "kept")
    bed.keep()
    error, calls = bed.struck(lambda host: host.recover(), "kill", 0, run="run-2")
    assert error is None
    assert bed.files() == before
    for at in points(calls, fault):
        bed.again()
        bed.struck(lambda host: host.recover(), fault, at, run="run-2")
        third = bed.writer(run="run-3")
        third.unlock()
        third.recover()
        assert bed.files() == before
        assert applied(third.snapshots()) == []
        assert third.journal()[-1].kind == "revert"


def test_a_struck_program_is_a_failure_of_the_host(bed):
    work, *_ = bed.ready("commit")
    bed.again()
    error, calls = bed.struck(work, "kill", 3)
    assert isinstance(error, HostFailed)
    assert str(128 + signal.SIGKILL) in str(error)
    assert calls == 3
