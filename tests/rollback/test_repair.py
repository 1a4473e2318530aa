"""What is mended after an interruption, and what is said where mending itself cannot go on: nothing is called whole that is not."""

import shutil

import pytest

from inventory.errors import HostFailed, Locked, Refused
from rollback import records
from tests.rollback.shims import FAILS, cut_off, ready, seen, shimmed, shims, transaction

__all__ = ["ready", "shimmed", "shims"]

pytestmark = pytest.mark.slow


@pytest.fixture
def interrupted(ready, project, shims, shimmed):
    """A transaction that was cut off in its midst; gives what the project was before."""
    before = seen(project)
    change = {"docker-compose.yml": b"services: {web: {}}\n", "new/deep/made.conf": b"x", ".env": None}
    cut_off(shims, shimmed, transaction(ready, project, change))
    return before


def pending(tmp_path):
    return (tmp_path / "state/pending").exists()


# --- letting go of a transaction ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", [("sha256sum", '""'), ("rm", "*/pending"), ("sync", None)], ids=["note", "removal", "sync"]
)
def test_letting_go_that_fails_is_refused_and_holds_no_lock(interrupted, writer, shims, tmp_path, what):
    writer().release()
    name, words = what
    shims.no_sync("*/state") if words is None else shims.at(name, words, FAILS)
    other = writer(run="run-2", path=str(shims.folder), more=shims.more)
    with pytest.raises(Refused, match="cannot write in"):
        other.abandon()
    assert shims.struck
    assert other.owner() is None
    assert pending(tmp_path) == (name != "sync")
    other.abandon()
    assert [event.kind for event in other.journal()].count("abandon") == (2 if name == "rm" else 1)
    assert not pending(tmp_path)


def test_a_transaction_is_gone_before_its_folder_is_synced(interrupted, shims, shimmed, tmp_path):
    shims.at("sync", "*/state", 'if [ -e "$STATE/pending" ]; then touch "$STATE/tmp/early"; fi')
    shimmed.abandon()
    assert shims.struck
    assert not (tmp_path / "state/tmp/early").exists()


# --- repair --------------------------------------------------------------------------------------------------------------


def test_a_file_that_was_changed_after_the_interruption_is_kept_and_named(interrupted, ready, project, tmp_path):
    (project / "docker-compose.yml").write_bytes(b"by hand\n")
    kept, reverted = ready.recover()
    word, path, of = kept.partition(" as object ")
    assert word == f"kept {project}/docker-compose.yml"
    assert path and of.endswith(": it was changed after the interruption")
    assert reverted == "reverted t-1"
    assert (tmp_path / "state/objects" / of.split(":")[0]).read_bytes() == b"by hand\n"
    assert seen(project) == interrupted
    assert not (project / "new").exists()


def test_a_repair_that_kept_nothing_says_only_what_it_reverted(interrupted, ready, project):
    said = ready._call("recover").text.splitlines()
    assert [line.split()[0] for line in said] == ["reverted", "last"]
    assert records.lines(said[1])["head"] == ready.journal()[-1].hash
    assert seen(project) == interrupted


@pytest.mark.parametrize("what", ["copy", "sync"])
def test_a_changed_file_that_cannot_be_kept_is_not_overwritten(
    interrupted, ready, shims, shimmed, project, tmp_path, what
):
    (project / "docker-compose.yml").write_bytes(b"by hand\n")
    shims.at("cp", "*/objects/.new.*", FAILS) if what == "copy" else shims.no_sync("*/objects")
    with pytest.raises(Refused, match="an interrupted transaction is pending: t-1"):
        shimmed.recover()
    assert shims.struck
    assert (project / "docker-compose.yml").read_bytes() == b"by hand\n"
    assert pending(tmp_path)
    assert ready.recover()[-1] == "reverted t-1"
    assert seen(project) == interrupted


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("mkdir", "*.t-1.back", r"docker-compose\.yml cannot be put back"),
        ("mv", "*docker-compose.yml", r"docker-compose\.yml cannot be put back"),
        ("rm", "*made.conf", r"made\.conf cannot be taken away"),
        ("rmdir", "*/new/deep", r"made\.conf cannot be taken away"),
        ("sha256sum", "", ""),
    ],
    ids=["no draft", "no name", "not removed", "folder not removed", "no sums"],
)
def test_a_repair_that_cannot_go_on_says_at_which_file_and_the_next_one_ends_it(
    interrupted, ready, shims, shimmed, project, tmp_path, name, words, said
):
    if name == "mv":
        shims.at(name, words, FAILS, call=0)
    else:
        shims.at(name, words or '""', FAILS)
    with pytest.raises(Refused, match=f"interrupted transaction is pending: t-1.*{said}"):
        shimmed.recover()
    assert shims.struck
    assert pending(tmp_path)
    assert ready.recover() == ("reverted t-1",)
    assert seen(project) == interrupted


