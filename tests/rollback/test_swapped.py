"""Files, links and folders that are swapped, or cannot be read or written, in the midst of a commit: what was not meant is not
touched, and where one file cannot be written every file is as it was."""

import os

import pytest

from inventory.errors import Drift, Refused
from rollback.commit import program
from tests.rollback.shims import FAILS, ready, seen, shimmed, shims, transaction

__all__ = ["ready", "shimmed", "shims"]

pytestmark = pytest.mark.slow

ROOT = os.getuid() == 0
root = pytest.mark.skipif(not ROOT, reason="only root can give a file to another user")
NEW = b"services: {web: {}}\n"
FOLDERS = "what the folders of the new files hold"


@pytest.fixture
def linked(project):
    """The project, whose .env is a link to a file within it."""
    (project / "conf").mkdir()
    (project / ".env").rename(project / "conf/app.env")
    (project / ".env").symlink_to("conf/app.env")
    return project


# --- links -------------------------------------------------------------------------------------------------------------------

LINK = r"the link \S.*/\.env cannot be read"
UNWRITTEN = r"\.env could not be written; every file is as it was"


@pytest.mark.parametrize(
    ("call", "said"),
    [(1, "leads out of the project folder"), (2, LINK), (3, LINK), (4, UNWRITTEN), (5, UNWRITTEN)],
)
def test_a_link_that_cannot_be_read_for_a_moment_is_named_and_never_replaced(ready, linked, shims, shimmed, call, said):
    change = transaction(ready, linked, {"docker-compose.yml": NEW, ".env": b"A=2"})
    before, inode = seen(linked), (linked / "docker-compose.yml").stat().st_ino
    shims.at("readlink", "-f *.env", FAILS, call=call)
    with pytest.raises(Refused, match=said):
        shimmed.commit(change)
    assert shims.struck
    assert seen(linked) == before
    if call <= 4:
        assert (linked / "docker-compose.yml").stat().st_ino == inode, (
            "the first file was written before all were ready"
        )
    assert ready.snapshots() == () and ready.recover() == ()


def test_what_a_link_says_must_be_known(ready, linked, shims, shimmed):
    change = transaction(ready, linked, {".env": b"A=2"})
    shims.at("sha256sum", '""', FAILS, call=2)
    with pytest.raises(Drift, match=r"\.env cannot be read"):
        shimmed.commit(change)
    assert shims.struck


def test_a_path_that_leads_out_through_a_folder_above_is_refused(ready, project, shims):
    (shims.outside / "app.conf").write_text("precious")
    (project / "out").symlink_to(shims.outside)
    for name in ("out/app.conf", "out/new.conf", "out/deep/new.conf"):
        with pytest.raises(Refused, match=rf"{name} leads out of the project folder"):
            ready.commit(transaction(ready, project, {name: b"x"}))
    assert [(path.name, path.read_text()) for path in shims.outside.iterdir()] == [("app.conf", "precious")]


def test_a_path_through_a_folder_that_is_a_link_within_the_project_is_written(ready, project):
    (project / "conf").mkdir()
    (project / "conf/app.conf").write_text("a")
    (project / "in").symlink_to("conf")
    ready.commit(transaction(ready, project, {"in/app.conf": b"b", "in/deep/new.conf": b"n"}))
    assert (project / "conf/app.conf").read_bytes() == b"b"
    assert (project / "conf/deep/new.conf").read_bytes() == b"n"


# --- folders that are swapped ----------------------------------------------------------------------------------------------------

SWAP = 'mv "$PROJECT/%s" "$OUTSIDE/away"; ln -s "$OUTSIDE/there" "$PROJECT/%s"'


def there(shims):
    """A folder outside with files that must stay as they are; gives what it looks like."""
    folder = shims.outside / "there"
    folder.mkdir()
    folder.chmod(0o750)
    for name in ("new", "docker-compose.yml"):
        (folder / name).write_text("precious")
        (folder / name).chmod(0o600)
    return lambda: [(path.name, path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid, path.lstat().st_mtime_ns)
                    for path in (folder, *sorted(folder.iterdir()))]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words", "after"),
    [("mkdir", "*.compose-runbook.t-1.1", True), ("sync", "new", False)],
    ids=["as soon as it is made", "when the new file is in it"],
)
def test_a_box_that_is_swapped_for_a_folder_elsewhere_is_neither_filled_nor_emptied(
    ready, project, shims, shimmed, name, words, after
):
    change = transaction(ready, project, {"docker-compose.yml": NEW})
    before, outside = seen(project), there(shims)
    box, was = ".compose-runbook.t-1.1", outside()
    shims.at(name, words, (f'{name} "$@"; ' if after else "") + SWAP % (box, box) + ("; exit 0" if after else ""))
    with pytest.raises(Refused, match=r"docker-compose\.yml could not be written; every file is as it was"):
        shimmed.commit(change)
    assert shims.struck
    assert outside() == was
    assert not (shims.outside / "docker-compose.yml").exists()
    assert seen(project) == before


@root
def test_a_made_folder_that_is_swapped_for_one_elsewhere_changes_no_owner_there(ready, project, shims, shimmed):
    change = transaction(ready, project, {"deep/new.conf": b"x"}, uid=12, gid=34)
    before, outside = seen(project), there(shims)
    was = outside()
    shims.at("mkdir", "./deep", 'mkdir "$@"; ' + SWAP % ("deep", "deep") + "; exit 0")
    with pytest.raises(Refused, match="an interrupted transaction is pending: t-1"):
        shimmed.commit(change)
    assert shims.struck
    with pytest.raises(Refused, match=r"what stands beside \S.*/deep/new\.conf cannot be taken away"):
        ready.recover()
    assert outside() == was
    (project / "deep").unlink()
    assert ready.recover() == ("reverted t-1",)
    assert seen(project) == before


