"""A run on real files, through the real program that writes them; only `docker` is a stand-in."""

from dataclasses import replace

import pytest

from checks.model import Gate
from inventory.engine import Compose
from inventory.errors import InputError
from runbooks import events, run_model, undo
from runbooks.plan_model import HostPlan, Plan, StartupPlan
from tests.runbooks.bench import BEFORE, content, make_bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def test_a_run_whose_gate_passes_stands_and_is_undone_byte_for_byte_by_a_rollback(bench):
    folder = bench.host()
    before = content(folder)
    assert bench.migrate(bench.plan("\n# one", "\n# two")) == 0
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# two"
    assert bench.docker.ups == ["db", "web"] * 2
    assert bench.end.hosts == {"web-1": "changed"}
    assert [event.verdict.outcome for event in bench.of(events.GateEnded)] == ["pass", "pass"]
    kinds = [event.kind for event in bench.writer("web-1").journal()]
    ups = ["command-begin", "command-end"] * 2
    assert kinds == ["begin", "commit", *ups, "gate"] * 2
    assert bench.writer("web-1").owner() is None
    assert bench.rollback() == 0
    assert content(folder) == before
    assert bench.docker.ups == ["db", "web"] * 3
    assert bench.rollback("run-3") == ("", ())
    assert content(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "ups", "words"),
    [
        ("\n# web is unhealthy", ["db", "web", "db", "web"], "the gate failed: container:web on web-1 failed: unhealthy"),
        ("\n# web does not answer", ["db", "web", "db", "web"], "the gate failed: answers:web on web-1 failed: exit 1"),
        ("\n# web does not start", ["db", "web", "db", "web"], "a service did not get healthy on web-1"),
        ("\n# db does not start", ["db", "db", "web"], "a service did not get healthy on web-1"),
    ],
)  # fmt: skip
def test_what_a_gate_or_a_start_refuses_is_undone_and_every_byte_is_as_before(bench, text, ups, words):
    folder = bench.host()
    before = content(folder)
    assert bench.migrate(bench.plan(text)) == run_model.ROLLED_BACK == 3
    assert content(folder) == before
    assert bench.docker.ups == ups
    assert (bench.end.outcome, bench.end.hosts) == ("gate failed", {"web-1": "undone"})
    assert bench.end.message == f"{words}; step 1 was undone"
    assert [(event.ok, event.detail) for event in bench.of(events.StepUndone)] == [(True, "")]
    failed = [event for event in bench.of(events.GateEnded) if event.verdict.outcome == "fail"]
    if "unhealthy" in text:
        assert failed[0].symptoms[0].log == ("a line of the log",)
        assert failed[0].symptoms[0].health_log == ("exit 1: no",)
    assert bench.writer("web-1").owner() is None
    assert undo.applied(bench.writer("web-1").snapshots()) == []


