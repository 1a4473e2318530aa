"""A rollback that was cut off after files went back is carried to its end by the next one: services, what a step made, gate."""

from datetime import UTC, datetime, timedelta

import pytest

from inventory.errors import Refused
from runbooks import cut_off, events, resuming, undo
from runbooks.commands import keeping, looking, rolling_back
from runbooks.plan_model import Made
from tests.inventory.conftest import serve, server_keys  # noqa: F401 - fixtures
from tests.runbooks.bench import content
from tests.runbooks.test_resuming import away, bench, unlocked  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

KILLED = {
    "half way through the services": lambda event: isinstance(event, events.ServiceUp) and event.service == "db",
    "after the last service": lambda event: isinstance(event, events.ServiceUp) and event.service == "web",
    "in the midst of the gate": lambda event: isinstance(event, events.GateRound),
}


def noted(there):
    return [event.text for event in there.of(events.Noted)]


def surveyed(there, run, **more):
    """What a rollback finds to do."""
    return undo.survey(there.session(run), run=more.get("of"), to=more.get("to"))


@pytest.mark.parametrize(("when", "stages"), [*((when, 1) for when in KILLED), ("half way through the services", 2)])
def test_a_rollback_that_was_killed_is_ended_by_the_next_one(away, when, stages):  # noqa: F811
    folder = away.host()
    before = content(folder)
    assert away.migrate(away.plan(*("\n# one", "\n# two")[:stages])) == 0
    away.killed_in(lambda: away.rollback("run-2"), KILLED[when])
    unlocked(away, "run-2")
    ups = len(away.docker.ups)
    assert away.rollback("run-3") == 0
    assert away.docker.ups[ups:] == ["db", "web"]
    assert "was cut off: its files are back" in noted(away)[-1]
    assert len(away.of(events.GateEnded)) == stages + 1  # the killed one told the parent nothing
    assert (away.end.outcome, away.end.hosts) == ("done", {"web-1": "undone"})
    assert content(folder) == before
    assert away.rollback("run-4") == ("", ())  # nothing is left to undo, nor to end
    assert away.writer("web-1").owner() is None


def test_of_two_stages_the_one_that_still_stands_is_undone_and_the_services_of_both_come_back(away):  # noqa: F811
    folder = away.host()
    before = content(folder)
    plan = away.plan("\n# one", "\n# two")
    assert away.migrate(plan) == 0
    writer = away.writer("web-1", "run-2")
    writer.prepare()
    writer.lock()
    writer.undo(writer.snapshots()[-1])  # what a rollback does first; then its controller is gone
    unlocked(away, "run-2")
    what, (host,) = surveyed(away, "run-3")
    assert what == "run-1"
    assert [snapshot.id for snapshot in host.back] == ["run-1-2"]
    assert [snapshot.id for snapshot in host.snapshots] == ["run-1-1"]
    assert away.rollback("run-3", of="run-1") == 0
    assert away.docker.ups[-2:] == ["db", "web"]
    assert content(folder) == before


@pytest.mark.parametrize("asked", [{}, {"of": "run-1"}, {"to": "run-1-1"}])
def test_what_was_cut_off_is_found_however_it_is_asked_for(bench, asked):  # noqa: F811
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.docker.tell("down-db")
    assert bench.rollback("run-2") == 6
    what, (host,) = surveyed(bench, "run-3", **asked)
    assert [snapshot.id for snapshot in host.back] == ["run-1-1"]
    assert host.snapshots == ()
    assert rolling_back.told(what, (host,)) == [
        f"roll back {what}:",
        "  web-1  its files are back already, an undo was cut off; brings up again: db, web",
    ]
    assert surveyed(bench, "run-3", of="run-9")[1] == ()
    status = looking.host_status(bench.session("run-3"), "web-1")
    assert status.cut_off == ("run-1-1",)
    assert "    ! the undo of run-1-1 was cut off, its files are back: ./inv rollback brings its services back" in list(
        looking.status_lines(status)
    )
    every = bench.writer("web-1").snapshots()
    soon = datetime.now(UTC) + timedelta(days=1)
    assert keeping.prunable(every, 0, soon, status.cut_off) == []
    assert keeping.prunable(every, 0, soon) == ["run-1-1", "run-2-undo-run-1-1"]


