"""The data of a transaction and what is kept of its files: damaged, gone in its midst, shared by several, or none."""

import pytest

from inventory.errors import Refused
from rollback.commit import sha256
from rollback.model import Transaction
from tests.rollback.shims import FAILS, ready, seen, shimmed, shims, transaction

__all__ = ["ready", "shimmed", "shims"]

pytestmark = pytest.mark.slow

NEW = b"services: {web: {}}\n"


@pytest.mark.parametrize(
    ("which", "said"),
    [("old", r"no space to keep \S.*/\.env in "), ("new", r"\.env did not arrive whole")],
)
def test_of_many_kept_bytes_those_that_are_damaged_are_named_by_their_file(
    ready, project, shims, shimmed, tmp_path, which, said
):
    change = transaction(ready, project, {"docker-compose.yml": NEW, ".env": b"A=2"})
    before = seen(project)
    damaged = sha256(b"A=1" if which == "old" else b"A=2")
    shims.at("sha256sum", "-c", f'echo x >>"$STATE/tmp/{damaged}"')
    with pytest.raises(Refused, match=said):
        shimmed.commit(change)
    assert shims.struck
    assert seen(project) == before
    assert not (tmp_path / "state/pending").exists()
    assert ready.recover() == ()
    ready.commit(transaction(ready, project, {"docker-compose.yml": NEW, ".env": b"A=2"}, "t-2"))


def test_bytes_that_two_files_share_are_kept_once_and_given_back_to_both(ready, project):
    (project / "twin.env").write_text("A=1")
    snapshot = ready.commit(transaction(ready, project, {".env": b"A=2", "twin.env": b"A=2"}))
    assert [(project / name).read_bytes() for name in (".env", "twin.env")] == [b"A=2"] * 2
    ready.undo(snapshot)
    assert [(project / name).read_bytes() for name in (".env", "twin.env")] == [b"A=1"] * 2


@pytest.mark.parametrize("name", ["docker-compose.yml", ".env"])
def test_a_commit_whose_data_vanish_in_its_midst_writes_nothing(ready, project, shims, shimmed, name):
    change = transaction(ready, project, {"docker-compose.yml": NEW, ".env": None})
    before = seen(project)
    shims.at("stat", f"-L *{name}", 'rm -f "$STATE"/tmp/header.*')
    with pytest.raises(Refused, match=r"the data in \S+ cannot be read"):
        shimmed.commit(change)
    assert shims.struck
    assert seen(project) == before
    assert ready.snapshots() == () and ready.recover() == ()


def test_notes_that_vanish_before_the_files_take_their_names_leave_every_file_and_are_told(
    ready, project, shims, shimmed
):
    change = transaction(ready, project, {"docker-compose.yml": NEW})
    shims.at("sync", "new", 'mv "$STATE/snapshots/t-1.files" "$OUTSIDE/files"')
    with pytest.raises(Refused, match="an interrupted transaction is pending: t-1"):
        shimmed.commit(change)
    assert shims.struck
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"
    assert ready.snapshots() == ()


def test_a_transaction_of_no_file_is_refused_before_it_begins(ready, project, tmp_path):
    with pytest.raises(Refused, match="the data of t-1 names no file"):
        ready.commit(Transaction("t-1", ready.run, "s", str(project), ()))
    assert not (tmp_path / "state/pending").exists() and ready.journal() == ()


def test_data_that_name_no_sum_for_a_file_are_refused(ready, project):
    change, run = transaction(ready, project, {".env": b"A=2"}), ready.link.run
    wrong = sha256(b"A=2").encode()
    ready.link.run = lambda *words, data=b"", **more: run(*words, data=data.replace(wrong, b"g" * 64, 1), **more)
    with pytest.raises(Refused, match=r"does not say what \S.*/\.env is to hold"):
        ready.commit(change)
    assert (project / ".env").read_text() == "A=1"


def test_a_kept_copy_that_is_damaged_is_made_anew_from_the_file_that_still_holds_it(ready, project, tmp_path):
    (project / "b.env").write_text("A=0")
    snapshot = ready.commit(transaction(ready, project, {".env": b"A=0", "b.env": b"A=3"}))
    (tmp_path / "state/objects" / sha256(b"A=0")).write_text("damaged")
    ready.undo(snapshot)
    assert (project / ".env").read_text() == "A=1" and (project / "b.env").read_text() == "A=0"


def test_where_nothing_can_be_locked_a_line_of_another_in_the_midst_breaks_no_chain(
    ready, project, shims, shimmed, tmp_path
):
    change = transaction(ready, project, {"docker-compose.yml": NEW})
    line = '{\\"previous\\":\\"%s\\",\\"at\\":\\"2026-01-01T00:00:00Z\\",\\"kind\\":\\"gate\\",\\"run\\":\\"run-2\\",\\"id\\":\\"-\\",\\"who\\":\\"a@b\\",\\"data\\":{}}'
    shims.at("flock", "9", FAILS, call=0)
    shims.at(
        "sync",
        "new",
        f'was=$(tail -n 1 "$STATE/journal" | sha256sum); printf "{line}\\n" "${{was%% *}}" >>"$STATE/journal"',
    )
    shimmed.commit(change)
    assert shims.struck
    assert [event.kind for event in ready.journal()] == ["begin", "gate", "commit"]
