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


@root
def test_a_group_that_a_plain_user_cannot_give_is_refused_before_anything_is_written():
    base = Path(tempfile.mkdtemp())
    try:
        project = base / "shop"
        project.mkdir()
        for path in (base, project):
            os.chown(path, 65534, 65534)
        host = HostWriter(
            ShellLink(project, user=65534), str(project), "shop", run="run-1", who="e@l", state_dir=str(base / "state")
        )
        host.prepare()
        host.lock()
        for owner, said in (((65534, 1), "belongs to group 1, which"), ((1, 65534), "belongs to user 1, which")):
            with pytest.raises(Refused, match=rf"made {said} \S+ cannot restore"):
                host.commit(transaction(host, project, {"made": b"x"}, uid=owner[0], gid=owner[1]))
        assert not (project / "made").exists() and host.snapshots() == ()
    finally:
        shutil.rmtree(base)
