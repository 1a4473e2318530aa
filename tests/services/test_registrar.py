"""The registrar as a program, on loopback, with a real etcd and the real aggregator: who is registered, until when, and who sees it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from checks.model import Probe
from checks.probes import registry as kind
from checks.probes.kind import Answer, Judgement
from runbooks.steps import service_registry
from tests.services import servers

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("etcd"), reason="etcd is not here")]
LEASE_S = 3
DOCKER = """#!{python}
import subprocess, sys
words = sys.argv[1:]
if words[0] == "ps":
    print("" if {absent} else "registrar-id")
elif words[0] == "exec":
    sys.exit(subprocess.run([sys.executable, *words[3:-1], words[-1].replace(":8080", ":{port}")]).returncode)
"""


@contextmanager
def etcd(folder: Path, port: int = 0) -> Iterator[int]:
    """An etcd as the step starts it, but for its ports and its folder."""
    port, peers = port or servers.free_port(), servers.free_port()
    own = f"http://127.0.0.1:{port}"
    words = service_registry.etcd_words(own, own, f"http://127.0.0.1:{peers}", str(folder / "etcd"))
    with servers.running([*words, "--force-new-cluster"] if (folder / "etcd").exists() else words, port):
        answers(lambda: etcdctl(port, "endpoint", "health").returncode == 0)
        yield port


def etcdctl(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    """etcd's own client, as a second opinion."""
    own = {**os.environ, "ETCDCTL_API": "3"}
    return subprocess.run(["etcdctl", f"--endpoints=http://127.0.0.1:{port}", *words], capture_output=True, text=True, check=False, env=own, timeout=60)  # fmt: skip


def answers(holds: Callable[[], bool]) -> None:
    for _ in range(servers.LIMIT_S * 20):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


class Service:
    """Something that the aggregator finds well while it is open."""

    def __init__(self) -> None:
        self.port = servers.free_port()
        self._socket: socket.socket | None = None

    def open(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=128)

    def close(self) -> None:
        if self._socket:
            self._socket.close()


class Registrar:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process

    def get(self, path: str) -> servers.Reply:
        return servers.get(self.port, path)

    def health(self, service: str) -> str:
        """What the registry says of a service; gone: nothing."""
        reply = self.get("/services")
        found = {each["service"]: each["health"] for each in reply.document.get("entries", ())}
        return str(found.get(service, "gone"))

    def judged(self) -> Judgement:
        """The gate's own probe, asked as it is in a container."""
        probe = Probe("registry", "r", "registrar", {"url": f"http://127.0.0.1:{self.port}/services"})
        *_, flag, program, url = kind.command(probe, "shop")
        said = subprocess.run([sys.executable, flag, program, url], capture_output=True, text=True, check=False)
        return kind.judge(probe, Answer(said.returncode, said.stdout + said.stderr, 0.1))


@contextmanager
def registrar(registry: int, health: int, instance: str = "shop", **places: int) -> Iterator[Registrar]:
    port = servers.free_port()
    own = {
        "PATH": os.environ["PATH"], "PORT": str(port), "REGISTRY_URL": f"http://127.0.0.1:{registry}", "INSTANCE": instance,
        "HEALTH_URL": f"http://127.0.0.1:{health}/health", "LEASE_S": str(LEASE_S),
        **{f"PLACE_{name}": f"{name}:{place}" for name, place in places.items()},
    }  # fmt: skip
    with servers.running([sys.executable, "-m", "services.registrar"], port, env=own, cwd=servers.ROOT) as process:
        yield Registrar(port, process)


