"""Somebody who may write in the project's folder (a container that mounts it, say) swaps links in while the plain case is written.

The process is stopped before a system call, a link to something outside the project is put where it is about to work, and it
goes on. Whatever the moment, nothing outside changes: no byte, mode, owner or name.
"""

import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from inventory.errors import RunbookError
from lab.proof import plain
from lab.proof.bed import Bed
from lab.proof.table import spread
from lab.proof.tracing import cannot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine"),
    pytest.mark.skipif(bool(cannot()), reason=cannot()),
]

SPREAD = 80 if os.environ.get("RUNBOOK_EXHAUSTIVE") else 8
BOX = ".compose-runbook.t-1.2"


def swap(path, target, away):
    """A link in the place of what is there, or that is not there yet; what was there stays elsewhere."""
    with suppress(OSError):
        path.rename(away)
    with suppress(OSError):
        path.symlink_to(target)


SWAPS = {
    "a file": lambda bed, outside: swap(bed.project / "conf/app.env", outside / "app.env", bed.base / "away"),
    "its folder": lambda bed, outside: swap(bed.project / "conf", outside, bed.base / "away"),
    "the folder of the new file": lambda bed, outside: swap(bed.project / "conf" / BOX, outside, bed.base / "away"),
    "the new file": lambda bed, outside: swap(
        bed.project / "conf" / BOX / "new", outside / "app.env", bed.base / "away"
    ),
}


def seen(folder):
    return [
        (path.name, was.st_mode, was.st_uid, was.st_gid, was.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *sorted(folder.rglob("*")))
        for was in [path.lstat()]
    ]


def stopped(bed, thread):
    """The process once it has stopped; None where it ended without."""
    log = bed.calls / "log"
    while thread.is_alive():
        with suppress(OSError):
            if log.read_text().rstrip().endswith("--- stopped by SIGSTOP ---"):
                return next(
                    int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and is_it(each, bed)
                )
        time.sleep(0.001)
    return None


def is_it(process, bed):
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"/perl") and str(bed.state).encode() in words


@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", SWAPS)
def test_nothing_outside_the_project_changes_whatever_is_swapped_whenever(tmp_path, what):
    bed, calls = plain.measured(tmp_path / "bed", plain.OPERATIONS[0])
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("app.env", "new"):
        (outside / name).write_text("precious")
        (outside / name).chmod(0o640)
    points = [(call.partition("(")[0], nth, call) for call, nth in plain.numbered(calls)]
    first = next(at for at, (name, *_) in enumerate(points) if name == "symlink")
    points = [each for each in points[first:] if each[0] not in ("close", "lseek", "fcntl", "pipe2", "read")]
    was, met = seen(outside), 0
    for name, nth, call in spread(points, SPREAD):
        bed.again()
        shutil.rmtree(bed.base / "away", ignore_errors=True)
        (bed.base / "away").unlink(missing_ok=True)

        def work():
            with suppress(RunbookError):
                plain.commit(plain.struck(bed, "signal=STOP", name, nth), bed)  # noqa: B023 - it ends before the next

        thread = threading.Thread(target=work)
        thread.start()
        pid = stopped(bed, thread)
        if pid is not None:
            met += 1
            SWAPS[what](bed, outside)
            os.kill(pid, signal.SIGCONT)
        thread.join()
        assert seen(outside) == was, f"{what} at {nth}: {call}"
    assert met == SPREAD


def test_the_bed_is_one_that_the_process_does_alone(tmp_path):
    bed, calls = plain.measured(tmp_path / "bed", plain.OPERATIONS[0])
    assert isinstance(bed, Bed)
    assert sum(call.startswith('rename("new", ') for call in calls) == len(plain.NAMES)
