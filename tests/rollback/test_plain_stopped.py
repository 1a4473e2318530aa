"""The plain case on hosts where it cannot be done to its end, or not by this user, or where `perl` is strange."""

import os
import shutil

import pytest

from inventory.errors import Refused, RunbookError
from lab.proof.bed import AGAIN
from tests.rollback.twins import BROKEN, COMPOSE, ENV, LEFT, NEW, twins

__all__ = ["twins"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("perl"), reason="perl is not on this machine")]
root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")


@root
def test_a_file_keeps_its_owner_and_a_new_one_is_given_with_its_mode(twins):
    for twin in twins:
        os.chown(twin.bed.project / COMPOSE, 12, 34)
        host = twin.prepared()
        twin.written(host, twin.change(host, {COMPOSE: NEW}))
        host.release()
        twin.written(host, twin.change(host, {ENV: NEW}, name="t-2", uid=56, gid=78, mode=0o4755))
    assert twins[0].all() == twins[1].all() and twins[0].codes.read_text().split() == ["0", "0"]
    was = (twins[0].bed.project / ENV).stat()
    assert (was.st_uid, was.st_gid, was.st_mode & 0o7777) == (56, 78, 0o4755)


@root
def test_another_users_file_and_a_folder_that_may_not_be_written_are_left_to_the_shell(twins):
    for what in (lambda bed: os.chown(bed.project / COMPOSE, 0, 0), lambda bed: (bed.project / "conf").chmod(0o555)):
        said = []
        for twin in twins:
            twin.codes.unlink(missing_ok=True)
            for path in (twin.bed.base, twin.bed.project, *twin.bed.project.rglob("*")):
                os.chown(path, 65534, 65534, follow_symlinks=False)
            host = twin.host(user=65534)
            for folder in twin.bed.base.parents:
                if folder.stat().st_mode & 0o001 == 0:
                    folder.chmod(folder.stat().st_mode | 0o011)
            host.prepare()
            change = twin.change(host, {COMPOSE: NEW, ENV: NEW})
            what(twin.bed)
            with pytest.raises(RunbookError) as found:
                twin.written(host, change)
            said.append(twin.told(found.value))
            host.unlock()
        assert said[0] == said[1]
        assert twins[0].codes.read_text().split() == [str(LEFT)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_data_that_do_not_arrive_whole_change_nothing(twins, share):
    one = twins[0]
    host = one.prepared()
    change = one.change(host, {COMPOSE: NEW * 1000})
    before, run = one.bed.files(), host.link.run
    host.link.run = lambda program, *args, data=b"", **more: run(
        program, *args, data=data[: int(len(data) * share)], **more
    )
    with pytest.raises(Refused, match="did not arrive whole"):
        one.written(host, change)
    assert one.bed.files() == before and one.host(AGAIN).snapshots() == ()
    host = one.host(AGAIN)
    host.unlock()
    assert host.recover() == ()
    one.written(host, change)
    assert (one.bed.project / COMPOSE).read_bytes() == NEW * 1000


# A perl that is none, one that reads what is not for it, and one that is killed.
STRANGE = {
    "it cannot run": ("exit 127; ", None),
    "it ends at once": ("exit 3; ", None),
    "it reads all and ends": ("cat >/dev/null; exit 3; ", "no data|did not arrive whole"),
    "it reads a little and ends": ("head -c 3 >/dev/null; exit 255; ", "did not arrive whole|no data"),
    "it takes the lock and ends": ('ln -s "run=run-1 who=e@l since=1 renewed=1" "$5/.compose-runbook.lock"; exit 137; ', "pending, as perl ended with 137"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_where_perl_is_strange_the_shell_does_it_or_nothing_is_done(twins, case):
    first, said = STRANGE[case]
    twin = twins[0]
    host = twin.prepared()
    change, before = twin.change(host, {COMPOSE: NEW}), twin.bed.files()
    twin.perl(first)
    if said is None:
        twin.written(host, change)
        assert (twin.bed.project / COMPOSE).read_bytes() == NEW
        return
    with pytest.raises(Refused, match=said):
        twin.written(host, change)
    assert twin.bed.files() == before
    host.unlock()
    assert host.recover() == () and host.snapshots() == ()


def test_what_could_not_be_written_is_taken_back_at_once(twins):
    twin = twins[0]
    host = twin.prepared()
    change, before = twin.change(host, {COMPOSE: NEW, ENV: NEW}), twin.bed.files()
    # At the second time that sums are asked for, something appears where the second new file is to take shape.
    box, shim = f"{twin.bed.project}/conf/.compose-runbook.t-1.2", twin.bed.base / "bin" / "sha256sum"
    marks = twin.bed.base / "marks"
    marks.touch()
    shim.write_text(
        f'#!/bin/sh\necho >>"{marks}"\nif [ "$(wc -l <"{marks}")" = 2 ]; then mkdir "{box}"; fi\nexec {shutil.which("sha256sum")} "$@"\n'
    )
    shim.chmod(0o755)
    with pytest.raises(Refused, match=r"conf/app\.env could not be written; every file is as it was"):
        twin.written(host, change)
    assert twin.codes.read_text().split() == [str(BROKEN)]
    assert twin.bed.files() == before and host.snapshots() == ()
    assert [event.kind for event in host.journal()] == ["begin", "revert"]
    shim.unlink()
    host.unlock()
    assert host.recover() == ()