class World:
    """An etcd, an aggregator that asks two services, and their registrar."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.folder = folder
        self.web, self.db = Service(), Service()
        for each in (self.web, self.db):
            each.open()
            held.callback(each.close)
        self.etcd = held.enter_context(etcd(folder))
        checks = {
            f"CHECK_{name}": f"tcp://127.0.0.1:{each.port}" for name, each in (("web", self.web), ("db", self.db))
        }
        self.aggregator = held.enter_context(servers.aggregator(checks, folder)).port
        self.registrar = held.enter_context(registrar(self.etcd, self.aggregator, web=80, db=5432))
        answers(lambda: {self.registrar.health(name) for name in ("web", "db")} == {"healthy"})

    def words(self, *words: str, absent: bool = False) -> tuple[list[str], dict[str, str]]:
        """A task's command line and environment, on a host that is this machine, whose `docker exec` reaches the registrar."""
        folder = self.folder / f"bin-{absent}"
        folder.mkdir(exist_ok=True)
        (folder / "docker").write_text(DOCKER.format(python=sys.executable, port=self.registrar.port, absent=absent))
        (folder / "docker").chmod(0o755)
        (self.folder / "here.yml").write_text(f"all:\n  hosts:\n    one:\n      ansible_connection: local\n      project_dir: {self.folder}\n")  # fmt: skip
        own = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "RUNBOOK_STATE": str(self.folder / "state"), "COLUMNS": "200"}  # fmt: skip
        first, *rest = words
        return [sys.executable, "-m", "invoke", f"discovery.{first}", *rest, "--env", "here", "--inventory", str(self.folder)], own  # fmt: skip

    def task(self, *words: str, absent: bool = False) -> subprocess.CompletedProcess[str]:
        line, own = self.words(*words, absent=absent)
        return subprocess.run(line, cwd=servers.ROOT, env=own, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as held:
        yield World(tmp_path, held)


def test_who_is_well_stands_in_etcd_with_its_place_on_a_lease(world: World) -> None:
    said = json.loads(etcdctl(world.etcd, "get", "--prefix", "/services/", "-w", "json").stdout)
    assert len(said["kvs"]) == 2
    assert all(each["lease"] for each in said["kvs"])
    plain = etcdctl(world.etcd, "get", "/services/db/shop", "--print-value-only").stdout
    assert json.loads(plain) == {"address": "db", "port": 5432, "health": "healthy"}
    assert world.registrar.judged().ok is True
    assert world.registrar.get("/services/db").document["entries"][0]["port"] == 5432
    assert world.registrar.get("/services/nobody").status == 404
    assert 'registry_instances{service="db"} 1.0' in world.registrar.get("/metrics").text


def test_an_unwell_service_is_told_at_once_its_lease_ends_and_it_comes_back_when_it_is_well(world: World) -> None:
    revision = world.registrar.get("/services").document["revision"]
    world.db.close()
    seen: list[tuple[int, str | None]] = []
    while not seen or seen[-1][1] is not None:
        seen += changes(world, seen[-1][0] if seen else revision)
    assert [health for _, health in seen] == ["unhealthy", None]
    assert world.registrar.health("web") == "healthy"
    assert world.registrar.judged().ok is True  # the registry says of both what is true
    assert world.registrar.get("/services/db").status == 404
    world.db.open()
    answers(lambda: world.registrar.health("db") == "healthy")


def changes(world: World, since: int) -> list[tuple[int, str | None]]:
    """What a watch tells of the database: (revision, its health, or None for gone)."""
    found = world.registrar.get(f"/watch?since={since}&wait=10").document
    assert not found["lost"]
    return [
        (found["revision"], each["entry"]["health"] if each["entry"] else None)
        for each in found["changes"] if each["service"] == "db"
    ]  # fmt: skip


def test_a_registrar_that_is_killed_leaves_nothing_beyond_its_lease_and_another_sees_it_go(world: World) -> None:
    with registrar(world.etcd, world.aggregator, "other", web=80) as second:
        answers(lambda: second.get("/services/web").status == 200)
        world.registrar.process.send_signal(signal.SIGKILL)
        answers(lambda: second.health("db") == "gone")
        left = [each["instance"] for each in second.get("/services").document["entries"]]
        assert left == ["other"]


def test_one_that_ends_in_order_takes_its_entries_along_at_once(world: World) -> None:
    with registrar(world.etcd, world.aggregator, "other", web=80) as second:
        answers(lambda: second.get("/services/web").status == 200)
    assert "other" not in etcdctl(world.etcd, "get", "--prefix", "/services/", "--keys-only").stdout


def test_an_aggregator_that_is_away_vouches_for_nobody(tmp_path: Path) -> None:
    with etcd(tmp_path) as port, registrar(port, servers.free_port(), db=5432) as found:
        answers(lambda: "the aggregator" in found.get("/services").document["reason"])
        judged = found.judged()
        assert judged.ok is False
        assert "no health is known: the aggregator: ClientConnectorError" in judged.detail
        assert found.health("db") == "gone"


def test_a_registry_that_was_away_or_lost_all_is_told_anew(tmp_path: Path) -> None:
    db = Service()
    db.open()
    with ExitStack() as held:
        held.callback(db.close)
        health = held.enter_context(servers.aggregator({"CHECK_db": f"tcp://127.0.0.1:{db.port}"}, tmp_path)).port
        with etcd(tmp_path) as port:
            found = held.enter_context(registrar(port, health, db=5432))
            answers(lambda: found.health("db") == "healthy")
        assert found.get("/services").status == 503
        assert found.judged().ok is False
        assert "the registry does not answer: etcd: ClientConnectorError" in found.judged().detail
        shutil.rmtree(tmp_path / "etcd")
        with etcd(tmp_path, port):
            answers(lambda: found.health("db") == "healthy")
            assert found.judged().ok is True


def test_an_entry_that_somebody_took_out_is_registered_again(world: World) -> None:
    assert etcdctl(world.etcd, "del", "--prefix", "/services/").stdout.strip() == "2"
    answers(lambda: {world.registrar.health(name) for name in ("web", "db")} == {"healthy"})


def test_what_others_put_there_that_is_no_entry_is_passed_over(world: World) -> None:
    for key, value in (
        ("/services/x/y", "no JSON"),
        ("/services/x/z", "{}"),
        ("/services/deep/er/key", '{"port": "x"}'),
    ):
        assert etcdctl(world.etcd, "put", key, value).returncode == 0
    assert {each["service"] for each in world.registrar.get("/services").document["entries"]} == {"web", "db"}
    assert [world.registrar.get(f"/watch?{words}").status for words in ("since=x", "since=1&wait=0", "wait=1")] == [
        400
    ] * 3


def test_the_tasks_list_resolve_and_watch_what_the_registry_knows(world: World) -> None:
    listed = world.task("list")
    assert listed.returncode == 0
    assert "one  db  db:5432  healthy  (shop)" in listed.stdout
    assert len(json.loads(world.task("list", "--json").stdout)["one"]["entries"]) == 2
    resolved = world.task("resolve", "db")
    assert (resolved.returncode, resolved.stdout.strip()) == (0, "db:5432")
    nobody = world.task("resolve", "nobody")
    assert (nobody.returncode, nobody.stdout.strip()) == (3, "no instance of nobody is well")
    assert world.task("watch", "--duration", "100ms").returncode == 0


def test_watch_shows_each_change_as_it_happens_until_it_is_interrupted(world: World) -> None:
    line, own = world.words("watch")
    with subprocess.Popen(line, cwd=servers.ROOT, env=own, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        assert watching.stdout.readline() == "one  2 registered; each change is a line\n"
        world.web.close()
        assert watching.stdout.readline() == "one  web  web:80  unhealthy  (shop)\n"
        assert watching.stdout.readline() == "one  web  gone  (shop)\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 130


def test_a_task_s_bad_input_is_one_line_with_its_mend(world: World) -> None:
    for words, absent, code, line in (
        (("watch", "--duration", "soon"), False, 1, "--duration: 'soon' is not a duration"),
        (("list",), True, 5, "no registrar runs here (./inv migrate --phase 3 --step service_registry adds one"),
        (("list", "--limit", "nobody"), False, 1, "nobody"),
    ):
        ran = world.task(*words, absent=absent)
        said = ran.stderr + ran.stdout
        assert ran.returncode == code, said
        assert line in said.replace("\n", " ")
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"REGISTRY_URL": "etcd:2379"}, "REGISTRY_URL is no address: write http://HOST:PORT"),
        ({"HEALTH_URL": "http://a:b@c/"}, "HEALTH_URL is no address"),
        ({"PLACE_db": "db"}, "PLACE_db is no place: write HOST:PORT"),
        ({"LEASE_S": "1"}, "LEASE_S must be a number of seconds, from 3 to 3600"),
        ({"INSTANCE": "a b"}, "INSTANCE must be letters"),
        ({"PLACE_db": None}, "nothing is to be registered"),
    ],
)
def test_bad_variables_end_it_with_one_line(given: dict[str, str | None], line: str) -> None:
    usual = {"REGISTRY_URL": "http://r:1", "HEALTH_URL": "http://h:1/health", "PLACE_db": "db:5432"}
    own = {key: value for key, value in {"PATH": os.environ["PATH"], **usual, **given}.items() if value is not None}
    ran = subprocess.run([sys.executable, "-m", "services.registrar"], env=own, cwd=servers.ROOT, capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert ran.returncode == 1
    assert line in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