def test_a_rollback_whose_services_did_not_get_healthy_is_ended_once_they_can(bench):  # noqa: F811
    folder = bench.host()
    before = content(folder)
    bench.docker.tell("services", "db web pool")
    bench.migrate(bench.plan("\n# one", makes=Made(("pool",))))
    bench.docker.tell("down-web")
    assert bench.rollback("run-2") == 6
    assert not any(line.startswith("rm -v") for line in bench.docker.asked)
    (bench.docker.folder / "down-web").unlink()
    assert bench.rollback("run-3") == 0
    assert "rm -v web-1/pool" in bench.docker.asked  # what the step made goes with the rollback that ends
    assert content(folder) == before
    assert bench.rollback("run-4") == ("", ())


def test_what_was_changed_by_hand_since_it_was_put_back_is_not_brought_up_unless_forced(bench):  # noqa: F811
    folder = bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.docker.tell("down-db")
    assert bench.rollback("run-2") == 6
    (bench.docker.folder / "down-db").unlink()
    (folder / "docker-compose.yml").write_bytes(b"by hand")
    ups = len(bench.docker.ups)
    assert bench.rollback("run-3") == 4
    assert "was changed since it was put back" in bench.end.message
    assert len(bench.docker.ups) == ups
    assert bench.rollback("run-4", force=True) == 0
    assert (folder / "docker-compose.yml").read_bytes() == b"by hand"


def test_a_step_whose_own_undo_was_cut_off_is_ended_by_a_rollback(away):  # noqa: F811
    folder = away.host()
    before = content(folder)

    def undoing(event):
        return isinstance(event, events.ServiceUp) and bool(away.of(events.GateEnded)) and event.service == "db"

    away.killed(away.plan("\n# web is unhealthy"), undoing)
    unlocked(away)
    assert content(folder) == before
    assert resuming.left(away.writer("web-1", "run-2"), ("run-1",)) is None
    assert away.rollback("run-2") == 0
    assert away.docker.ups[-2:] == ["db", "web"]
    assert content(folder) == before
    assert away.rollback("run-3") == ("", ())


def test_an_undo_that_ended_well_leaves_nothing_to_end(bench):  # noqa: F811
    bench.host()
    assert bench.migrate(bench.plan("\n# one", "\n# web is unhealthy")) == 3
    writer = bench.writer("web-1", "run-2")
    assert cut_off.undone(writer, writer.snapshots()) == []
    assert bench.rollback("run-2") == 0
    assert cut_off.undone(writer, writer.snapshots()) == []


def test_a_run_after_a_rollback_that_was_cut_off_leaves_nothing_of_it_to_end(bench):  # noqa: F811
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.docker.tell("down-db")
    assert bench.rollback("run-2") == 6
    (bench.docker.folder / "down-db").unlink()
    assert bench.migrate(bench.plan("\n# two"), run="run-3") == 0
    what, (host,) = surveyed(bench, "run-4")
    assert (what, host.back, [snapshot.id for snapshot in host.snapshots]) == ("run-3", (), ["run-3-1"])


def test_a_journal_that_was_altered_does_not_hinder_a_rollback(bench):  # noqa: F811
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one"))
    bench.rollback("run-2")
    bench.migrate(bench.plan("\n# two"), run="run-3")
    bench.docker.tell("down-db")
    assert bench.rollback("run-4") == 6
    (bench.docker.folder / "down-db").unlink()
    journal = bench.tmp_path / "web-1.state" / "journal"
    journal.write_text(journal.read_text().replace("eve@laptop", "eve@altered", 1))
    writer = bench.writer("web-1", "run-5")
    with pytest.raises(Refused):
        writer.journal()
    assert cut_off.undone(writer, writer.snapshots()) == []
    assert content(folder) == before
