"""What is written down is read back: any bytes under any name, snapshots, the journal's chain, the vault's copies."""

import json
import os
import stat
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.errors import HostFailed, Refused
from rollback import journal, records, vault
from rollback.commit import HostWriter
from rollback.model import FileState, FileWrite, Snapshot, Transaction
from tests.rollback.conftest import ShellLink
from tests.rollback.test_commit import change

# What a file can be called: no slash or NUL; a line break or a blank at the end is refused. Bytes that are not UTF-8 are
# names too.
NAMES = (
    st.binary(min_size=1, max_size=20)
    .filter(lambda name: not set(name) & set(b"/\0\n\r") and name not in (b".", b"..") and not name.endswith(b" "))
    .map(os.fsdecode)
)
STATES = st.builds(
    FileState, NAMES, st.none() | st.binary(max_size=4).map(lambda data: sha256(data).hexdigest()),
    st.integers(0, 0o7777), st.integers(0, 70_000), st.integers(0, 70_000),
)  # fmt: skip
TEXTS = st.text(max_size=20)


@given(st.dictionaries(NAMES, st.binary(max_size=60), max_size=4))
def test_an_answer_to_read_gives_every_byte_under_its_name(files):
    answer = b"".join(
        f"{sha256(data).hexdigest()} 644 1 2 - {len(data)} ".encode() + os.fsencode(name) + b"\n" + data
        for name, data in files.items()
    )
    found = records.files(answer, "here")
    assert {name: data for name, (_, data) in found.items()} == files


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=200))
def test_an_answer_that_is_none_is_never_taken_for_files(data):
    try:
        found = records.files(data, "here")
    except HostFailed:
        return
    assert found  # random bytes do not hash to what they say


@given(
    st.builds(
        Snapshot, st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"), TEXTS, TEXTS, TEXTS, TEXTS,
        st.lists(STATES, max_size=3).map(tuple), st.lists(STATES, max_size=3).map(tuple),
        st.dictionaries(TEXTS, TEXTS, max_size=2), st.dictionaries(TEXTS, TEXTS, max_size=2),
    )
)  # fmt: skip
def test_a_snapshot_is_one_line_and_comes_back_equal(snapshot):
    text = json.dumps(records.to_json(snapshot), ensure_ascii=True)
    assert text.splitlines() == [text]
    assert records.snapshots(f"{text}\n\n", "here") == (snapshot,)


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"id": "../x"}'])
def test_a_damaged_snapshot_is_a_failure_of_its_host(text):
    with pytest.raises(HostFailed, match="here: a snapshot's description is damaged"):
        records.snapshots(text, "here")


@pytest.mark.slow
@settings(
    max_examples=100 if os.environ.get("RUNBOOK_EXHAUSTIVE") else 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.dictionaries(NAMES, st.tuples(st.binary(max_size=300), st.binary(max_size=300)), min_size=1, max_size=5)
)
def test_any_bytes_under_any_name_are_written_and_undone_byte_for_byte(tmp_path_factory, files):
    base = tmp_path_factory.mktemp("any")
    project = base / "p"
    project.mkdir()
    for name, (old, _) in files.items():
        (project / name).write_bytes(old)
    host = HostWriter(ShellLink(project), str(project), "p", run="r", who="e@l", state_dir=str(base / "state"))
    host.prepare()
    host.lock()
    found = host.read([str(project / name) for name in files])
    assert {path.rpartition("/")[2]: data for path, (_, data) in found.items()} == {
        n: old for n, (old, _) in files.items()
    }
    writes = tuple(FileWrite(found[str(project / name)][0], new) for name, (_, new) in files.items())
    snapshot = host.commit(Transaction("t", "r", "s", str(project), writes))
    assert all((project / name).read_bytes() == new for name, (_, new) in files.items())
    assert host.snapshots() == (snapshot,)
    host.undo(snapshot)
    assert all((project / name).read_bytes() == old for name, (old, _) in files.items())


def lines_of(writer, project):
    host = writer()
    host.prepare()
    host.lock()
    host.undo(host.commit(change(host, project)))
    host.note("gate", {"outcome": "pass"})
    return host.link.run('cat "$1"', f"{host.state_dir}/journal").out.splitlines(keepends=True)


