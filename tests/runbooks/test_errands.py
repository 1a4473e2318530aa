"""An errand done anew goes on from what the host says of the run, whichever gate whoever did it first was lost in."""

import os
import pickle
import signal
import time

import pytest

from inventory.errors import Locked
from runbooks import book, events, gating, staging
from runbooks.commands.errands import Carry, Errand, TakeBack, carry, take_back
from runbooks.run_model import ROLLED_BACK, Options
from tests.runbooks.bench import BEFORE, SHORT, content, make_bench
from tests.runbooks.test_plan import PROVEN, host_plan, make

pytestmark = pytest.mark.slow
STAGES = ("\n# one", "\n# two")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def errand(bench, silent_s=1.0):
    plan = bench.plan(*STAGES)
    given = Errand("run-1", "eve@laptop", "staging", bench.hosts["web-1"], silent_s)
    return Carry(given, plan, Options(gate=SHORT), 1)


def lost_in_gate(monkeypatch, given, number):
    """Somebody else does the errand, and is killed when its gate of this number begins."""
    child = os.fork()
    if child == 0:
        try:
            watch, count = gating.watch, iter(range(1, 9))

            def dies(*args, **more):
                if next(count) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return watch(*args, **more)

            monkeypatch.setattr(staging.gating, "watch", dies)
            carry(given)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def commits(bench):
    return [event.data["id"] for event in bench.writer("web-1").journal() if event.kind == "commit"]


@pytest.mark.parametrize("gate", [1, 2])
def test_what_is_written_is_not_written_again_and_what_passed_its_gate_not_brought_up_again(bench, monkeypatch, gate):
    folder = bench.host()
    given = errand(bench)
    lost_in_gate(monkeypatch, given, gate)
    ups = len(bench.docker.ups)
    found = carry(given)
    assert (found.ending, found.end.code, found.error) == ("changed", 0, None)
    assert [number for number, _ in found.snapshots] == [1, 2]
    assert commits(bench) == ["run-1-1", "run-1-2"]
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# two"
    assert (ups, len(bench.docker.ups)) == {1: (2, 6), 2: (4, 6)}[gate], (
        "only the services of stages that were not gated"
    )
    assert carry(given).ending == "changed" and commits(bench) == ["run-1-1", "run-1-2"], (
        "and once more it changes nothing"
    )


def test_the_one_before_is_waited_for_until_it_has_been_silent_long_enough_and_can_write_no_more(bench, monkeypatch):
    bench.host()
    given = errand(bench, silent_s=3.0)
    lost_in_gate(monkeypatch, given, 1)
    before = bench.writer("web-1").owner()
    begin = time.monotonic()
    carry(given)
    assert before.run.startswith("run-1.") and time.monotonic() - begin > 1, "its last sign was less than 3 s ago"
    late = bench.writer("web-1", before.run)
    with pytest.raises(Locked):
        late.renew()


def test_another_runs_lock_is_left_alone(bench):
    bench.host()
    bench.writer("web-1", "run-7").prepare()
    bench.writer("web-1", "run-7").lock()
    with pytest.raises(Locked, match="run-7"):
        carry(errand(bench, silent_s=0.0))


def test_stages_are_taken_back_from_the_one_that_failed_elsewhere_on(bench):
    folder = bench.host()
    before = content(folder)
    given = errand(bench)
    carry(given)
    found = take_back(TakeBack(given, 2, "the gate failed: web-2", ROLLED_BACK))
    assert (found.ending, [number for number, _ in found.snapshots]) == ("undone", [1])
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    take_back(TakeBack(given, 1, "the gate failed: web-2", ROLLED_BACK))
    assert content(folder) == before


def test_a_stage_that_was_undone_before_its_worker_was_lost_stays_undone(bench):
    folder = bench.host()
    given = errand(bench)
    carry(given)
    take_back(TakeBack(given, 2, "the gate failed", ROLLED_BACK))
    found = carry(given)
    assert (found.ending, found.end.code, found.failed) == ("undone", ROLLED_BACK, 2)
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"


def test_errands_and_what_comes_of_them_can_be_sent_with_all_that_an_engine_said(bench):
    bench.host()
    found = carry(errand(bench))
    assert any(isinstance(event, events.ServiceUp) for event in found.told)
    assert pickle.loads(pickle.dumps(found)) == found
    plan = make(host_plan(facts=PROVEN))
    assert plan.changed and pickle.loads(pickle.dumps(plan)) == plan
    for number in ("1", "2", "3", "files"):
        phase = book.load(number)
        assert pickle.loads(pickle.dumps(phase)) == phase
