"""What cannot be done whole is refused before the first write: rights, room, owners, locks, a program that was cut off."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from inventory.errors import InputError, Locked, Refused, RunbookError
from rollback.commit import HostWriter, program, write_of
from rollback.model import FileState, FileWrite, Transaction
from tests.rollback.conftest import ShellLink
from tests.rollback.test_commit import change, content

ROOT = os.getuid() == 0
NOBODY = 65534


@pytest.fixture
def plain(tmp_path):
    """A writer with no more rights than a plain user has, and its project, which such a user can reach."""
    base = Path(tempfile.mkdtemp())
    project = base / "shop"
    project.mkdir()
    (project / "docker-compose.yml").write_text("services: {}\n")
    (project / ".env").write_text("A=1")
    if ROOT:
        for path in (base, project, *project.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    link = ShellLink(project, user=NOBODY if ROOT else None, more={"XDG_STATE_HOME": str(base / "home state")})
    yield HostWriter(link, str(project), "shop", run="run-1", who="eve@laptop", state_dir=str(base / "state")), project
    for path in (base, project):
        path.chmod(0o700)
    shutil.rmtree(base)


def owned(host, project, name="t-1"):
    """A change like `change`, by whoever the writer is."""
    states = [state for state, _ in host.read([str(project / "docker-compose.yml"), str(project / "made")]).values()]
    uid = NOBODY if ROOT else os.getuid()
    gid = NOBODY if ROOT else os.getgid()
    writes = (FileWrite(states[0], b"services: {web: {}}\n"), FileWrite(states[1], b"x", uid=uid, gid=gid))
    return Transaction(name, host.run, "s", str(project), writes)


def test_a_plain_user_can_undo_a_transaction_that_created_a_file(plain):
    host, project = plain
    before = content(project)
    host.prepare()
    host.lock()
    snapshot = host.commit(owned(host, project))
    assert (project / "made").read_bytes() == b"x"
    host.undo(snapshot)
    assert content(project) == before


@pytest.mark.skipif(not ROOT, reason="only root can make a file of another user")
def test_a_file_whose_owner_could_not_be_restored_is_refused_before_anything_is_written(plain):
    host, project = plain
    host.prepare()
    host.lock()
    os.chown(project / "docker-compose.yml", 0, 0)
    (project / "docker-compose.yml").chmod(0o644)
    before = content(project)
    with pytest.raises(Refused, match=r"belongs to user 0, which .* cannot restore"):
        host.commit(owned(host, project))
    assert content(project) == before
    assert host.snapshots() == ()


def test_a_folder_that_may_not_be_written_is_refused_at_once(plain):
    host, project = plain
    project.chmod(0o555)
    with pytest.raises(Refused, match="is not writable"):
        host.prepare()


def test_a_folder_below_the_project_that_may_not_be_written_is_refused_before_anything_is_written(plain):
    host, project = plain
    below = project / "conf"
    below.mkdir()
    (below / "a.conf").write_text("a")
    if ROOT:
        os.chown(below / "a.conf", NOBODY, NOBODY)
    below.chmod(0o555)
    host.prepare()
    host.lock()
    first, second = (s for s, _ in host.read([str(project / ".env"), str(below / "a.conf")]).values())
    with pytest.raises(Refused, match=r"the folder of .*a\.conf is not writable"):
        host.commit(Transaction("t", "run-1", "s", str(project), (FileWrite(first, b"A=2"), FileWrite(second, b"b"))))
    assert (project / ".env").read_text() == "A=1"
    below.chmod(0o755)


def test_a_named_state_folder_that_cannot_be_made_is_refused_with_the_mend(plain):
    host, project = plain
    project.parent.chmod(0o555)
    with pytest.raises(Refused, match=r"state cannot be made \(set state_dir, or ansible_become: true\)"):
        host.prepare()


def test_without_a_shared_state_folder_the_users_own_is_taken_and_said(plain):
    host, project = plain
    found = HostWriter(host.link, str(project), "no-such-shared-folder", run="r", who="e@l").prepare()
    assert found.state_dir == str(project.parent / "home state/compose-runbook/no-such-shared-folder")
    assert "other accounts of the host do not see them" in found.warning


@pytest.mark.parametrize(("old", "new"), [(100, 60_000), (60_000, 100)], ids=["for the data", "for what is there now"])
def test_no_room_is_refused_and_every_file_is_as_it_was(writer, project, old, new):
    (project / "docker-compose.yml").write_bytes(b"a" * old)
    host = writer()
    host.prepare()
    host.lock()
    ((state, _),) = host.read([str(project / "docker-compose.yml")]).values()
    before = content(project)
    full = writer(bounds="-f 40")
    with pytest.raises(Refused, match="no space"):
        full.commit(Transaction("t", "run-1", "s", str(project), (write_of(state, b"b" * new),)))
    assert content(project) == before
    assert host.snapshots() == ()
    assert host.recover() == ()
    host.commit(Transaction("t", "run-1", "s", str(project), (write_of(state, b"b" * new),)))


def test_a_program_that_was_cut_off_anywhere_does_nothing(writer, project, tmp_path):
    host = writer()
    host.prepare()
    host.lock()
    whole = program()
    last = len(whole.rstrip("\n"))
    transaction = change(host, project)
    sent = []
    link = host.link
    run = link.run
    link.run = lambda *words, data, **_: sent.append((words, data)) or run("exit 12")
    with pytest.raises(RunbookError):
        host.commit(transaction)
    ((_, *words), data) = sent[0]
    before, state = content(project), sorted((tmp_path / "state").rglob("*"))
    for end in (*range(0, last, max(1, last // 12)), *range(last - 9, last)):
        run(whole[:end], *words, data=data)
        assert content(project) == before, whole[:end][-40:]
        assert sorted((tmp_path / "state").rglob("*")) == state, whole[:end][-40:]
    assert run(whole[:last], *words, data=data).exit == 0
    assert content(project) != before


def test_data_that_did_not_arrive_whole_writes_nothing(writer, project):
    host = writer()
    host.prepare()
    host.lock()
    transaction = change(host, project)
    before = content(project)
    run = host.link.run
    host.link.run = lambda *words, data=b"", **more: run(*words, data=data[:-1], **more)
    with pytest.raises(Refused, match="did not arrive whole"):
        host.commit(transaction)
    host.link.run = run
    assert content(project) == before
    assert host.snapshots() == ()


def test_a_lock_that_gave_no_sign_is_called_stale_and_still_not_broken(writer, project):
    host = writer()
    host.prepare()
    then = int(time.time()) - 3600
    lock = project / ".compose-runbook.lock"
    lock.symlink_to(f"run=run-0 who=adam@desk since={then} renewed={then}")
    with pytest.raises(Locked, match=r"adam@desk holds .* and gave no sign since .*\./inv unlock"):
        host.lock()
    assert host.owner().stale
    assert "adam@desk" in host.unlock()
    host.lock()
    assert not host.owner().stale


@pytest.mark.parametrize("verb", ["recover", "prune", "commit"])
def test_nothing_is_mended_pruned_or_written_while_another_run_holds_the_lock(writer, project, tmp_path, verb):
    first, second = writer(), writer(run="run-2")
    first.prepare()
    first.lock()
    first.undo(first.commit(change(first, project)))
    transaction = change(second, project, "t-2")
    busy = tmp_path / "state/tmp/payload.1"
    busy.write_bytes(b"what the first run is writing now")
    objects = sorted((tmp_path / "state/objects").iterdir())
    work = {
        "recover": second.recover,
        "prune": lambda: second.prune([snapshot.id for snapshot in first.snapshots()]),
        "commit": lambda: second.commit(transaction),
    }[verb]
    with pytest.raises(Locked):
        work()
    assert busy.exists()
    assert sorted((tmp_path / "state/objects").iterdir()) == objects
    assert len(first.snapshots()) == 2
    first.release()
    if verb != "commit":
        work()
    assert second.owner() is None


def test_the_lock_of_a_run_that_mends_its_own_work_stays(writer):
    host = writer()
    host.prepare()
    host.lock()
    host.recover()
    assert host.owner().run == "run-1"


def test_a_lock_that_was_lost_is_noticed_by_the_next_commit(writer, project):
    host = writer()
    host.prepare()
    host.lock()
    transaction = change(host, project)
    (project / ".compose-runbook.lock").unlink()
    before = content(project)
    with pytest.raises(Locked, match="no longer holds the lock"):
        host.commit(transaction)
    assert content(project) == before


@pytest.mark.parametrize("text", ["/p/a\nb", "/p/a\rb", "/p/a\0b", "/p/\ud800", "/p/a "])
def test_a_path_that_no_line_can_hold_is_refused(writer, text):
    with pytest.raises(InputError, match="rename the file"):
        writer().read([text])


@pytest.mark.parametrize("name", ["", ".", "../x", "a b", "a/b", "ü", "a\n"])
def test_a_run_whose_name_could_lead_elsewhere_is_refused(writer, name):
    with pytest.raises(InputError):
        writer(run=name)


def test_a_write_that_changes_nothing_is_refused():
    state = FileState("/a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
    with pytest.raises(InputError, match="nothing would change"):
        write_of(state, b"a")