def test_a_service_whose_need_falls_ill_after_its_own_wave_is_not_touched_and_all_is_undone(bench):
    folder = bench.host()
    before = content(folder)
    made = bench.plan("\n# db is unhealthy")
    (stage,) = made.hosts[0].stages
    first, last = stage.restarts
    stage = replace(stage, restarts=(first, replace(last, wait_s=0, needs=("db",))))
    assert bench.migrate(replace(made, hosts=(replace(made.hosts[0], stages=(stage,)),))) == 3
    assert bench.docker.ups == ["db", "db", "web"]  # the second and the third by the undo, which asks for no needs
    (failed,) = (event for event in bench.of(events.ServiceUp) if not event.ok)
    assert failed.service == "web"
    assert failed.output == "web was not touched: after 0 s what it needs is not well: db: Up 2 minutes (unhealthy)"
    assert "a service did not get healthy on web-1" in bench.end.message
    assert content(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("gate", [{"min_samples": 3}, {"interval": "200ms"}])
def test_no_gate_setting_of_the_inventory_keeps_a_failed_start_from_its_undo(bench, gate):
    folder = bench.host()
    before = content(folder)
    plan = bench.plan("\n# db does not start", gate=Gate(window_s=0.2, interval_s=0.1, min_samples=1))
    assert bench.migrate(plan, gate=gate) == 3
    assert content(folder) == before


def test_a_failing_step_undoes_itself_alone_or_the_whole_run_as_its_gate_says(bench):
    folder = bench.host()
    before = content(folder)
    plan = bench.plan("\n# one", "\n# web is unhealthy")
    assert bench.migrate(plan) == 3
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert bench.rollback() == 0
    assert content(folder) == before


def test_the_inventory_may_say_that_the_whole_run_is_undone(bench):
    folder = bench.host()
    before = content(folder)
    assert bench.migrate(bench.plan("\n# one", "\n# web is unhealthy"), gate={"rollback_scope": "run"}) == 3
    assert content(folder) == before
    assert len(bench.of(events.StepUndone)) == 2


def test_the_inventory_may_say_that_a_failing_gate_pauses(bench):
    folder = bench.host()
    assert bench.migrate(bench.plan("\n# web is unhealthy"), gate={"on_failure": "pause"}) == run_model.PAUSED == 7
    assert b"# web is unhealthy" in (folder / "docker-compose.yml").read_bytes()
    assert bench.end.hosts == {"web-1": "paused"}


def test_an_undo_that_does_not_get_well_is_said_to_stand(bench):
    folder = bench.host()
    before = content(folder)
    bench.docker.tell("down-web")
    assert bench.migrate(bench.plan("\n# one")) == run_model.NOT_ROLLED_BACK == 6
    assert content(folder) == before
    assert (bench.end.outcome, bench.end.hosts) == ("rollback failed", {"web-1": "stands"})
    assert "the files are as before; not every service got healthy" in bench.of(events.StepUndone)[0].detail


@pytest.mark.parametrize("kind", [events.StepStarted, events.FilesWritten, events.ServiceUp, events.GateStarted])
def test_an_operator_who_stops_leaves_every_byte_as_before(bench, kind):
    folder = bench.host()
    before = content(folder)
    bench.on = lambda event: bench.stop.set() if isinstance(event, kind) else None
    assert bench.migrate(bench.plan("\n# one")) == run_model.INTERRUPTED == 130
    assert content(folder) == before
    assert (bench.end.outcome, bench.end.hosts) == ("interrupted", {"web-1": "undone"})
    assert bench.writer("web-1").owner() is None


def test_what_a_stopped_wave_did_not_reach_may_have_been_restarted_and_unhealthy_before(bench):
    folder = bench.host()
    before = content(folder)
    bench.docker.tell("restarts-web", "2")
    bench.docker.tell("long-ago-unhealthy-web")
    bench.on = lambda event: bench.stop.set() if isinstance(event, events.ServiceUp) else None
    (host,) = (plan := bench.plan("\n# one")).hosts
    (stage,) = host.stages
    checked = replace(stage, restarts=tuple(replace(each, check=("true",)) for each in stage.restarts))
    assert bench.migrate(replace(plan, hosts=(replace(host, stages=(checked,)),))) == 130
    assert content(folder) == before
    assert bench.end.hosts == {"web-1": "undone"}


def test_an_operator_who_stops_before_the_first_host_changes_nothing(bench):
    folder = bench.host()
    before = content(folder)
    bench.stop.set()
    assert bench.migrate(bench.plan("\n# one")) == 130
    assert content(folder) == before
    assert bench.end.hosts == {"web-1": "skipped"}


def test_an_operator_who_stops_during_the_undo_does_not_stop_the_undo(bench):
    folder = bench.host()
    before = content(folder)
    bench.on = lambda event: bench.stop.set() if isinstance(event, events.StepUndone) else None
    bench.migrate(bench.plan("\n# web is unhealthy"))
    assert content(folder) == before
    assert bench.of(events.GateEnded)[-1].verdict.outcome == "pass"


@pytest.mark.parametrize("file", ["docker-compose.yml", ".env"])
def test_a_file_that_changed_since_the_plan_is_refused_and_nothing_is_written(bench, file):
    folder = bench.host()
    plan = bench.plan("\n# one")
    (folder / file).write_bytes(b"by hand")
    before = content(folder)
    assert bench.migrate(plan) == run_model.REFUSED == 4
    assert content(folder) == before
    assert (bench.end.outcome, bench.end.hosts) == ("refused", {"web-1": "failed"})
    assert "was changed since it was read" in bench.end.message
    assert bench.docker.ups == []
    assert bench.writer("web-1").owner() is None


def test_another_runs_lock_is_refused_and_left_alone(bench):
    folder = bench.host()
    other = bench.writer("web-1", "run-0")
    other.prepare()
    other.lock()
    before = (folder / "docker-compose.yml").read_bytes()
    assert bench.migrate(bench.plan("\n# one")) == 4
    assert (folder / "docker-compose.yml").read_bytes() == before
    assert other.owner().run == "run-0"


def test_a_gate_that_cannot_measure_pauses_and_leaves_what_is_written(bench):
    folder = bench.host()
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    assert bench.migrate(bench.plan("\n# one")) == run_model.PAUSED == 7
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert (bench.end.outcome, bench.end.hosts) == ("inconclusive", {"web-1": "paused"})
    assert bench.writer("web-1").owner() is None
    (bench.docker.folder / "away").unlink()
    bench.on = lambda _event: None
    assert bench.rollback() == 0
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE


@pytest.mark.parametrize("gate", [{"windw": "1s"}, {"min_samples": 99}, {"window": "soon"}])
def test_gate_settings_that_do_not_fit_are_refused_before_anything_is_written(bench, gate):
    folder = bench.host()
    before = content(folder)
    with pytest.raises(InputError, match=r"the inventory.*gate\."):
        bench.migrate(bench.plan("\n# one"), gate=gate)
    assert content(folder) == before
    assert bench.told == []


def test_a_plan_without_changes_touches_nothing(bench):
    folder = bench.host()
    plan = Plan(
        "1", "staging", ("s",), (HostPlan("web-1", str(folder), Compose(str(folder), "web-1"), (), StartupPlan()),)
    )
    assert bench.migrate(plan) == 0
    assert (bench.end.outcome, bench.end.hosts) == ("nothing", {"web-1": "unchanged"})
    assert list(folder.glob(".compose-runbook*")) == []
