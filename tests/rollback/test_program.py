"""Small promises of the program that writes to hosts, each of which a change of one of its words would break."""

import os
import stat

import pytest

from inventory.errors import HostFailed, Locked, Refused
from rollback.model import FileState, FileWrite, Transaction
from tests.rollback.test_commit import change

pytestmark = pytest.mark.slow


def shim(folder, name, text):
    """A command in front of the real one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def ready(writer):
    host = writer()
    host.prepare()
    host.lock()
    return host


def test_what_needs_a_state_folder_says_that_there_is_none(writer, project):
    with pytest.raises(Refused, match="there is no state folder"):
        writer().read([str(project / ".env")])


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_header_that_was_cut_off_is_refused_whatever_it_asks(ready, project, cut):
    run = ready.link.run
    ready.link.run = lambda *words, data=b"", **more: run(*words, data=data[:-cut], **more)
    with pytest.raises(Refused, match="did not arrive whole"):
        ready.read([str(project / "docker-compose.yml")])


def test_new_bytes_that_did_not_arrive_whole_are_refused_by_the_name_of_their_file(ready, project):
    transaction = change(ready, project)
    run = ready.link.run
    ready.link.run = lambda *words, data=b"", **more: run(*words, data=data[:-1], **more)
    with pytest.raises(Refused, match=r"/\S+ did not arrive whole"):
        ready.commit(transaction)
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"


def test_the_head_of_a_journal_without_a_line_is_zeros(writer, tmp_path):
    host = writer()
    assert host.prepare().head == "0" * 64
    (tmp_path / "state/journal").write_text("")
    assert host.prepare().head == "0" * 64
    (tmp_path / "state/journal").write_text('{"half')
    assert host.prepare().head == "0" * 64


@pytest.mark.parametrize("answer", ["exit 1", "exit 0"], ids=["fails", "says nothing"])
def test_a_host_without_a_clock_gives_no_lock(ready, writer, project, tmp_path, answer):
    ready.release()
    blind = writer(path=shim(tmp_path / "bin", "date", answer))
    with pytest.raises(Refused, match="the clock of this host cannot be read"):
        blind.lock()
    assert not (project / ".compose-runbook.lock").is_symlink()


@pytest.mark.parametrize("name", [".hidden", "..odd", "plain", "a link"])
def test_a_folder_that_was_made_stays_where_something_else_is_in_it_now(ready, project, name):
    made = FileState(str(project / "new/deep/made.conf"), None)
    write = FileWrite(made, b"x", uid=os.getuid(), gid=os.getgid())
    snapshot = ready.commit(Transaction("t-1", "run-1", "s", str(project), (write,)))
    beside = project / "new" / name
    beside.symlink_to("nowhere") if name == "a link" else beside.write_text("mine")
    ready.undo(snapshot)
    assert not (project / "new/deep").exists()
    assert beside.is_symlink() or beside.read_text() == "mine"


def test_folders_that_were_made_go_with_the_last_file_in_them(ready, project):
    before = sorted(path.name for path in project.iterdir())
    made = FileState(str(project / "new/deep/made.conf"), None)
    write = FileWrite(made, b"x", uid=os.getuid(), gid=os.getgid())
    ready.undo(ready.commit(Transaction("t-1", "run-1", "s", str(project), (write,))))
    assert sorted(path.name for path in project.iterdir()) == before


def test_the_last_command_is_the_one_that_came_last(ready, tmp_path):
    assert ready.last_command() == ("none", "")
    ready.execute(["true"], 20, about="up one")
    for folder in (tmp_path / "state/commands").iterdir():
        folder.rename(folder.with_name("1-1"))  # an older second: the names are when they began
    ready.execute(["sh", "-c", "exit 4"], 20, about="up two")
    assert ready.last_command() == ("exit 4", "up two")


def test_of_many_commands_notes_are_kept_of_the_newest_twenty(ready, writer, tmp_path):
    ready.execute(["true"], 20, about="up one")
    (kept,) = (tmp_path / "state/commands").iterdir()
    for number in range(100, 125):
        folder = kept.with_name(f"{number}-1")
        folder.mkdir()
        (folder / "exit").write_text("0\n")
        (folder / "about").write_text("{}\nold\n")
    ready.recover()
    names = sorted(path.name for path in (tmp_path / "state/commands").iterdir())
    assert len(names) == 20
    assert kept.name in names
    assert "100-1" not in names


def test_a_state_folder_that_a_group_shares_keeps_being_shared(writer, project, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o2770)
    host = writer()
    host.prepare()
    host.lock()
    host.commit(change(host, project))
    assert stat.S_IMODE((state / "journal").stat().st_mode) == 0o660
    assert stat.S_IMODE(next((state / "snapshots").glob("*.json")).stat().st_mode) == 0o660


def test_a_kept_copy_that_is_damaged_is_kept_anew(ready, project, tmp_path):
    ready.undo(ready.commit(change(ready, project)))
    for path in (tmp_path / "state/objects").iterdir():
        path.chmod(0o600)
        path.write_bytes(b"damaged")
    transaction = change(ready, project)
    snapshot = ready.commit(Transaction("t-9", "run-1", "s", str(project), transaction.writes))
    ready.undo(snapshot)
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"


def test_nothing_is_let_go_of_where_nothing_is_pending(ready):
    before = len(ready.journal())
    ready.abandon()
    assert len(ready.journal()) == before


def test_a_folder_in_the_place_of_a_file_is_neither_read_nor_written(ready, project):
    (project / "folder").mkdir()
    with pytest.raises(Refused, match="folder is not a regular file"):
        ready.read([str(project / "folder")])


def test_a_verb_that_nobody_knows_is_refused(ready):
    with pytest.raises(Refused, match="unknown verb nonsense"):
        ready._call("nonsense")


@pytest.mark.parametrize("what", ["cp", "sync", "mv"])
def test_a_command_that_always_fails_lets_nothing_be_written_and_says_what(writer, project, tmp_path, what):
    host = writer()
    host.prepare()
    host.lock()
    transaction = change(host, project)
    before = sorted((path.name, path.read_bytes()) for path in project.iterdir() if path.is_file())
    broken = writer(path=shim(tmp_path / "bin", what, "exit 1"))
    with pytest.raises((Refused, HostFailed), match=r"no space|cannot write|could not be written"):
        broken.commit(transaction)
    assert sorted((path.name, path.read_bytes()) for path in project.iterdir() if path.is_file()) == before
    host.recover()
    assert host.snapshots() == ()


def test_a_heartbeat_says_when_the_lock_was_broken_and_does_not_take_it_back(ready, writer, project):
    ready.renew()
    writer(run="run-2").unlock("run-1")
    with pytest.raises(Locked, match="this run no longer holds the lock"):
        ready.renew()
    assert not (project / ".compose-runbook.lock").is_symlink()
    other = writer(run="run-2")
    other.lock()
    with pytest.raises(Locked, match=r"holds the lock since .*\(run run-2\)"):
        ready.renew()
    assert other.owner().run == "run-2"
