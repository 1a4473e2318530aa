"""A command that goes on without a link: what is said of it while it runs, when it ended and when it is lost."""

import contextlib
import os
import select
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from inventory.errors import Busy, HostFailed
from tests.rollback.shims import ready, shimmed, shims

__all__ = ["ready", "shimmed", "shims"]

pytestmark = pytest.mark.slow


@pytest.fixture
def running(ready, writer, tmp_path):
    """A command that runs until the function that this gives is called."""
    begun, goes_on = (fifo(tmp_path / name) for name in ("begun", "goes on"))
    words = ["sh", "-c", 'echo begun >"$1"; read -r _ <"$2"', "sh", str(tmp_path / "begun"), str(tmp_path / "goes on")]
    thread = threading.Thread(target=lambda: writer().execute(words, 60, about="up web"))
    thread.start()
    heard = select.poll()
    heard.register(begun, select.POLLIN)
    there = heard.poll(60_000)

    def end():
        os.write(goes_on, b"now\n")
        thread.join()

    if there:
        yield end
    end()
    for each in (begun, goes_on):
        os.close(each)
    assert there


def fifo(path):
    """A pipe with a name, open at both ends: nobody waits for anybody to open it."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR)


def test_a_command_that_still_runs_is_told_from_one_that_ended(running, ready):
    assert ready.last_command() == ("running", "up web")
    for _ in range(2):  # it is told again, as nobody has heard its end
        with pytest.raises(Busy, match="a command of an earlier run still runs: up web"):
            ready.recover()
    running()
    assert ready.last_command() == ("exit 0", "up web")
    assert ready.recover() == ("command exit 0: up web",)
    assert ready.recover() == ()


@pytest.mark.parametrize("life", ["", "999999999 1", "{self} 1"], ids=["no life", "no process", "another process"])
def test_a_command_that_is_lost_is_told_from_one_that_runs(ready, tmp_path, life):
    ready.execute(["true"], 20, about="up web")
    (folder,) = (tmp_path / "state/commands").iterdir()
    (folder / "exit").unlink()
    (folder / "life").write_text(life.format(self=os.getpid()))
    assert ready.last_command() == ("lost", "up web")
    assert ready.recover() == ("command lost: up web",)
    assert ready.recover() == ()


def test_a_command_that_nobody_has_fetched_the_end_of_is_lost(ready, tmp_path):
    ready.execute(["true"], 20, about="up web")
    (folder,) = (tmp_path / "state/commands").iterdir()
    (folder / "exit").unlink()
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        began = Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (folder / "life").write_text(f"{zombie.pid} {began}\n")
        assert ready.last_command() == ("lost", "up web")


def test_a_command_that_ends_while_it_is_looked_at_is_not_called_lost(ready, shims, shimmed, tmp_path):
    ready.execute(["true"], 20, about="up web")
    (folder,) = (tmp_path / "state/commands").iterdir()
    (folder / "exit").unlink()
    shims.at("cat", "*/life", 'cat "$@"; echo 0 >"${1%/life}/exit"; exit 0')
    assert shimmed.recover() == ("command exit 0: up web",)
    assert shims.struck


def test_more_than_twenty_notes_are_seen_without_anything_else_to_mend(ready, writer, tmp_path):
    ready.execute(["true"], 20, about="up one")
    ready.release()
    commands = tmp_path / "state/commands"
    (kept,) = commands.iterdir()
    for number in range(100, 120):
        shutil.copytree(kept, commands / f"{number}-1")
    assert writer(run="run-2").recover() == ()
    assert len(list(commands.iterdir())) == 20
    assert not (commands / "100-1").exists()
    assert kept.exists()


def ended(process):
    """Waits until a process is gone."""
    try:
        file = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        gone = select.poll()
        gone.register(file, select.POLLIN)
        return bool(gone.poll(60_000))
    finally:
        os.close(file)


LOST = {
    "hung up": "kill -HUP 0",
    "killed": 'read -r _ _ _ main _ <"/proc/$PPID/stat"; kill -9 "$main"',
}
"""How a link that is lost ends the program, done by the very command that it runs."""


@pytest.mark.parametrize("how", LOST)
def test_a_command_runs_on_when_the_link_is_lost_and_the_next_one_hears_its_end(ready, writer, project, tmp_path, how):
    with contextlib.suppress(HostFailed):  # what is killed answers nothing
        ready.execute(["sh", "-c", f"{LOST[how]}; echo done >ended; exit 5"], 60, about="up web")
    (folder,) = (tmp_path / "state/commands").iterdir()
    assert ended(int((folder / "life").read_text().split()[0]))
    assert writer().recover() == ("command exit 5: up web",)
    assert (project / "ended").read_text() == "done\n"
    begin, end = ready.journal()
    assert (begin.kind, end.kind, end.data["exit"]) == ("command-begin", "command-end", 5)
