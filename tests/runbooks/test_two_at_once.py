"""Two at once on one host: one is told who holds the lock, since when, from where, and what to do; nothing of the other's is touched."""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from inventory.errors import Locked, Refused
from lab.proof.shell import ShellLink
from rollback.commit import HostWriter
from runbooks import events
from runbooks.commands import keeping
from runbooks.heartbeat import heartbeat
from tests.runbooks.bench import BEFORE, Bench, content, make_bench

pytestmark = pytest.mark.slow

NOBODY, DAEMON = 65534, 1


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def other(bench):
    """Another operator's controller, for the same hosts."""
    made = Bench(bench.tmp_path, bench.docker)
    made.hosts, made.links = bench.hosts, bench.links
    return made


def meanwhile(bench, kind, work):
    """Does something once, in the midst of a run: at the first event of a kind."""
    found = []

    def on(event):
        if isinstance(event, kind) and not found:
            found.append(None)
            found.append(work())

    bench.on = on
    return found


def test_a_second_operators_migrate_in_the_midst_of_a_first_is_told_who_holds_the_lock_and_changes_nothing(bench):
    folder = bench.host()
    plan, second = bench.plan("\n# one"), other(bench)
    found = meanwhile(bench, events.GateStarted, lambda: second.migrate(plan, run="run-2"))
    assert bench.migrate(plan) == 0
    assert found[1] == 4
    assert second.end.outcome == "refused"
    assert "eve@laptop holds the lock since 20" in second.end.message
    assert "(run run-1)" in second.end.message
    (failed,) = second.of(events.HostFailed)
    assert failed.mend == "wait for that run to end"
    assert second.of(events.FilesWritten) == []
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert bench.end.hosts == {"web-1": "changed"}
    assert bench.writer("web-1").owner() is None


