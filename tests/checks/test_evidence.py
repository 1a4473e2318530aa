"""The store keeps what runs did, for its owner alone, and says in one line when it cannot."""

import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from checks.evidence import SCHEMA, GateRecord, RunRecord, Store
from inventory.errors import InputError, RunbookError

RUN = RunRecord(
    id="r-1", kind="migrate", environment="staging", phase="1", who="eve@laptop", fingerprint="f", promotion_key="k",
    started="2026-01-01T00:00:00Z", ended=None, outcome="", code=None, message="", hosts={}, undoes="",
)  # fmt: skip
GATE = GateRecord("r-1", "2026-01-01T00:01:00Z", "conditions", "change", "pass", "all good", 30, 0, 1, 12.5)


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    return tmp_path / "own"


def run(number, **more):
    return RunRecord(**{**RUN.__dict__, "id": f"r-{number}", "started": f"2026-01-01T00:00:{number:02}Z", **more})


def test_the_file_and_its_folder_are_their_owners_alone(state):
    Store().close()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {"evidence.sqlite": 0o600}


def test_a_run_is_kept_from_its_start_to_its_end(state):
    store = Store()
    store.start(RUN)
    assert store.runs() == (RUN,)
    store.gate(GATE)
    store.end("r-1", outcome="done", code=0, message="m" * 3000, hosts={"web-1": "changed", "web-2": "failed"})
    store.close()
    (found,) = Store().runs()
    assert (found.outcome, found.code, found.hosts) == ("done", 0, {"web-1": "changed", "web-2": "failed"})
    assert found.ended is not None
    assert len(found.message) == 2000
    assert Store().gates("r-1") == [GATE]
    assert Store().gates("r-2") == []


def test_runs_come_newest_first_of_one_environment_and_no_more_than_asked_for(state):
    store = Store()
    for number in (2, 3, 1):
        store.start(run(number, environment="production" if number == 3 else "staging"))
    assert [record.id for record in store.runs()] == ["r-3", "r-2", "r-1"]
    assert [record.id for record in store.runs(limit=1)] == ["r-3"]
    assert [record.id for record in store.runs(environment="staging")] == ["r-2", "r-1"]


def test_the_head_of_a_journal_is_kept_for_each_project_of_a_host(state):
    store = Store()
    store.head("web-1", "shop", "a" * 64)
    store.head("web-1", "shop", "b" * 64)
    store.head("web-1", "blog", "c" * 64)
    assert store.known_head("web-1", "shop") == "b" * 64
    assert store.known_head("web-1", "blog") == "c" * 64
    assert store.known_head("web-2", "shop") is None


def test_a_run_cannot_be_written_down_twice_nor_a_gate_of_no_run(state):
    store = Store()
    store.start(RUN)
    with pytest.raises(IntegrityError):
        store.start(RUN)
    with pytest.raises(IntegrityError):
        store.gate(GateRecord(**{**GATE.__dict__, "run": "r-9"}))


def test_two_programs_write_at_once_while_a_third_reads(state):
    stores = [Store() for _ in range(3)]

    def write(side):
        for number in range(10):
            stores[side].start(run(side * 10 + number))
            stores[2].runs()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    assert len(stores[2].runs()) == 20


def test_readers_and_a_writer_do_not_wait_for_each_other(state):
    store = Store()
    with sqlite3.connect(state / "evidence.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("BEGIN IMMEDIATE")
        assert store.runs() == ()
        connection.rollback()


def test_a_store_of_a_newer_program_is_refused_and_left_alone(state):
    Store().close()
    with sqlite3.connect(state / "evidence.sqlite") as connection:
        connection.execute("UPDATE schema SET version = ?", (SCHEMA + 1,))
    with pytest.raises(InputError, match=f"schema {SCHEMA + 1}, newer than {SCHEMA}.*use the newer program"):
        Store()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", InputError),
        ("nosuchdatabase://x/y", InputError),
        ("sqlite:////nonexistent/folder/x.sqlite", RunbookError),
        ("mysql+nosuchdriver://x/y", InputError),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line_that_names_the_variable(monkeypatch, url, error):
    monkeypatch.setenv("RUNBOOK_STORE", url)
    with pytest.raises(error) as found:
        Store()
    assert "RUNBOOK_STORE" in str(found.value)
    assert len(str(found.value).splitlines()) == 1


def test_a_password_in_the_url_is_not_shown(monkeypatch):
    monkeypatch.setenv("RUNBOOK_STORE", "nosuchdatabase://eve:hunter2@db/x")
    with pytest.raises(InputError) as found:
        Store()
    assert "hunter2" not in str(found.value)


def test_a_file_that_is_no_store_is_one_line(state):
    state.mkdir()
    (state / "evidence.sqlite").write_text("this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(RunbookError, match="the evidence store cannot be used: DatabaseError"):
        Store()


def test_a_state_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "file" / "below"))
    with pytest.raises(RunbookError, match="RUNBOOK_STATE"):
        Store()


WITHOUT_SQLALCHEMY = """
import sys
from checks.evidence import GateRecord, RunRecord, StepRecord, Store
from tests.checks.test_evidence import GATE, RUN
if "sqlalchemy" in sys.modules:
    for name in [name for name in sys.modules if name.startswith("sqlalchemy")]:
        del sys.modules[name]
store = Store()
store.start(RUN)
store.gate(GATE)
store.step(*(StepRecord("r-1", "2026-01-01T00:02:00Z", host, "conditions", "done", 1.5) for host in ("web-1", "web-2")))
store.heads([("web-1", "shop", "a" * 64), ("web-2", "shop", "b" * 64)])
store.head("web-1", "shop", "c" * 64)
store.end("r-1", outcome="done", code=0, message="m", hosts={"web-1": "changed"})
assert store.known_head("web-1", "shop") == "c" * 64 and store.known_head("web-3", "shop") is None
assert [run.hosts for run in store.runs(environment="staging")] == [{"web-1": "changed"}] and not store.runs(environment="production")
assert not any(name.startswith("sqlalchemy") for name in sys.modules), "it was imported"
store.close()
"""


def test_a_run_is_kept_without_sqlalchemy_and_reads_the_same_with_it(state):
    Store().close()
    done = subprocess.run([sys.executable, "-c", WITHOUT_SQLALCHEMY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    store = Store()
    lean = store.runs(), store.known_head("web-1", "shop"), store.known_head("web-2", "shop")
    store._plain = None
    assert (store.runs(), store.known_head("web-1", "shop"), store.known_head("web-2", "shop")) == lean
    assert (lean[0][0].outcome, lean[0][0].hosts, lean[1:]) == ("done", {"web-1": "changed"}, ("c" * 64, "b" * 64))
    assert store.gates("r-1") == [GATE]
    assert [step.host for step in store.steps("r-1")] == ["web-1", "web-2"]
    store.close()


def test_a_run_that_is_there_already_is_said_in_one_line(state):
    Store().close()
    store = Store()
    store.start(RUN)
    with pytest.raises(RunbookError, match=r"IntegrityError: UNIQUE constraint failed: runs\.id"):
        store.start(RUN)
    assert store.runs() == (RUN,)
    store.close()
