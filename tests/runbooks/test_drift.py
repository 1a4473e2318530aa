"""What was changed by hand since a run is seen in each form, and shown without a secret; old snapshots go, what a rollback needs stays."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.evidence import Store
from inventory.errors import InputError, Locked, Refused
from inventory.secrets import Mask
from rollback.model import Snapshot
from runbooks import events
from runbooks.commands import keeping, standing
from runbooks.commands.looking import host_status
from runbooks.screen_run import Recorder
from tests.runbooks.bench import make_bench

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
COMPOSE = "docker-compose.yml"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def edited(file):
    file.write_text(file.read_text() + "\npassword: hunter22hunter\n")


def swapped(file):
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def given(file):
    os.chown(file, 1, 1)


FORMS = {
    "edited": (edited, "was edited"),
    "a link in its place": (swapped, "is a link now"),
    "another mode": (lambda file: file.chmod(0o666), "has mode 0666, not 0640"),
    "gone": (lambda file: file.unlink(), "is gone"),
    "another owner": (given, "belongs to 1:1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_was_changed_since_is_seen_in_each_form_and_not_rolled_back_over(bench, form):
    change, words = FORMS[form]
    if change is given and os.getuid() != 0:
        pytest.skip("only root can give a file away")
    folder = bench.host()
    bench.migrate(bench.plan("\n# one"))
    assert host_status(bench.session(), "web-1").changes == ()
    change(folder / COMPOSE)
    found = host_status(bench.session(), "web-1")
    assert found.drift == (str(folder / COMPOSE),)
    assert words in found.changes[0].what
    if form == "edited":
        assert "+password: ********" in found.changes[0].patch
        assert "hunter22" not in found.changes[0].patch
    assert bench.rollback() == 4
    assert bench.end.outcome == "refused"


def test_a_journal_that_was_cut_off_is_told_by_the_head_that_the_controller_keeps(bench):
    folder = bench.host()
    store = Store()
    recorder = Recorder(store, Mask())
    bench.on = recorder
    bench.migrate(bench.plan("\n# one"))
    writer = bench.writer("web-1", "run-9")
    known = store.known_head("web-1", "web-1")
    assert known == bench.of(events.HostEnded)[0].head == writer.journal(known)[-1].hash
    journal = folder.parent / "web-1.state" / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    assert len(writer.journal()) == len(lines) - 1
    with pytest.raises(Refused, match="cut off or rewritten"):
        writer.journal(known)
    journal.write_bytes(b"".join([lines[0].replace(b"eve", b"eva"), *lines[1:]]))
    with pytest.raises(Refused, match="altered before line 2"):
        writer.journal()
    store.close()


def snapshot(name, days, **note):
    at = (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")
    return Snapshot(name, "run", "step", at, "/p", (), (), {}, note)


EVERY = (
    snapshot("a", 90), snapshot("undo-a", 89, undoes="a"), snapshot("b", 50), snapshot("c", 40),
    snapshot("undo-c", 39, undoes="c"), snapshot("d", 5), snapshot("undo-d", 4, undoes="d"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "days", "gone"),
    [
        (0, 0, ["a", "undo-a", "c", "undo-c", "d", "undo-d"]),
        (1, 0, ["a", "undo-a", "c", "undo-c"]),
        (0, 30, ["a", "undo-a", "c", "undo-c"]),
        (2, 30, ["a", "undo-a"]),
        (9, 0, []),
    ],
)
def test_old_snapshots_go_with_what_undid_them_and_what_stands_stays(keep, days, gone):
    assert keeping.prunable(EVERY, keep, NOW - timedelta(days=days)) == gone


def test_an_undo_whose_transaction_is_gone_goes_too():
    assert keeping.prunable((replace(EVERY[1]),), 0, NOW) == ["undo-a"]


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("30d", 30 * 86400), ("12h", 12 * 3600), ("90", 90)])
def test_an_age_is_days_or_a_duration(text, seconds):
    assert keeping.age(text) == seconds


def test_what_is_no_age_is_refused():
    with pytest.raises(InputError, match="--older-than"):
        keeping.age("a month")


def test_unlock_breaks_only_the_lock_that_was_looked_at(bench):
    bench.host()
    first, second = bench.writer("web-1", "run-1"), bench.writer("web-1", "run-2")
    first.prepare()
    first.lock()
    with pytest.raises(Locked, match="eve@laptop holds the lock since"):
        second.unlock("run-0")
    assert first.owner().run == "run-1"
    assert "run=run-1" in second.unlock("run-1")
    assert second.owner() is None


def test_a_command_that_still_runs_is_waited_for_and_one_whose_end_nobody_heard_is_told(bench, tmp_path):
    bench.host()
    first, second = bench.writer("web-1", "run-1"), bench.writer("web-1", "run-2")
    first.prepare()
    first.execute(["sh", "-c", "exit 3"], 20, about="up web")
    assert second.recover() == ("command exit 3: up web",)
    assert second.recover() == ()


def pulled(file):
    """What `git pull` does: another file takes the name, with the mode that git gives."""
    fresh = file.with_name("fresh")
    fresh.write_text(file.read_text() + "# from upstream\nAPI_TOKEN: tok-71f0c2e9d4\n")
    fresh.chmod(0o644)
    fresh.replace(file)


ALL_FORMS = {**FORMS, "by git pull": (pulled, "was edited and has mode 0644, not 0640")}


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_migration_sees_each_form_before_its_first_write_shows_it_and_refuses(bench, form):
    change, words = ALL_FORMS[form]
    if change is given and os.getuid() != 0:
        pytest.skip("only root can give a file away")
    folder = bench.host()
    bench.migrate(bench.plan("\n# one"))
    change(folder / COMPOSE)
    session = bench.session("run-2")
    plan, shown = standing.looked(session, bench.plan("\n# two"))
    (host,) = plan.hosts
    assert f"{COMPOSE} {words}" in host.blocked[0]
    assert "put it back, or add --accept-drift" in host.blocked[0]
    assert f"{COMPOSE} {words}" in shown[0]
    if form in ("edited", "by git pull"):
        assert any(line.strip().startswith("+") for line in shown[1:])
    assert "hunter22" not in " ".join(shown)
    assert "tok-71f0c2e9d4" not in " ".join(shown)
    left = standing.allowed(session, plan, "high")
    assert left.hosts == ()
    assert (session.errors["web-1"].code, type(session.errors["web-1"])) == (4, Refused)


def test_drift_that_is_accepted_is_said_and_gone_on_from(bench):
    folder = bench.host()
    bench.migrate(bench.plan("\n# one"))
    edited(folder / COMPOSE)
    session = bench.session("run-2")
    plan, shown = standing.looked(session, bench.plan("\n# two"), accept_drift=True)
    assert plan.hosts[0].blocked == ()
    assert "was edited since a run wrote it" in plan.hosts[0].warnings[0]
    assert shown
    assert standing.allowed(session, plan, "high") == plan


def test_a_plan_that_changes_nothing_on_a_host_asks_nothing_of_it(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    session = bench.session("run-2")
    before = session.links["web-1"].exchanges
    nothing = replace(bench.plan(), hosts=tuple(replace(host, stages=()) for host in bench.plan().hosts))
    assert standing.looked(session, nothing) == (nothing, ())
    assert session.links["web-1"].exchanges == before
