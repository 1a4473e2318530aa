"""A transaction writes all files or none, and an undo gives back every byte, mode and owner."""

import os
import stat

import pytest

from inventory.errors import Drift, Locked, Refused
from rollback.model import FileWrite, Transaction


def change(writer, project, name="t-1", new=b"services: {web: {}}\n"):
    compose, env, made = (str(project / file) for file in ("docker-compose.yml", ".env", "made.conf"))
    states = {path: state for path, (state, _) in writer.read([compose, env, made]).items()}
    return Transaction(
        id=name, run=writer.run, step="conditions", project_dir=str(project),
        writes=(FileWrite(states[compose], new), FileWrite(states[made], b"x\r\n", uid=os.getuid(), gid=os.getgid())),
        reads=(states[env],), images={"web": "sha256:1"},
    )  # fmt: skip


def content(project):
    return {
        path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in project.iterdir()
        if path.is_file() and not path.is_symlink()
    }


def test_a_commit_writes_and_its_undo_gives_everything_back(shell, writer, project):
    host = writer(shell)
    before = content(project)
    host.prepare()
    host.lock()
    snapshot = host.commit(change(host, project))
    assert (project / "docker-compose.yml").read_bytes() == b"services: {web: {}}\n"
    assert (project / "made.conf").read_bytes() == b"x\r\n"
    assert [found.id for found in host.snapshots()] == [snapshot.id]
    host.undo(snapshot)
    host.release()
    assert content(project) == before
    kinds = [event.kind for event in host.journal()]
    assert kinds == ["begin", "commit", "begin", "commit"]


def test_a_file_changed_since_it_was_read_is_drift_and_nothing_is_written(shell, writer, project):
    host = writer(shell)
    host.prepare()
    host.lock()
    transaction = change(host, project)
    (project / ".env").write_text("A=2")
    before = content(project)
    with pytest.raises(Drift, match=r"\.env .*was changed"):
        host.commit(transaction)
    assert content(project) == before


@pytest.mark.parametrize("what", ["mode", "gone", "folder"])
def test_drift_is_seen_in_each_form(writer, project, what):
    host = writer()
    host.prepare()
    host.lock()
    transaction = change(host, project)
    file = project / "docker-compose.yml"
    if what == "mode":
        file.chmod(0o600)
    else:
        file.unlink()
    if what == "folder":
        file.mkdir()
    with pytest.raises(Drift):
        host.commit(transaction)
    assert not (project / "made.conf").exists()


def test_a_link_out_of_the_project_is_refused_and_one_inside_is_followed(shell, writer, project, tmp_path):
    host = writer(shell)
    host.prepare()
    host.lock()
    outside = tmp_path / "outside.yml"
    outside.write_text("a: 1\n")
    inside = project / "real.yml"
    inside.write_text("a: 1\n")
    for name, target in (("out.yml", outside), ("in.yml", inside)):
        (project / name).symlink_to(target)
    states = {
        path: state for path, (state, _) in host.read([str(project / "out.yml"), str(project / "in.yml")]).items()
    }

    def write(name):
        state = states[str(project / name)]
        return Transaction(name, "run-1", "s", str(project), (FileWrite(state, b"a: 2\n"),))

    with pytest.raises(Refused, match="leads out of the project"):
        host.commit(write("out.yml"))
    assert outside.read_text() == "a: 1\n"
    host.commit(write("in.yml"))
    assert inside.read_text() == "a: 2\n"
    assert (project / "in.yml").is_symlink()


def test_the_lock_names_its_owner_and_is_not_broken_by_others(shell, writer, project):
    first, second = writer(shell), writer(shell, run="run-2")
    first.prepare()
    first.lock()
    first.lock()
    with pytest.raises(Locked, match="eve@laptop holds the lock since"):
        second.lock()
    with pytest.raises(Locked):
        second.commit(change(second, project))
    first.renew()
    second.release()
    assert first.owner().run == "run-1"
    assert "run=run-1" in second.unlock()
    with pytest.raises(Locked):
        first.renew()


def test_undo_refuses_a_file_that_was_changed_since_and_force_keeps_a_copy(writer, project, tmp_path):
    host = writer()
    host.prepare()
    host.lock()
    snapshot = host.commit(change(host, project))
    (project / "docker-compose.yml").write_bytes(b"edited by hand\n")
    with pytest.raises(Drift):
        host.undo(snapshot)
    undone = host.undo(snapshot, force=True)
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"
    kept = next(state for state in undone.before if state.path.endswith("docker-compose.yml"))
    assert (tmp_path / "state/objects" / kept.sha256).read_bytes() == b"edited by hand\n"


def test_a_command_is_journalled_with_its_exit_code_and_output(shell, writer, project):
    host = writer(shell)
    host.prepare()
    reply = host.execute(["sh", "-c", "printf 'a b'; exit 7", "-", "it's $(x)"], timeout_s=20)
    assert (reply.exit, reply.out) == (7, b"a b")
    assert host.last_command()[0] == "exit 7"
    begin, end = host.journal()
    assert (begin.kind, end.kind, end.data["exit"]) == ("command-begin", "command-end", 7)


@pytest.mark.slow
def test_strange_names_and_bytes_survive(shell, writer, project):
    host = writer(shell)
    host.prepare()
    host.lock()
    names = ["-rf", "$(touch x)", "a'b\"c", " lead", "ü", "back\\slash"]
    data = bytes(range(256)) * 3
    for name in names:
        (project / name).write_bytes(data)
    states = [state for state, _ in host.read([str(project / name) for name in names]).values()]
    assert len(states) == len(names)
    snapshot = host.commit(
        Transaction("odd", "run-1", "s", str(project), tuple(FileWrite(s, data[::-1]) for s in states))
    )
    assert all((project / name).read_bytes() == data[::-1] for name in names)
    host.undo(snapshot)
    assert all((project / name).read_bytes() == data for name in names)
    assert not (project / "x").exists()


def test_pruning_removes_objects_that_no_snapshot_needs(writer, project, tmp_path):
    host = writer()
    host.prepare()
    host.lock()
    first = host.commit(change(host, project))
    host.undo(first)
    host.prune([snapshot.id for snapshot in host.snapshots()])
    assert host.snapshots() == ()
    assert list((tmp_path / "state/objects").iterdir()) == []