# --- what cannot be done ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "file", "stays"),
    [
        ("mkdir", "*.t-1.2", "old.conf", True),
        ("cp", "*/objects/*new", "docker-compose.yml", True),
        ("chmod", "*new", "docker-compose.yml", True),
        ("mkdir", "./made", "made/deep/new.conf", True),
        ("chmod", "755 .", "made/deep/new.conf", True),
        ("mv", "*/tmp/folders.* */folders", "made/deep/new.conf", True),
        ("rm", "-f ./gone.conf", "gone.conf", False),
        ("rmdir", "./.compose-runbook.t-1.1", "docker-compose.yml", False),
        ("mv", "*/snapshots/.t-1.json *", "the snapshot", False),
    ],
    ids=[
        "no box",
        "no copy",
        "no mode",
        "no folder",
        "no folder's mode",
        "no note of a folder",
        "no removal",
        "box stays",
        "no snapshot",
    ],
)
def test_where_one_file_cannot_be_written_every_file_is_as_it_was_and_that_one_is_named(
    ready, project, shims, shimmed, name, words, file, stays
):
    for each in ("old.conf", "gone.conf"):
        (project / each).write_text(each)
    files = {"docker-compose.yml": NEW, "old.conf": b"n", "made/deep/new.conf": b"x", "gone.conf": None}
    change = transaction(ready, project, files)
    before, inode = seen(project), (project / "docker-compose.yml").stat().st_ino
    shims.at(name, words, FAILS)
    with pytest.raises(Refused, match=rf"{file} could not be written; every file is as it was"):
        shimmed.commit(change)
    assert shims.struck
    assert seen(project) == before
    if stays:
        assert (project / "docker-compose.yml").stat().st_ino == inode, "it was written before all were ready"
    assert ready.recover() == () and ready.snapshots() == ()
    ready.commit(transaction(ready, project, files, "t-2"))


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("new", "docker-compose.yml"),
        ("*/made", "made/deep/new.conf"),
        ("*/snapshots", FOLDERS),
    ],
    ids=["new bytes", "a made folder", "the snapshots"],
)
def test_what_cannot_be_synced_is_not_called_written(ready, project, shims, shimmed, words, file):
    change = transaction(ready, project, {"docker-compose.yml": NEW, "made/deep/new.conf": b"x"})
    before = seen(project)
    if words == "*/snapshots":
        shims.at("mv", "*/snapshots/.t-1.json *", f"touch '{shims.marks}/named'")
        shims.at(
            "sync",
            "*/snapshots",
            f"if [ -e '{shims.marks}/named' ]; then rm '{shims.marks}/named'; touch '{shims.marks}/no'; {FAILS}; fi",
            call=0,
        )
        shims.at("sync", '""', f"if [ -e '{shims.marks}/no' ]; then rm '{shims.marks}/no'; {FAILS}; fi", call=0)
    else:
        shims.no_sync(words)
    with pytest.raises(Refused, match=rf"{file} could not be written; every file is as it was"):
        shimmed.commit(change)
    assert shims.struck
    assert seen(project) == before


def test_where_the_folders_of_written_files_cannot_be_synced_every_file_is_as_it_was(ready, project, shims, shimmed):
    change = transaction(ready, project, {"docker-compose.yml": NEW})
    before = seen(project)
    shims.no_sync("*folder */snapshots")
    with pytest.raises(Refused, match=rf"{FOLDERS} could not be written; every file is as it was"):
        shimmed.commit(change)
    assert shims.struck
    assert seen(project) == before


def test_a_folder_that_is_taken_away_is_synced_or_not_called_gone(ready, project, shims, shimmed):
    snapshot = ready.commit(transaction(ready, project, {"new/deep/made.conf": b"x", "new/other.conf": b"y"}))
    before = seen(project)
    shims.no_sync("*/new")
    with pytest.raises(Refused, match=r"made\.conf could not be written; every file is as it was"):
        shimmed.undo(snapshot)
    assert shims.struck
    assert seen(project) == before


# --- the state folder ---------------------------------------------------------------------------------------------------------------


def test_a_new_state_folder_is_synced_from_within_to_the_root_before_it_counts(writer, shims, tmp_path):
    shims.at(
        "sync",
        "*",
        'printf "%s\\n" "$@" >>"$OUTSIDE/synced"; [ ! -d "$STATE/commands" ] || echo late >>"$OUTSIDE/synced"',
        call=0,
    )
    writer(path=str(shims.folder), more=shims.more).prepare()
    state = tmp_path / "state"
    expected = [f"{path}/" for path in (state, *list(state.parents)[:-1])] + ["/"]
    assert (shims.outside / "synced").read_text().splitlines() == expected


def test_a_program_without_its_words_does_nothing(ready, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for words in ((), ("prepare",), ("abandon", "", ""), ("recover", str(tmp_path / "state"))):
        reply = ready.link.run(program(), *words)
        assert reply.exit != 0
        assert reply.out == b""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("data", [b"", b"12"], ids=["nothing", "a length without its line"])
def test_a_program_without_its_data_says_that_there_is_none(ready, data):
    with pytest.raises(Refused, match="here: no data"):
        ready._call("note", data)
    assert ready.journal() == ()


def test_new_bytes_for_which_there_is_no_room_are_told_from_those_that_did_not_arrive(ready, project, shims, shimmed):
    change = transaction(ready, project, {"docker-compose.yml": b"services: {web: {}}\n"})
    shims.at("tail", "-c *", FAILS)
    with pytest.raises(Refused, match=r"no space to keep \S.*/docker-compose\.yml in "):
        shimmed.commit(change)
    assert shims.struck
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"