def test_a_made_folder_that_is_a_file_now_hinders_no_repair_and_stays(interrupted, ready, project):
    shutil.rmtree(project / "new/deep")
    (project / "new/deep").write_text("mine")
    assert ready.recover() == ("reverted t-1",)
    assert (project / "new/deep").read_text() == "mine"
    assert (project / "docker-compose.yml").read_text() == "services: {}\n"


def test_notes_of_no_bytes_repair_nothing_and_say_so(interrupted, ready, project, tmp_path):
    notes = tmp_path / "state/snapshots/t-1.files"
    whole, stands = notes.read_bytes(), seen(project)
    notes.write_bytes(b"")
    with pytest.raises(Refused, match="pending: t-1: refused the notes of t-1 are gone"):
        ready.recover()
    assert pending(tmp_path)
    assert seen(project) == stands
    notes.write_bytes(whole)
    ready.recover()
    assert seen(project) == interrupted


def test_a_repair_needs_no_journal_where_a_power_cut_took_it(interrupted, ready, project, tmp_path):
    (tmp_path / "state/journal").unlink()
    assert ready.recover() == ("reverted t-1",)
    assert seen(project) == interrupted
    assert [event.kind for event in ready.journal()] == ["revert"]


def test_a_journal_that_cannot_be_searched_leaves_the_transaction_pending_and_the_lock_free(
    interrupted, writer, shims, tmp_path
):
    writer().release()
    shims.at("grep", "*/journal", FAILS)
    other = writer(run="run-2", path=str(shims.folder), more=shims.more)
    with pytest.raises(Refused, match=r"pending: t-1: \S+/journal cannot be read"):
        other.recover()
    assert shims.struck
    assert pending(tmp_path)
    assert other.owner() is None
    assert other.recover() == ("reverted t-1",)


def test_a_committed_transaction_is_finished_before_its_folder_is_synced(ready, project, shims, shimmed, tmp_path):
    shims.at("rm", "*/pending", "kill -9 $PPID; exit 1")
    with pytest.raises(HostFailed):
        shimmed.commit(transaction(ready, project, {".env": b"A=2"}))
    shims.at("sync", "*/state", 'if [ -e "$STATE/pending" ]; then touch "$STATE/tmp/early"; fi', call=0)
    assert shimmed.recover() == ("finished t-1",)
    assert not (tmp_path / "state/tmp/early").exists()
    assert (project / ".env").read_text() == "A=2"


@pytest.mark.parametrize("end", ["rm", "sync"])
def test_a_transaction_that_cannot_be_finished_stays_pending_and_holds_no_lock(
    ready, writer, project, shims, shimmed, end
):
    shims.at("rm", "*/pending", "kill -9 $PPID; exit 1")
    with pytest.raises(HostFailed):
        shimmed.commit(transaction(ready, project, {".env": b"A=2"}))
    ready.release()
    shims.at("rm", "*/pending", FAILS) if end == "rm" else shims.no_sync("*/state")
    other = writer(run="run-2", path=str(shims.folder), more=shims.more)
    with pytest.raises(Refused, match="pending: t-1"):
        other.recover()
    assert shims.struck
    assert other.owner() is None
    assert (project / ".env").read_text() == "A=2"


# --- the journal -----------------------------------------------------------------------------------------------------------


def test_a_line_that_was_cut_off_in_the_midst_of_a_run_is_set_aside_by_the_next_line(ready, tmp_path):
    ready.note("gate", {"outcome": "pass"})
    journal = tmp_path / "state/journal"
    journal.write_bytes(journal.read_bytes() + b'{"previous":"12')
    head = ready.note("soak", {"outcome": "pass"})
    events = ready.journal()
    assert [event.kind for event in events] == ["gate", "soak"]
    assert events[-1].hash == head
    assert (tmp_path / "state/journal.cut").read_bytes() == b'{"previous":"12'


