"""What goes with another call in one exchange: the lock, a note, and what opens a host."""

import pytest

from inventory.errors import Drift, Locked
from inventory.local import LocalLink
from inventory.model import Host, Project
from rollback.commit import HostWriter, write_of
from rollback.model import Transaction


@pytest.fixture
def made(project, tmp_path):
    """Makes writers of one project by a link that counts exchanges."""

    def make(run="run-1"):
        link = LocalLink(Host("here", "here", Project(str(project)), connection="local"))
        return HostWriter(link, str(project), "shop", run=run, who="eve@laptop", state_dir=str(tmp_path / "state"))

    return make


def change(host, project):
    path = str(project / "docker-compose.yml")
    state, _ = host.read([path])[path]
    return Transaction("t-1", host.run, "conditions", str(project), (write_of(state, b"services: {web: {}}\n"),))


def test_the_lock_is_taken_in_the_exchange_of_the_first_write(made, project):
    host = made()
    host.prepare()
    transaction = change(host, project)
    before = host.link.exchanges
    host.lock(wait=False)
    host.commit(transaction)
    assert host.link.exchanges == before + 1 and host.owner().run == "run-1"


def test_where_another_run_holds_the_lock_nothing_is_written_and_it_is_named(made, project):
    other, host = made("run-0"), made()
    other.prepare()
    other.lock()
    transaction = change(host, project)
    host.lock(wait=False)
    with pytest.raises(Locked, match="run-0"):
        host.commit(transaction)
    assert (project / "docker-compose.yml").read_text() == "services: {}\n" and host.owner().run == "run-0"
    host.release()
    assert host.owner().run == "run-0"


def test_a_note_goes_with_the_release_and_stands_in_the_journal(made):
    host = made()
    host.prepare()
    host.lock()
    before = host.link.exchanges
    host.note("gate", {"outcome": "pass"}, wait=False)
    host.release()
    assert host.link.exchanges == before + 1
    assert [event.kind for event in host.journal()] == ["gate"] and host.owner() is None


def test_a_heartbeat_takes_nothing_along(made):
    host = made()
    host.prepare()
    host.lock(wait=False)
    with pytest.raises(Locked):
        host.renew()
    assert host.owner() is not None, "the next call of the run itself took it"


def test_what_opens_a_host_is_heard_once_and_asked_again_where_all_was_not_well(made, project):
    host = made()
    host.prepare()
    assert host.heard(host.link.together(host.opening()))
    before = host.link.exchanges
    assert host.prepare().pending is None and host.recover() == () and host.link.exchanges == before
    host.prepare()
    assert host.link.exchanges == before + 1
    host.link.run('printf t-9 >"$1/pending"; mkdir -p "$1/snapshots"', host.state_dir)
    assert not host.heard(host.link.together(host.opening()))


@pytest.fixture
def started(monkeypatch):
    """Verbs with which the program was started, by a writer."""

    def watch(host):
        verbs, run = [], host.link.run

        def ran(program, *args, **more):
            verbs.append(args[0])
            return run(program, *args, **more)

        monkeypatch.setattr(host.link, "run", ran)
        return verbs

    return watch


def test_what_goes_together_starts_the_program_once(made, project, started):
    host = made()
    host.prepare()
    transaction = change(host, project)
    verbs = started(host)
    host.link.together(host.opening())
    host.lock(wait=False)
    host.commit(transaction)
    host.note("gate", {"outcome": "pass"}, wait=False)
    head = host.release()
    assert verbs == ["opening", "lock+commit", "note+release"]
    events = host.journal()
    assert [event.kind for event in events] == ["begin", "commit", "gate"] and head == events[-1].hash


def test_the_lock_is_given_back_though_the_note_with_it_cannot_be_written(made, tmp_path):
    host = made()
    host.prepare()
    host.lock()
    (tmp_path / "state" / "journal").mkdir()
    host.note("gate", {"outcome": "pass"}, wait=False)
    host.release()
    assert host.owner() is None


def test_a_write_that_is_refused_leaves_the_lock_that_was_taken_with_it(made, project):
    host = made()
    host.prepare()
    transaction = change(host, project)
    (project / "docker-compose.yml").write_text("services: {changed: {}}\n")
    host.lock(wait=False)
    with pytest.raises(Drift, match="was changed since it was read"):
        host.commit(transaction)
    assert host.owner().run == "run-1" and host.journal() == ()
