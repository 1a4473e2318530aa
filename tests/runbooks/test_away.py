"""Whole hosts sent to an executor: the same run as in threads, nothing applied twice whoever is lost, one clear line without Dask."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.fleet import environments, ours, work
from benchmarks.fleet.servers import SSHD, Fleet, fleet, free_port
from inventory import executors
from inventory.errors import HostFailed, InputError
from inventory.fleet import sent
from rollback import journal
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120


@pytest.fixture(scope="module")
def up() -> Iterator[Fleet]:
    """Four hosts behind one server."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen"):
        pytest.skip("no SSH server on this machine: apt-get install openssh-server")
    with fleet(4, servers=1) as made:
        ours.inventory(made)
        yield made


@pytest.fixture(autouse=True)
def state(up: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The controller's own state, which workers of this machine share; every host is as it was."""
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ours.inventory(up)
    work.reset(up)
    return tmp_path


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes that share nothing with this one: what is sent to them has to be data."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def by_processes(processes: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def named(_word: str) -> Iterator[ProcessPoolExecutor]:
        yield processes

    monkeypatch.setattr(executors, "executor", named)


def migrate(up: Fleet, executor: str = "", **more: object) -> int:
    choice = Choice("files", "fleet", up.folder / "inventory")
    how = migrating.How(serial="1,100%", executor=executor, **more)  # type: ignore[arg-type]
    return migrating.migrate(Output(yes=True), choice, how)


def story(up: Fleet, name: str) -> list[str]:
    """What a host's journal says happened, in order."""
    return [event.kind for event in journal.read((up.state(name) / "journal").read_bytes())]


def altered(up: Fleet, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    path = up.folder / "inventory" / "fleet.yml"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


@pytest.mark.usefixtures("by_processes")
def test_a_run_by_other_processes_leaves_what_one_by_threads_leaves(up: Fleet) -> None:
    assert migrate(up) == 0
    by_threads = {name: story(up, name) for name in up.names}
    work.reset(up)
    assert migrate(up, "processes") == 0
    work.check(up, work.AFTER, "compose-runbook", "apply")
    assert {name: story(up, name) for name in up.names} == by_threads
    assert migrate(up, "processes") == 0
    assert {name: story(up, name) for name in up.names} == by_threads, "a second run has nothing to do"
    assert rolling_back.rollback(Output(yes=True), "fleet", folder=up.folder / "inventory") == 0
    work.check(up, work.BEFORE, "compose-runbook", "roll back")


@pytest.mark.usefixtures("by_processes")
def test_a_host_that_does_not_answer_there_is_told_and_the_others_are_migrated(up: Fleet, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    altered(up, lambda found: found["all"]["hosts"].update(
        dead={"ansible_port": free_port(), "project_dir": "/srv", "state_dir": "/srv/.state"}
    ))  # fmt: skip
    assert migrate(up, "processes") == 5
    work.check(up, work.AFTER, "compose-runbook", "apply")
    assert "cannot connect to 127.0.0.1" in capsys.readouterr().out


@pytest.mark.usefixtures("by_processes")
def test_a_gate_that_fails_on_one_host_undoes_its_whole_batch(up: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody edits the file of one host as soon as it is written, which the gate sees."""
    victim = up.project("host0003") / work.FILE
    script = f"until grep -q {work.STRONG} {victim}; do sleep 0.02; done; cp -p {victim} {victim}.was; chmod 0600 {victim}; echo '# edited' >>{victim}; sleep 3; cp -p {victim}.was {victim}; rm {victim}.was"
    altered(up, lambda found: found["all"]["vars"].update(gate={"window": "2s", "interval": "200ms", "min_samples": 1}))
    editor = subprocess.Popen(["sh", "-c", script])
    try:
        assert migrate(up, "processes") in (3, 6)
    finally:
        editor.wait(LIMIT_S)
    texts = {name: (up.project(name) / work.FILE).read_text() for name in up.names}
    assert texts["host0001"] == work.AFTER, "the batch before it stands"
    assert texts["host0002"] == texts["host0004"] == work.BEFORE, "its own batch was undone"


@pytest.mark.usefixtures("by_processes")
def test_what_only_the_controller_can_do_is_refused_in_a_line(up: Fleet) -> None:
    altered(up, lambda found: found["all"]["vars"].update(hooks={"before": ["true"]}))
    with pytest.raises(InputError, match="which hooks need"):
        migrate(up, "processes")
    with pytest.raises(InputError, match="from the controller alone"):
        migrate(up, "processes", resume=True)


def died(_given: str) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_work_that_is_lost_with_its_worker_is_the_hosts_error_and_no_bug() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = sent(pool, died, {"web": "", "db": ""}, limit=1)
    assert isinstance(found["web"].error, HostFailed) and "migrate --resume" in found["web"].error.mend


@pytest.mark.parametrize("word", ["dusk://here:1", "dask://here", "dask://:8786", "threads:4", "dask://here:port"])
def test_a_word_that_names_no_executor_is_refused_with_those_that_there_are(word: str) -> None:
    with (
        pytest.raises(InputError, match=r"is no executor \(write threads, or dask://HOST:PORT\)"),
        executors.executor(word),
    ):
        pass


def test_without_dask_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"Dask is not installed here .*requirements/dask.txt"), executors.executor("dask://127.0.0.1:1"):  # fmt: skip
        pass


# --- a real cluster --------------------------------------------------------------------------------------------------


class Cluster:
    """A Dask scheduler and its workers on loopback, in the environment of the extra."""

    def __init__(self, folder: Path) -> None:
        self.python, self.folder = environments.python("dask"), folder
        self.port, self.children = free_port(), list[subprocess.Popen[bytes]]()
        self.start(
            "scheduler",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-dashboard",
        )

    @property
    def address(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start(self, name: str, module: str, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("wb")
        child = subprocess.Popen(
            [str(self.python), "-m", module, *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=dict(os.environ) | {"DASK_DISTRIBUTED__SCHEDULER__UNKNOWN_TASK_DURATION": "10ms"},
        )  # fmt: skip
        self.children.append(child)
        return child

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        return self.start(
            name, "distributed.cli.dask_worker", f"tcp://127.0.0.1:{self.port}", "--name", name, "--nthreads", "2",
            "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(self.folder / name),
        )  # fmt: skip

    def command(self, up: Fleet, *more: str) -> list[str]:
        where = [
            "--env",
            "fleet",
            "--inventory",
            str(up.folder / "inventory"),
            "--yes",
            "--phase",
            "files",
            "--serial",
            "100%",
        ]
        words = ["-m", "invoke", "--search-root", str(ROOT), "migrate", *where, "--executor", self.address, *more]
        return [str(self.python), *words]

    def close(self) -> None:
        for child in reversed(self.children):
            child.kill()
            child.wait(LIMIT_S)


@pytest.fixture
def cluster(state: Path) -> Iterator[Cluster]:
    try:
        made = Cluster(state)
    except HostFailed as error:
        pytest.skip(str(error))
    yield made
    made.close()


def answers(cluster: Cluster, up: Fleet, *more: str, ready: str = "has no worker") -> subprocess.CompletedProcess[str]:
    """The command's result once the cluster is up: before that it says in one line what is missing."""
    until = time.monotonic() + LIMIT_S
    while True:
        found = subprocess.run(cluster.command(up, *more), capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if "no Dask scheduler answers" not in found.stderr and ready not in found.stderr:
            return found
        assert "Traceback" not in found.stderr and time.monotonic() < until, found.stderr


def test_workers_of_a_dask_cluster_do_a_run_and_without_one_a_line_says_so(cluster: Cluster, up: Fleet) -> None:
    nobody = [word.replace(f":{cluster.port}", f":{free_port()}") for word in cluster.command(up)]
    silent = subprocess.run(nobody, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert silent.returncode == 5 and "no Dask scheduler answers at 127.0.0.1" in silent.stderr, silent.stderr
    assert len(silent.stderr.splitlines()) == 1
    alone = answers(cluster, up, ready="no such words")
    assert alone.returncode == 5 and f"the scheduler at 127.0.0.1:{cluster.port} has no worker" in alone.stderr
    for name in ("a", "b", "c"):
        cluster.worker(name)
    before = up.sessions()
    found = answers(cluster, up, "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["hosts"] == dict.fromkeys(up.names, "changed")
    work.check(up, work.AFTER, "compose-runbook", "apply")
    assert up.sessions()[0] - before[0] == 2 * len(up.names), (
        "each host is connected once to be planned, once to be changed"
    )


def test_a_worker_that_is_killed_in_the_middle_costs_no_host_and_nothing_is_applied_twice(cluster: Cluster, up: Fleet) -> None:  # fmt: skip
    altered(up, lambda found: found["all"]["vars"].update(gate={"window": "5s", "interval": "500ms", "min_samples": 1}))
    first, _second = cluster.worker("a"), cluster.worker("b")
    ready = answers(cluster, up, "--check", "--json")
    assert ready.returncode == 0, ready.stderr
    with subprocess.Popen(
        cluster.command(up, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        until = time.monotonic() + LIMIT_S
        while not all(
            (up.project(name) / ".compose-runbook.lock").is_symlink() and written(up, name) for name in up.names
        ):
            assert time.monotonic() < until and run.poll() is None
            time.sleep(0.02)
        first.kill()  # its hosts are written, locked, and in the midst of their gates
        out, err = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, err
    assert json.loads(out)["hosts"] == dict.fromkeys(up.names, "changed")
    work.check(up, work.AFTER, "compose-runbook", "apply")
    stories = {name: story(up, name) for name in up.names}
    assert all(each.count("commit") == 1 and each.count("gate") == 1 for each in stories.values()), stories
    assert not any((up.project(name) / ".compose-runbook.lock").is_symlink() for name in up.names)
    holders = {
        name: {event.run for event in journal.read((up.state(name) / "journal").read_bytes())} for name in up.names
    }
    assert sum(len(each) == 2 for each in holders.values()) >= 1, "another worker gated what the lost one wrote"
    assert rolling_back.rollback(Output(yes=True), "fleet", folder=up.folder / "inventory") == 0
    work.check(up, work.BEFORE, "compose-runbook", "roll back")


def written(up: Fleet, name: str) -> bool:
    return work.STRONG in (up.project(name) / work.FILE).read_text()
