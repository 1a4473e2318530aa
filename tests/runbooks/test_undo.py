"""A rollback of earlier runs: every byte, mode and owner, the images, and the services; or a clear no before the first write."""

from dataclasses import replace

import pytest

from inventory.errors import Refused
from rollback.commit import write_of
from rollback.model import Transaction
from runbooks import events
from tests.runbooks.bench import content, make_bench

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def test_a_rollback_refuses_a_file_changed_by_hand_unless_forced(bench):
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one"))
    (folder / "docker-compose.yml").write_bytes(b"by hand")
    assert bench.rollback() == 4
    assert (folder / "docker-compose.yml").read_bytes() == b"by hand"
    assert bench.end.hosts == {"web-1": "failed"}
    assert bench.rollback("run-3", force=True) == 0
    assert content(folder) == before


def test_a_rollback_after_which_the_stack_is_not_well_says_so(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.docker.tell("down-db")
    assert bench.rollback() == 6
    assert bench.end.hosts == {"web-1": "stands"}


def test_a_rollback_that_cannot_measure_anything_does_not_say_that_all_is_well(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    assert bench.rollback() == 7


def test_services_of_several_stages_come_back_each_after_what_it_needs(bench):
    bench.host()
    plan = bench.plan("\n# one", "\n# two")
    (host,) = plan.hosts
    needed = ("db", "web")  # the first stage brings up what needs the other stage's
    stages = [
        replace(stage, order=needed, restarts=tuple(each for each in stage.restarts if each.service == service))
        for stage, service in zip(host.stages, ("web", "db"), strict=True)
    ]
    assert bench.migrate(replace(plan, hosts=(replace(host, stages=tuple(stages)),))) == 0
    bench.told.clear()
    assert bench.rollback() == 0
    assert [event.service for event in bench.of(events.ServiceUp)] == ["db", "web"]


def test_a_container_that_mounts_a_changed_file_is_made_anew_by_the_run_and_by_its_rollback(bench):
    bench.host()
    plan = bench.plan("\n# one")
    (host,) = plan.hosts
    (stage,) = host.stages
    renewed = tuple(replace(each, renew=each.service == "web") for each in stage.restarts)
    plan = replace(plan, hosts=(replace(host, stages=(replace(stage, restarts=renewed),)),))

    def anew():
        return [line.rpartition(" ")[2] for line in bench.docker.asked if "--force-recreate" in line]

    assert bench.migrate(plan) == 0
    assert anew() == ["web"]
    assert bench.rollback() == 0
    assert anew() == ["web", "web"]


def test_a_rollback_gives_image_names_back_to_the_images_that_ran(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    bench.docker.tell("image", "sha256:new")
    assert bench.rollback() == 0
    assert "tag sha256:old example/web:1" in bench.docker.asked
    assert "example/db:1 is sha256:old again" in [event.text for event in bench.of(events.Noted)]


def test_a_rollback_that_would_stop_half_way_is_refused_before_anything_is_written(bench):
    folder = bench.host()
    bench.migrate(bench.plan("\n# one", "\n# two"))
    (folder / "made.conf").write_bytes(b"by hand")
    before = content(folder)
    assert bench.rollback() == 4
    assert content(folder) == before
    assert "made.conf was changed since" in bench.end.message
    assert bench.docker.ups == ["db", "web"] * 2


def test_a_run_that_is_named_or_the_last_one_is_undone_and_an_earlier_one_only_after_it(bench):
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one"))
    first = content(folder)
    writer = bench.writer("web-1", "run-5")
    writer.lock()
    ((state, _),) = writer.read([str(folder / "docker-compose.yml")]).values()
    note = {"compose": writer.snapshots()[0].note["compose"]}
    later = writer.commit(Transaction("t-5", "run-5", "by hand", str(folder), (write_of(state, b"later"),), note=note))
    writer.release()
    bench.postdate("web-1", later.id)
    with pytest.raises(Refused, match="run run-5 came after it and still stands"):
        bench.rollback(of="run-1")
    assert bench.rollback(of="no-such-run") == ("no-such-run", ())
    assert bench.rollback("run-6") == 0
    assert content(folder) == first
    assert bench.rollback("run-7", to="run-1-1") == 0
    assert content(folder) == before
