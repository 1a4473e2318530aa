"""A store that is locked, restarted or away: one clear line, nothing acknowledged is lost, nothing counts twice."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checks.evidence import Soaks, Store, store, tallies
from checks.model import Probe, Sample
from checks.soak import Soak
from inventory.errors import RunbookError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SOAK = Soak("s-1", "staging", "", (), "1", "r", "k", "eve", BEGIN.isoformat(), 3600.0, 30.0)
PROBE = Probe("container", "container:db", "db")


def tick(kept, number):
    soaks = Soaks(kept)
    claim = soaks.claim(SOAK, BEGIN + timedelta(seconds=30 * number + 10), "t")
    series = {(each.host, each.probe.name): each.id for each in soaks.series("s-1")}
    return soaks.record(claim, series, [Sample("container:db", "web-1", "", True)])


def good(kept):
    (tally,) = tallies(kept, Soaks(kept).series("s-1")).values()
    return tally.ok


def test_a_database_that_stays_locked_is_one_line_and_the_next_tick_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "WAIT_S", 0.2)
    path = tmp_path / "evidence.sqlite"
    kept = Store(f"sqlite:///{path}")
    Soaks(kept).start(SOAK, [("web-1", "shop", PROBE)])
    assert tick(kept, 0)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RunbookError, match="the evidence store cannot be used: OperationalError: database is locked"):
        tick(kept, 1)
    assert good(kept) == 1, "reading waits for nobody"
    holder.execute("ROLLBACK")
    assert tick(kept, 2)
    assert good(kept) == 2
    holder.close()
    kept.close()


def test_a_tick_waits_for_another_writer(tmp_path):
    path = tmp_path / "evidence.sqlite"
    kept = Store(f"sqlite:///{path}")
    Soaks(kept).start(SOAK, [("web-1", "shop", PROBE)])
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: holder.execute("ROLLBACK"))
    release.start()
    assert tick(kept, 0)
    assert good(kept) == 1
    release.join()
    holder.close()
    kept.close()


# Runs where the folder that it is given is a small disk of its own.
FULL = """
import sqlite3, sys
from pathlib import Path
from inventory.errors import RunbookError
from tests.checks.test_store_troubles import PROBE, SOAK, Soaks, Store, good, tick
disk = Path(sys.argv[1])
kept = Store(f"sqlite:///{disk}/evidence.sqlite")
Soaks(kept).start(SOAK, [("web-1", "shop", PROBE)])
assert tick(kept, 0)
filler, acknowledged, said = disk / "filler", 1, ""
with filler.open("wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)) == 4096:
            pass
    except OSError:
        pass
for number in range(1, 100):
    try:
        acknowledged += tick(kept, number)
    except RunbookError as error:
        said = str(error)
        break
assert "the evidence store cannot be used: OperationalError: database or disk is full" in said, said
filler.unlink()
assert good(kept) == acknowledged
assert tick(kept, number + 1)
assert good(kept) == acknowledged + 1
kept.close()
found = sqlite3.connect(disk / "evidence.sqlite")
assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
assert found.execute("SELECT count(*), count(DISTINCT tick) FROM samples").fetchone() == (acknowledged + 1,) * 2
"""


def test_a_disk_that_is_full_is_one_line_and_takes_no_tick_that_was_acknowledged(tmp_path):
    words = [
        "unshare",
        "-m",
        "sh",
        "-euc",
        'mount -t tmpfs -o size=1m none "$1"; shift; exec "$@"',
        "sh",
        str(tmp_path),
    ]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this account may have no file system of its own")
    root = Path(__file__).resolve().parents[2]
    program = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run([*words, *program], cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_postgresql_that_is_restarted_between_ticks_loses_none(postgres):
    kept = Store(postgres.database())
    Soaks(kept).start(SOAK, [("web-1", "shop", PROBE)])
    for number in range(3):
        assert tick(kept, number)
        postgres.stop("immediate" if number == 1 else "fast")
        if number == 2:
            with pytest.raises(RunbookError, match="the evidence store cannot be used: OperationalError: ") as found:
                tick(kept, number + 1)
            assert len(str(found.value).splitlines()) == 1
        postgres.start()
    assert tick(kept, 4)
    assert good(kept) == 4
    kept.close()


def test_a_password_of_a_database_that_is_away_is_not_shown():
    with pytest.raises(RunbookError) as found:
        Store("postgresql://eve:hunter22@127.0.0.1:1/evidence?connect_timeout=2")
    assert "hunter22" not in str(found.value)
    assert "the evidence store cannot be used" in str(found.value)


def test_every_store_method_works_on_both_databases(url):
    kept = Store(url)
    from checks.evidence import GateRecord, RunRecord, StepRecord, UpRecord

    run = RunRecord(
        "r-1",
        "migrate",
        "staging",
        "1",
        "eve",
        "f",
        "k",
        "2026-01-01T00:00:00Z",
        None,
        "",
        None,
        "",
        {},
        "",
        "a, b",
        "why",
    )
    kept.start(run)
    gate = GateRecord("r-1", "2026-01-01T00:01:00Z", "a", "change", "pass", "good", 1, 0, 0, 1.5)
    step, up = StepRecord("r-1", "at", "web-1", "a", "done", 2.0), UpRecord("r-1", "at", "web-1", "db", True, 3.5)
    kept.gate(gate)
    kept.step(step)
    kept.up(up)
    kept.end("r-1", outcome="done", code=0, message="", hosts={"web-1": "changed"})
    kept.head("web-1", "shop", "a")
    kept.close()
    again = Store(url)
    (found,) = again.runs(environment="staging")
    assert (found.steps, found.override, found.code, found.hosts) == ("a, b", "why", 0, {"web-1": "changed"})
    assert (again.gates("r-1"), again.steps("r-1"), again.ups("r-1")) == ([gate], [step], [up])
    assert again.known_head("web-1", "shop") == "a"
    again.close()
