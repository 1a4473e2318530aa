"""Whose a written file and a made folder are, and in which mode; what cannot be given is refused."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from inventory.errors import Refused
from lab.proof.shell import ShellLink
from rollback.commit import HostWriter
from tests.rollback.shims import FAILS, ready, seen, shimmed, shims, transaction

__all__ = ["ready", "shimmed", "shims"]

pytestmark = pytest.mark.slow

NOBODY = 65534
root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")


def test_made_folders_can_be_entered_whatever_the_umask(ready, project):
    ready.commit(transaction(ready, project, {"new/deep/made.conf": b"x"}))
    for name in ("new", "new/deep"):
        assert (project / name).stat().st_mode & 0o7777 == 0o755


@root
def test_a_made_folder_has_the_owner_of_its_file(ready, project):
    ready.commit(transaction(ready, project, {"new/deep/made.conf": b"x"}, uid=12, gid=34))
    for name in ("new", "new/deep", "new/deep/made.conf"):
        found = (project / name).stat()
        assert (found.st_uid, found.st_gid) == (12, 34)


@root
def test_a_mode_survives_the_change_of_owner(ready, project):
    ready.commit(transaction(ready, project, {"run.sh": b"x"}, mode=0o6750, uid=12, gid=34))
    found = (project / "run.sh").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o6750, 12, 34)


@root
@pytest.mark.parametrize("what", ["file", "folder"])
def test_an_owner_that_cannot_be_given_is_no_written_file(ready, project, shims, shimmed, what):
    change = transaction(ready, project, {"new/run.sh": b"x"}, uid=12, gid=34)
    before = seen(project)
    shims.at("chown", "*new" if what == "file" else "*:34 .", FAILS)
    with pytest.raises(Refused, match=r"run\.sh could not be written; every file is as it was"):
        shimmed.commit(change)
    assert shims.struck
    assert {name: entry for name, entry in seen(project).items() if name != "new"} == before


@pytest.fixture
def plain():
    """A writer with a plain user's rights, and its project, which such a user can reach."""
    base = Path(tempfile.mkdtemp())
    project = base / "shop"
    project.mkdir()
    for path in (base, project):
        os.chown(path, NOBODY, NOBODY)
    link = ShellLink(project, user=NOBODY)
    host = HostWriter(link, str(project), "shop", run="run-1", who="e@l", state_dir=str(base / "state"))
    host.prepare()
    host.lock()
    yield host, project
    shutil.rmtree(base)


@root
@pytest.mark.parametrize(
    ("owner", "said"),
    [((NOBODY, 1), "belongs to group 1, which"), ((1, NOBODY), "belongs to user 1, which")],
    ids=["group", "user"],
)
def test_an_owner_that_a_plain_user_cannot_give_is_refused_before_anything_is_written(plain, owner, said):
    host, project = plain
    with pytest.raises(Refused, match=rf"made {said} \S+ cannot restore"):
        host.commit(transaction(host, project, {"made": b"x"}, uid=owner[0], gid=owner[1]))
    assert not (project / "made").exists() and host.snapshots() == ()


@root
def test_a_file_of_another_user_is_not_taken_over(plain):
    host, project = plain
    (project / "theirs").write_text("a")
    (project / "theirs").chmod(0o644)
    with pytest.raises(Refused, match=r"theirs belongs to user 0, which \S+ cannot restore"):
        host.commit(transaction(host, project, {"theirs": b"b"}, uid=NOBODY, gid=NOBODY))
    assert (project / "theirs").read_text() == "a" and host.snapshots() == ()


@root
def test_files_that_their_owner_may_only_read_are_read_and_kept_one_after_another(shell, plain):
    host, project = plain
    host.link = ShellLink(project, shell, user=NOBODY)
    names = ("a.env", "b.env")
    for name in names:
        (project / name).write_text(name)
        (project / name).chmod(0o400)
        os.chown(project / name, NOBODY, NOBODY)
    for turn in (b"x", b"y"):
        host.commit(transaction(host, project, dict.fromkeys(names, turn), f"t-{turn.decode()}"))
        assert [(project / name).read_bytes() for name in names] == [turn, turn]
        assert {(project / name).stat().st_mode & 0o777 for name in names} == {0o400}


@root
def test_a_file_that_is_given_away_keeps_the_bits_that_a_new_owner_takes_along(ready, project):
    ready.commit(transaction(ready, project, {"run.sh": b"x"}, uid=12, gid=34, mode=0o4755))
    assert (project / "run.sh").stat().st_mode & 0o7777 == 0o4755
    assert (project / "run.sh").stat().st_uid == 12
