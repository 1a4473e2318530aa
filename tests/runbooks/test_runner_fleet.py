"""Several hosts of one run, on real files: a canary, hosts that drop out, and no batch begun after one that should be the last."""

from dataclasses import replace

import pytest

from inventory.errors import InputError, Unreachable
from runbooks import events, run_model
from runbooks.plan_model import Plan
from tests.runbooks.bench import BEFORE, GATE, content, make_bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def test_hosts_that_begin_together_are_not_parted_and_nothing_is_written_before_that_is_clear(bench):
    folders = [bench.host("web-1"), bench.host("web-2")]
    before = [content(folder) for folder in folders]
    plan = bench.plan("\n# one")

    def abreast(host):
        stage = host.stages[0]
        return replace(host, stages=(replace(stage, steps=(replace(stage.steps[0], abreast="one registry"),)),))

    plan = replace(plan, hosts=tuple(map(abreast, plan.hosts)))
    with pytest.raises(InputError, match=r"web-1, web-2 must begin together \(one registry\)"):
        bench.migrate(plan, serial=("1", "100%"))
    assert [content(folder) for folder in folders] == before
    assert bench.migrate(plan, serial=("100%",)) == 0


def test_a_canary_that_fails_spares_the_other_hosts(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2", "web-3")]
    before = [content(folder) for folder in folders]
    assert bench.migrate(bench.plan("\n# web is unhealthy"), serial=("1", "100%")) == 3
    assert [content(folder) for folder in folders] == before
    assert bench.end.hosts == {"web-1": "undone", "web-2": "skipped", "web-3": "skipped"}
    assert {event.host for event in bench.of(events.StepStarted)} == {"web-1"}


def test_a_host_that_drifted_drops_out_and_the_others_go_on(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    plan = bench.plan("\n# one")
    (folders[0] / ".env").write_text("A=2")
    assert bench.migrate(plan, serial=("100%",)) == 4
    assert bench.end.hosts == {"web-1": "failed", "web-2": "changed"}
    assert [folder.joinpath("docker-compose.yml").read_bytes() for folder in folders] == [BEFORE, BEFORE + b"\n# one"]


def test_more_failing_hosts_than_allowed_end_the_run_before_the_next_batch(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    plan = bench.plan("\n# one")
    (folders[0] / ".env").write_text("A=2")
    assert bench.migrate(plan, serial=("1",), max_fail_percentage=10.0) == 4
    assert (folders[1] / "docker-compose.yml").read_bytes() == BEFORE


def test_one_bad_host_of_a_batch_undoes_the_batch(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    before = [content(folder) for folder in folders]
    plan = bench.plan("\n# one")
    bad = bench.host_plan("web-2", ["\n# web is unhealthy"], GATE)
    plan = Plan("1", "staging", ("s",), (plan.hosts[0], bad))
    assert bench.migrate(plan, serial=("100%",)) == 3
    assert [content(folder) for folder in folders] == before
    assert bench.end.hosts == {"web-1": "undone", "web-2": "undone"}


def test_a_host_whose_link_is_lost_after_the_write_stands_and_keeps_its_snapshot(bench):
    folder = bench.host()
    run = bench.links["web-1"].run

    def cut(program, *words, **more):
        if words[:1] == ("execute",):
            raise Unreachable("the link was lost", host="web-1")
        return run(program, *words, **more)

    bench.links["web-1"].run = cut
    assert bench.migrate(bench.plan("\n# one")) == run_model.FAILED == 5
    assert bench.end.hosts == {"web-1": "stands"}
    bench.links["web-1"].run = run
    bench.writer("web-1").unlock()
    assert bench.rollback() == 0
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE


def cut_off(bench, name):
    """From its first `up` on a host does not answer any more."""
    link, run = bench.links[name], bench.links[name].run

    def cut(program, *words, **more):
        if words[:1] == ("execute",) or getattr(link, "gone", False):
            link.gone = True
            raise Unreachable("the link was lost", host=name)
        return run(program, *words, **more)

    link.run = cut


@pytest.mark.parametrize("serial", [("1", "100%"), ("2", "100%")], ids=["alone", "beside one that goes well"])
def test_no_batch_begins_after_one_that_lost_a_host_in_the_middle_of_its_change(bench, serial):
    folders = [bench.host(name) for name in ("web-1", "web-2", "web-3")]
    cut_off(bench, "web-1")
    assert bench.migrate(bench.plan("\n# one"), serial=serial) == run_model.FAILED == 5
    second = "changed" if serial[0] == "2" else "skipped"
    assert bench.end.hosts == {"web-1": "stands", "web-2": second, "web-3": "skipped"}
    assert (folders[2] / "docker-compose.yml").read_bytes() == BEFORE
    assert "web-1: the link was lost: lost in the middle of its change" in bench.end.message
    assert "(snapshot run-1-1); the batches after it were not begun" in bench.end.message
    assert bench.end.mend == "when it answers again: ./inv migrate --resume, or ./inv rollback"


@pytest.mark.parametrize("why", ["drift", "lock"])
def test_no_batch_begins_after_one_in_which_no_host_was_migrated(bench, why):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    plan = bench.plan("\n# one")
    if why == "drift":
        (folders[0] / ".env").write_text("A=2")
    else:
        other = bench.writer("web-1", "run-0")
        other.prepare()
        other.lock()
    assert bench.migrate(plan, serial=("1", "100%")) == 4
    assert bench.end.hosts == {"web-1": "failed", "web-2": "skipped"}
    assert bench.end.outcome == "refused"
    assert "no host of the batch was migrated, so the batches after it were not begun" in bench.end.message
    assert (folders[1] / "docker-compose.yml").read_bytes() == BEFORE