def test_a_line_whose_hash_cannot_be_had_is_not_written(ready, shims, shimmed, tmp_path):
    ready.note("gate", {"outcome": "pass"})
    before = (tmp_path / "state/journal").read_bytes()
    shims.at("sha256sum", '""', FAILS)
    with pytest.raises(Refused, match="cannot write"):
        shimmed.note("soak", {"outcome": "pass"})
    assert shims.struck
    assert (tmp_path / "state/journal").read_bytes() == before


@pytest.mark.parametrize("name", ["dd", "wc", "head"])
def test_a_journal_that_cannot_be_mended_is_not_continued_and_holds_no_lock(writer, ready, shims, tmp_path, name):
    ready.note("gate", {"outcome": "pass"})
    ready.release()
    journal = tmp_path / "state/journal"
    journal.write_bytes(torn := journal.read_bytes() + b"half")
    shims.at(name, "*", FAILS, call=0)
    other = writer(run="run-2", path=str(shims.folder), more=shims.more)
    with pytest.raises(Refused, match=r"the unfinished last line of \S+/journal cannot be set aside"):
        other.recover()
    assert journal.read_bytes() == torn
    assert other.owner() is None
    assert writer().recover() == ("mended journal: an unfinished last line was set aside",)


def test_a_journal_that_cannot_be_read_is_refused(ready, shims, shimmed):
    ready.note("gate", {"outcome": "pass"})
    shims.at("cat", "*/journal", FAILS)
    with pytest.raises(Refused, match=r"\S+/journal cannot be read"):
        shimmed.journal()
    assert shims.struck


def test_a_journal_is_mended_before_it_is_synced(ready, shims, shimmed, tmp_path):
    ready.note("gate", {"outcome": "pass"})
    journal = tmp_path / "state/journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b"half")
    shims.at("sync", "*/journal", 'cp "$STATE/journal" "$OUTSIDE/synced"')
    shimmed.recover()
    assert (shims.outside / "synced").read_bytes() == whole


# --- the lock, and what else is told -----------------------------------------------------------------------------------------


def test_a_project_is_free_or_says_whose_it_is(ready):
    assert ready._call("owner").text.split()[0] == "locked"
    ready.release()
    assert ready._call("owner").text == "free\n"


def test_a_lock_alone_keeps_another_run_from_mending(ready, writer):
    with pytest.raises(Locked, match="run-1"):
        writer(run="run-2").recover()
    assert ready.owner().run == "run-1"


def test_a_lock_is_given_back_before_the_journals_head_is_told(ready):
    ready.note("gate", {})
    assert [line.split()[0] for line in ready._call("release").text.splitlines()] == ["released", "last"]


def test_snapshots_go_while_the_lock_is_held(ready, writer, project, shims):
    ready.undo(ready.commit(transaction(ready, project, {".env": b"A=2"})))
    ready.release()
    shims.at("rm", "*/snapshots/*.json", 'if [ ! -h "$PROJECT/.compose-runbook.lock" ]; then touch "$OUTSIDE/free"; fi')
    other = writer(run="run-2", path=str(shims.folder), more=shims.more)
    other.prune([snapshot.id for snapshot in other.snapshots()])
    assert shims.struck
    assert not (shims.outside / "free").exists()
    assert other.owner() is None


def test_an_event_of_no_kind_is_not_written(ready):
    for lines in (["", "-", "{}"], ["gate", "", "{}"]):
        with pytest.raises(Refused, match="cannot write"):
            ready._call("note", records.packed(lines))
    assert ready.journal() == ()


def test_notes_without_a_snapshot_go_and_those_of_one_stay(ready, writer, project, tmp_path):
    ready.commit(transaction(ready, project, {".env": b"A=2"}))
    ready.release()
    notes = tmp_path / "state/snapshots"
    (notes / "t-9.files").write_text("write\n")
    (tmp_path / "state/tmp/left").write_text("x")
    assert writer(run="run-2")._call("recover").text == "whole\n"
    assert sorted(path.name for path in notes.iterdir()) == ["t-1.files", "t-1.json"]
    assert not (tmp_path / "state/tmp/left").exists()


def test_notes_without_a_snapshot_are_seen_alone(ready, writer, tmp_path):
    ready.release()
    left = tmp_path / "state/snapshots/t-9.files"
    left.write_text("write\n")
    assert writer(run="run-2").recover() == ()
    assert not left.exists()