def test_a_journal_that_was_cut_off_or_rewritten_shows(writer, project):
    lines = lines_of(writer, project)
    events = journal.read(b"".join(lines))
    assert [event.kind for event in events] == ["begin", "commit", "begin", "commit", "gate"]
    head = events[-1].hash
    assert journal.read(b"".join(lines), head=head) == events
    assert journal.read(b"".join(lines), head=events[2].hash) == events, "a journal may have grown since"
    cases = {
        "cut off or rewritten": [lines[:-1], [], [*lines[:-1], lines[-1].replace(b"pass", b"fail")]],
        "altered before line": [
            lines[1:],
            [*lines[:2], *lines[3:]],
            [lines[1], lines[0], *lines[2:]],
            [lines[0].replace(b"eve", b"bob"), *lines[1:]],
        ],
        "line 5 is damaged": [[*lines[:4], lines[4][:-20]], [*lines[:4], b"[]\n"], [*lines[:4], b'{"at": 1}\n']],
    }
    for words, forged in cases.items():
        for each in forged:
            with pytest.raises(Refused, match=words):
                journal.read(b"".join(each), "here", head=head)


def test_an_unfinished_last_line_is_set_aside_and_the_chain_goes_on(shell, writer, project):
    whole = lines_of(writer, project)
    host = writer(shell)
    path = f"{host.state_dir}/journal"
    with open(path, "ab") as file:  # noqa: PTH123
        file.write(whole[-1][:25])
    with pytest.raises(Refused, match="line 6 is damaged"):
        host.journal()
    assert host.recover() == ("mended journal: an unfinished last line was set aside",)
    host.note("gate", {"outcome": "fail"})
    assert [event.kind for event in host.journal()][-2:] == ["gate", "gate"]


def test_the_vault_gives_back_what_it_was_given_to_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own" / "state"))
    data = [b"a\r\n\0", None, b""]
    before = tuple(
        FileState(f"/p/{number}", None if each is None else sha256(each).hexdigest(), 0o640, 1, 2)
        for number, each in enumerate(data)
    )
    snapshot = Snapshot("t-1", "run-1", "s", "2026-01-01T00:00:00+00:00", "/p", before, before, {"web": "sha256:1"})
    for _ in range(2):
        vault.save("web/../1", "shop", snapshot, data)
    assert vault.load("web/../1", "shop", "t-1") == (snapshot, {"/p/0": data[0], "/p/2": data[2]})
    made = list((tmp_path / "own").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    with pytest.raises(Refused, match="no whole copy of t-2"):
        vault.load("web/../1", "shop", "t-2")
    damaged = vault.folder() / "web_.._1" / "shop" / "objects" / before[0].sha256
    damaged.write_bytes(b"other")
    with pytest.raises(Refused, match="copy of /p/0 is damaged"):
        vault.load("web/../1", "shop", "t-1")
    damaged.unlink()
    with pytest.raises(Refused, match="no whole copy of t-1"):
        vault.load("web/../1", "shop", "t-1")


def test_pruning_keeps_every_object_that_another_snapshot_needs(shell, writer, project):
    host = writer(shell)
    host.prepare()
    host.lock()
    first = host.commit(change(host, project))
    path = str(project / "docker-compose.yml")
    ((state, _),) = host.read([path]).values()
    second = host.commit(Transaction("t-2", "run-1", "s", str(project), (FileWrite(state, b"third\n"),)))
    host.prune([first.id])
    assert host.snapshots() == (second,)
    host.undo(second)
    assert (project / "docker-compose.yml").read_bytes() == b"services: {web: {}}\n"


def test_a_damaged_kept_copy_is_refused_before_anything_is_written(shell, writer, project):
    host = writer(shell)
    host.prepare()
    host.lock()
    snapshot = host.commit(change(host, project))
    kept = next(state.sha256 for state in snapshot.before if state.sha256)
    host.link.run('printf x >>"$1"', f"{host.state_dir}/objects/{kept}")
    with pytest.raises(Refused, match=r"the kept copy of .*docker-compose.yml is damaged"):
        host.undo(snapshot)
    assert (project / "made.conf").exists()
    assert (project / "docker-compose.yml").read_bytes() == b"services: {web: {}}\n"
