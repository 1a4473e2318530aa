"""A host that was left half brought up is carried on or undone, as its journal says; over a real SSH server, the controller killed."""

import os
import signal
from dataclasses import replace

import pytest

from checks.evidence import RunRecord, Store
from checks.model import Probe
from inventory.connection import connect
from inventory.errors import Drift, InputError, Locked, Unreachable
from inventory.secrets import Mask
from runbooks import book, events, resuming
from runbooks.commands import resuming as command
from runbooks.commands.choice import Choice
from runbooks.plan_model import Made
from tests.inventory.conftest import serve, server_keys  # noqa: F401 - fixtures
from tests.runbooks.bench import BEFORE, Bench, content, make_bench

pytestmark = pytest.mark.slow

NEW = BEFORE + b"\n# one"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


class Away(Bench):
    """A bench whose hosts are reached over SSH."""

    server = None

    def host(self, name="web-1"):
        folder = super().host(name)
        self.hosts[name] = replace(self.server.host(), name=name, project=self.hosts[name].project)
        self.links[name] = connect(self.hosts[name], Mask())
        return folder

    def killed(self, plan, when):
        """A controller of its own carries the plan out and is killed at the first event that fits; its links die with it."""
        self.killed_in(lambda: self.migrate(plan), when)

    def killed_in(self, work, when):
        """The same for whatever a controller does."""
        child = os.fork()
        if child == 0:
            try:
                self.links = {name: connect(host, Mask()) for name, host in self.hosts.items()}
                self.on = lambda event: os.kill(os.getpid(), signal.SIGKILL) if when(event) else None
                work()
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)


@pytest.fixture
def away(tmp_path, monkeypatch, serve):  # noqa: F811
    there = make_bench(tmp_path, monkeypatch).docker
    made = Away(tmp_path, there)
    made.server = serve(f"SetEnv PATH={os.environ['PATH']}")
    made.server.known("{here} " + made.server.public())
    yield made
    for link in made.links.values():
        link.close()


def unlocked(bench, run="run-1", host="web-1"):
    """What an operator does who was told that a lost run holds the lock."""
    with pytest.raises(Locked, match=rf"eve@laptop holds the lock since .*run {run}"):
        bench.writer(host, "run-0").lock()
    bench.writer(host, "run-0").unlock(run)


KILLED = {
    "right after the write": lambda event: isinstance(event, events.FilesWritten),
    "half way through the services": lambda event: isinstance(event, events.ServiceUp) and event.service == "db",
    "in the midst of the gate": lambda event: isinstance(event, events.GateRound),
}


@pytest.mark.parametrize("when", KILLED)
def test_a_controller_that_was_killed_is_carried_on_with_what_is_written(away, when):
    folder = away.host()
    before = content(folder)
    away.killed(away.plan("\n# one"), KILLED[when])
    assert (folder / "docker-compose.yml").read_bytes() == NEW
    unlocked(away)
    assert away.resume() == 0
    assert (folder / "docker-compose.yml").read_bytes() == NEW
    assert away.docker.ups[-2:] == ["db", "web"]
    assert (
        away.of(events.Noted)[-1].text
        == "step 1 of run run-1 is carried on: its files are written, its gate was never passed"
    )
    assert (away.end.outcome, away.end.hosts) == ("done", {"web-1": "changed"})
    assert away.writer("web-1").owner() is None
    assert away.rollback("run-4") == 0
    assert content(folder) == before


def test_what_is_carried_on_and_does_not_pass_its_gate_is_undone(away):
    folder = away.host()
    before = content(folder)
    away.killed(away.plan("\n# web is unhealthy"), lambda event: isinstance(event, events.FilesWritten))
    unlocked(away)
    assert away.resume() == 3
    assert content(folder) == before
    assert away.end.hosts == {"web-1": "undone"}