def test_two_operators_at_the_same_instant_one_migrates_and_the_other_is_told(bench):
    folder = bench.host()
    plan, both = bench.plan("\n# one"), [bench, other(bench)]
    ready, codes = threading.Barrier(2), {}

    def run(number):
        ready.wait()
        codes[number] = both[number].migrate(plan, run=f"run-{number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes.values()) == [0, 4]
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    writer = bench.writer("web-1", "run-9")
    assert len(writer.snapshots()) == 1
    assert writer.owner() is None
    writer.journal()


@pytest.mark.parametrize("kind", [events.FilesWritten, events.GateStarted])
def test_a_rollback_in_the_midst_of_a_migrate_waits_for_nothing_and_touches_nothing(bench, kind):
    folder = bench.host()
    second, told = other(bench), []

    def rollback():
        session = second.session("run-3")
        writer = session.writer("web-1")
        writer.prepare()
        with pytest.raises(
            Locked, match=r"eve@laptop holds the lock since .*\(run run-1\).*wait for that run to end"
        ) as caught:
            writer.recover()
        told.append(caught.value)
        return second.rollback("run-3")

    found = meanwhile(bench, kind, rollback)
    assert bench.migrate(bench.plan("\n# one")) == 0
    assert found[1] == ("", ())  # the host dropped out, so that there is nothing to roll back
    assert len(told) == 1
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert [event.kind for event in bench.writer("web-1").journal()].count("commit") == 1


def test_a_tick_of_a_soak_in_the_midst_of_a_run_reads_and_needs_no_lock(bench):
    folder = bench.host()
    from checks.model import Probe
    from checks.probes import round_

    probe = Probe("container", "container:web", "web")
    found = meanwhile(bench, events.GateStarted, lambda: round_(bench.links["web-1"], [probe], "web-1"))
    assert bench.migrate(bench.plan("\n# one")) == 0
    assert [sample.ok for sample in found[1]] == [True]
    assert bench.writer("web-1").owner() is None
    assert content(folder)["docker-compose.yml"][0] == BEFORE + b"\n# one"


def test_unlock_says_what_it_found_before_it_breaks_anything(bench, tmp_path, monkeypatch):
    folder = bench.host()
    first = bench.writer("web-1", "run-1")
    first.prepare()
    then = int(time.time()) - 3600
    (folder / ".compose-runbook.lock").symlink_to(f"run=run-1 who=adam@desk since={then} renewed={then}")
    first.execute(["true"], 20, about="up web")
    said, asked = [], []

    class Out:
        mask = bench.session().mask

        def show(self, *lines):
            said.extend(map(str, lines))

        def confirm(self, question):
            asked.append((question, list(said)))
            raise Refused("the operator said no")

        def document(self, _document):
            pass

    opened = bench.session("run-2")
    monkeypatch.setattr(keeping.session, "opened", lambda *_words, **_more: _Opened(opened))
    with pytest.raises(Refused, match="said no"):
        keeping.unlock(Out(), "staging")
    ((question, before),) = asked
    assert question == "break the lock on web-1?"
    assert "web-1  locked by adam@desk, run run-1, since 20" in before[0]
    assert "it is alive" not in before[0]
    assert (folder / ".compose-runbook.lock").is_symlink()


class _Opened:
    def __init__(self, session):
        self.session = session

    def __enter__(self):
        return self.session

    def __exit__(self, *_words):
        return False


def test_a_lock_that_is_renewed_never_looks_stale_and_one_that_is_not_does(bench, monkeypatch):
    folder = bench.host()
    bench.migrate(bench.plan("\n# one"))
    host = bench.writer("web-1", "run-5")
    host.lock()
    lock = folder / ".compose-runbook.lock"
    then = int(time.time()) - 3600
    lock.unlink()
    lock.symlink_to(f"run=run-5 who=eve@laptop since={then} renewed={then}")
    assert bench.writer("web-1", "run-6").owner().stale
    beaten = threading.Event()
    monkeypatch.setattr("runbooks.heartbeat.HEARTBEAT_S", 0.01)

    class Beating:
        class writer:
            @staticmethod
            def renew():
                host.renew()
                beaten.set()

    with heartbeat([Beating]):
        assert beaten.wait(60)
    assert not bench.writer("web-1", "run-6").owner().stale


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two accounts")
@pytest.mark.parametrize("shared", [True, False], ids=["a folder of both", "a folder of the first"])
def test_of_two_accounts_on_one_host_the_second_is_told_who_holds_the_lock_or_whose_the_state_is(shared):
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    try:
        project, state = base / "shop", base / "state"
        project.mkdir()
        (project / "docker-compose.yml").write_text("services: {}\n")
        for path in (project, project / "docker-compose.yml"):
            os.chown(path, NOBODY, DAEMON)
            path.chmod(0o775 if path.is_dir() else 0o664)
        if shared:
            state.mkdir()
            os.chown(state, 0, DAEMON)
            state.chmod(0o2770)
        else:
            state.mkdir()
            os.chown(state, NOBODY, DAEMON)
            state.chmod(0o700)

        def writer(uid, who, run):
            link = _Account(project, uid)
            return HostWriter(link, str(project), "shop", run=run, who=who, state_dir=str(state))

        first, second = writer(NOBODY, "ann@desk", "run-1"), writer(2, "bob@laptop", "run-2")
        first.prepare()
        first.lock()
        if shared:
            second.prepare()
            with pytest.raises(
                Locked, match=r"ann@desk holds the lock since 20.*\(run run-1\).*wait for that run to end"
            ):
                second.lock()
            first.release()
            second.lock()
            assert first.owner().who == "bob@laptop"
        else:
            with pytest.raises(Refused, match=r"state belongs to nobody \(set state_dir, or ansible_become: true\)"):
                second.prepare()
            assert first.owner().who == "ann@desk"
    finally:
        shutil.rmtree(base)


class _Account(ShellLink):
    """A plain account that is in the group of those who may use Docker."""

    def __init__(self, project, uid):
        super().__init__(project, through=("setpriv", f"--reuid={uid}", f"--regid={DAEMON}", "--clear-groups"))