def test_a_run_that_was_lost_after_a_service_failed_to_start_is_undone_and_says_why(away):
    folder = away.host()
    before = content(folder)
    away.killed(away.plan("\n# db does not start"), lambda event: isinstance(event, events.ServiceUp))
    unlocked(away)
    ups = len(away.docker.ups)
    assert away.resume() == 3
    assert "step 1 of run run-1 is undone: bringing up db failed (exit 1) before the run was lost" in [
        event.text for event in away.of(events.Noted)
    ]
    assert content(folder) == before
    assert away.docker.ups[ups:] == ["db", "web"]  # those of the undo alone: it is not tried a second time
    assert away.end.hosts == {"web-1": "undone"}


def test_a_link_that_was_lost_between_the_services_is_carried_on(bench):
    folder = bench.host()
    run = bench.links["web-1"].run

    def cut(program, *words, **more):
        if words[:1] == ("execute",) and bench.docker.ups == ["db"]:
            bench.cut = True
        if getattr(bench, "cut", False):
            raise Unreachable("the link was lost", host="web-1")
        return run(program, *words, **more)

    bench.links["web-1"].run = cut
    assert bench.migrate(bench.plan("\n# one")) == 5
    assert bench.end.hosts == {"web-1": "stands"}
    bench.links["web-1"].run = run
    unlocked(bench)
    assert bench.resume() == 0
    assert bench.docker.ups == ["db", "db", "web"]
    assert (folder / "docker-compose.yml").read_bytes() == NEW


def test_of_two_stages_only_the_one_that_was_never_gated_is_carried_on(bench):
    folder = bench.host()
    gates = []
    bench.on = lambda event: gates.append(event) if isinstance(event, events.GateStarted) else None
    run = bench.links["web-1"].run

    def cut(program, *words, **more):
        if len(gates) == 2:
            raise Unreachable("the link was lost", host="web-1")
        return run(program, *words, **more)

    bench.links["web-1"].run = cut
    assert bench.migrate(bench.plan("\n# one", "\n# two")) in (5, 7)
    bench.links["web-1"].run = run
    unlocked(bench)
    left = resuming.left(bench.writer("web-1", "run-2"), ("run-1",))
    assert left.snapshot.id == "run-1-2"
    assert bench.resume() == 0
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# two"


def test_a_run_that_passed_its_gates_or_was_undone_leaves_nothing_to_go_on_with(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one"))
    assert bench.resume() is None
    bench.rollback()
    assert bench.resume("run-3") is None


def test_what_was_changed_by_hand_since_is_neither_carried_on_nor_undone(bench):
    folder = bench.host()
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    assert bench.migrate(bench.plan("\n# one")) == 7
    (bench.docker.folder / "away").unlink()
    (folder / "docker-compose.yml").write_bytes(b"by hand")
    with pytest.raises(Drift, match=r"docker-compose\.yml was changed since run run-1 wrote it"):
        bench.resume()
    assert (folder / "docker-compose.yml").read_bytes() == b"by hand"


def test_a_paused_run_is_carried_on_where_it_can_be_measured_again(bench):
    bench.host()
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    assert bench.migrate(bench.plan("\n# one")) == 7
    (bench.docker.folder / "away").unlink()
    bench.on = lambda _event: None
    assert bench.resume() == 0
    assert bench.end.hosts == {"web-1": "changed"}


def test_services_that_the_step_makes_are_carried_on_in_their_place(bench):
    bench.host()
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    bench.docker.tell("services", "db web pool")
    plan = bench.plan("\n# one", makes=Made(("pool",)))
    assert bench.migrate(plan) == 7
    (bench.docker.folder / "away").unlink()
    bench.on = lambda _event: None
    left = resuming.left(bench.writer("web-1", "run-2"), ("run-1",))
    assert [(up.service, up.created) for up in resuming.ups_of(left.snapshot)] == [
        (up.service, up.created) for up in plan.hosts[0].restarts
    ]
    assert bench.resume() == 0
    assert bench.docker.ups == ["db", "web", "pool"] * 2


def test_the_command_says_what_is_half_done_and_drops_a_host_that_was_changed_since(bench, monkeypatch):
    monkeypatch.setattr(
        command, "watched", lambda *_words: ((Probe("postgres", "postgres:db", "db"), Probe("http", "h", "other")), "")
    )
    folders = [bench.host(name) for name in ("web-1", "web-2", "web-3")]
    bench.on = lambda event: bench.docker.tell("away") if isinstance(event, events.GateStarted) else None
    assert bench.migrate(bench.plan("\n# one"), serial=("2", "100%")) == 7
    (folders[1] / "docker-compose.yml").write_bytes(b"by hand")
    session = bench.session()
    found = command.found(session, ("run-1",), bench.emit)
    assert list(found.hosts) == ["web-1"]
    assert [probe.name for probe in found.probes["web-1"]] == ["postgres:db"]
    assert "was changed since run run-1 wrote it" in session.errors["web-2"].message
    assert list(session.links) == ["web-1", "web-3"]
    (stage,) = found.plan(book.load("1"), "staging").hosts[0].stages
    assert {probe.name for probe in stage.probes} == {"container:db", "container:web", "postgres:db"}


KILLED_RUN, REFUSED = (False, "", {}), (True, "refused", {"web-1": "failed"})
GONE, STANDS = (True, "failed", {"web-1": "failed"}), (True, "failed", {"web-1": "stands", "web-2": "changed"})
DONE = (True, "done", {"web-1": "changed"})


@pytest.mark.parametrize(
    ("runs", "phase", "limit", "goes_on_with"),
    [
        ([("1", KILLED_RUN)], "1", None, 1),
        ([("1", DONE), ("1", KILLED_RUN)], "1", None, 1),
        ([("1", KILLED_RUN), ("1", REFUSED)], "1", None, 2),  # told of the lost run's lock: nothing is finished by that
        ([("1", KILLED_RUN), ("2", GONE)], "1", None, 2),
        ([("1", KILLED_RUN), ("1", KILLED_RUN)], "1", None, 2),  # what went on with it was killed too
        ([("1", STANDS), ("2", REFUSED), ("2", GONE)], "1", "web-1", 3),
        ([("1", DONE), ("2", GONE)], "2", "web-1", 1),
    ],
)
def test_it_goes_on_with_all_runs_since_the_last_that_ended_well(
    tmp_path, monkeypatch, runs, phase, limit, goes_on_with
):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    kept(runs)
    choice, lost = command.chosen(Choice("", "staging"))
    assert choice.phase == phase
    assert choice.limit == limit
    assert lost == tuple(f"run-{number}" for number in range(len(runs), len(runs) - goes_on_with, -1))


@pytest.mark.parametrize("runs", [[("1", DONE)], [("1", KILLED_RUN), ("1", DONE)], [("1", REFUSED)], []])
def test_where_the_last_run_ended_well_there_is_nothing_to_go_on_with(tmp_path, monkeypatch, runs):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    kept(runs)
    with pytest.raises(InputError, match="is not unfinished"):
        command.chosen(Choice("", "staging"))


def kept(runs):
    """The controller's store, as these runs leave it: phase, and how each ended."""
    store = Store()
    for number, (phase, (end, outcome, hosts)) in enumerate(runs, 1):
        name, at = f"run-{number}", f"2026-01-01T00:00:{number:02}Z"
        store.start(RunRecord(name, "migrate", "staging", phase, "eve", "f", "k", at, None, "", None, "", {}, ""))
        if end:
            store.end(name, outcome=outcome, code=0, message="", hosts=hosts)
    store.close()


def test_a_run_that_went_on_and_was_killed_too_is_gone_on_with_in_its_turn(away):
    folder = away.host()
    before = content(folder)
    away.killed(away.plan("\n# one"), KILLED["right after the write"])
    unlocked(away)
    away.killed_in(away.resume, KILLED["half way through the services"])
    unlocked(away, "run-2")
    assert away.resume("run-3", of=("run-2", "run-1")) == 0
    assert resuming.left(away.writer("web-1", "run-4"), ("run-3", "run-2", "run-1")) is None
    assert away.rollback("run-4") == 0
    assert content(folder) == before
