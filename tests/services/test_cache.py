"""The cache keeper as a program, on loopback, with a real Redis: warming, invalidations that arrive, hits that are counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as client

from checks.model import Probe
from checks.probes import cache as kind
from checks.probes.kind import Answer, Judgement
from runbooks.steps import cache_services
from tests.runbooks.steps.material import settings
from tests.services import servers

SECRET = "ge/h$im:\"%41' x"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not here")]
needs_postgres = pytest.mark.skipif(not servers.INITDB or os.getuid() != 0, reason="no PostgreSQL here, or not root")
SETTINGS = settings("shared_cache", cache_memory="16mb")


@contextmanager
def cache(folder: Path, **more: Any) -> Iterator[client.Redis]:
    """The cache as the step starts it, but for its folder and its port; nothing else is given to it than in a container."""
    port = servers.free_port()
    start = cache_services.START.replace("/dev/shm/", f"{folder}/")
    words = ["sh", "-c", start, "redis-cache", *cache_services.words({**SETTINGS, **more}), "--port", str(port), "--bind", "127.0.0.1"]  # fmt: skip
    with servers.running(words, port, env={"PATH": os.environ["PATH"], "REDIS_PASSWORD": SECRET}, cwd=folder):
        yield client.Redis(port=port, password=SECRET)


class Keeper:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> servers.Reply:
        return servers.get(self.port, path)

    def judged(self, of: str, **more: Any) -> Judgement:
        """The gate's own probe, asked as it is in a container."""
        probe = Probe("cache", "c", "keeper", {"of": of, "url": f"http://127.0.0.1:{self.port}/state", **more})
        *_, python, flag, program, url = kind.command(probe, "shop")
        assert (python, flag) == ("python3", "-c")
        said = subprocess.run([sys.executable, flag, program, url], capture_output=True, text=True, check=False)
        return kind.judge(probe, Answer(said.returncode, said.stdout + said.stderr, 0.1))


@contextmanager
def keeper(on: client.Redis, warm: list[dict[str, Any]], **environment: str) -> Iterator[Keeper]:
    port = servers.free_port()
    own = {
        "PATH": os.environ["PATH"], "PORT": str(port), "CACHE_PASSWORD": SECRET, "WARM": json.dumps(warm),
        "CACHE_URL": f"redis://127.0.0.1:{on.get_connection_kwargs()['port']}/0", "WARM_LIMIT_S": "30", **environment,
    }  # fmt: skip
    with servers.running([sys.executable, "-m", "services.cache"], port, env=own, cwd=servers.ROOT):
        yield Keeper(port)


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    """The variables that name a real database."""
    with servers.postgres("pw") as (port, _):
        yield {"DATABASE_db": f"postgresql://127.0.0.1:{port}/postgres", "LOGIN_db": "app", "PASSWORD_db": "pw"}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[client.Redis]:
    with cache(tmp_path) as found:
        yield found


def test_the_cache_starts_as_the_proposal_has_it_and_its_password_is_in_no_process_list(on: client.Redis) -> None:
    assert on.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
    assert on.config_get("maxmemory")["maxmemory"] == str(16 << 20)
    with pytest.raises(client.AuthenticationError):
        client.Redis(port=on.get_connection_kwargs()["port"]).ping()
    words = Path(f"/proc/{on.info('server')['process_id']}/cmdline").read_bytes()
    assert SECRET.encode() not in words
    for number in range(40):  # more than it holds: it evicts, and says no to nobody
        on.set(f"large:{number}", b"x" * (1 << 20))
    assert on.info("stats")["evicted_keys"] > 0


def test_an_invalidation_arrives_and_is_measured(on: client.Redis) -> None:
    with keeper(on, []) as found:
        servers.until(lambda: found.get("/ready").status == 200)
        judged = found.judged("invalidation", within_ms=4000)
        assert judged.ok, judged.detail
        assert judged.value is not None
        assert judged.value > 0
        assert "cache_invalidation_seconds " in found.get("/metrics").text


def test_a_cache_that_tells_nobody_of_changes_fails_the_gate(on: client.Redis) -> None:
    on.config_set("notify-keyspace-events", "")
    with keeper(on, []) as found:
        judged = found.judged("invalidation")
        assert judged.ok is False
        assert "does not arrive" in judged.detail


@needs_postgres
def test_what_is_declared_is_there_before_it_is_ready_read_from_where_it_is_true(
    on: client.Redis, database: dict[str, str]
) -> None:
    with ExitStack() as held:
        front = held.enter_context(servers.web())
        on.set("product:2", "written by a service itself, so newer")
        warm: list[dict[str, Any]] = [
            {"query": "select 'product:' || n, n * 10 from generate_series(1, 5) n", "from": "db", "ttl_s": 200},
            {"key": "front", "url": f"http://127.0.0.1:{front}/200/0", "db": 1},
        ]
        found = held.enter_context(keeper(on, warm, **database))
        servers.until(lambda: found.get("/ready").status == 200)
        assert on.get("product:5") == b"50"
        assert on.get("product:2") == b"written by a service itself, so newer"
        assert 0 < on.ttl("product:5") <= 200
        assert client.Redis(port=on.get_connection_kwargs()["port"], password=SECRET, db=1).exists("front")
        assert found.judged("warm").value == 6.0
        # A cache that lost what it held is warmed again, without anybody's doing.
        on.flushall()
        servers.until(lambda: bool(on.exists("product:5")))
        servers.until(lambda: found.judged("warm").ok is True)
        assert found.get("/state").document["warmed"]["times"] == 2
        # Sabotage: somebody takes the warmed keys away, the mark stays.
        on.delete(*(f"product:{number}" for number in range(1, 6)))
        judged = found.judged("warm")
        assert judged.ok is False
        assert "only 1 of 6 warmed keys are there" in judged.detail


@needs_postgres
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("delete from pg_class returning oid, 1", "ReadOnlySqlTransaction"),
        ("select 1", "does not give two columns"),
        ("select n, n from generate_series(1, 10001) n", "add a limit"),
        ("selekt 1", "SyntaxError"),
    ],
)
def test_a_query_that_cannot_warm_lets_traffic_in_and_fails_the_gate(on: client.Redis, database: dict[str, str], query: str, said: str) -> None:  # fmt: skip
    with keeper(on, [{"query": query, "from": "db"}], **database) as found:
        servers.until(lambda: found.get("/ready").status == 200)
        judged = found.judged("warm")
        assert judged.ok is False
        assert said in judged.detail


def test_what_to_warm_from_that_is_away_keeps_nobody_waiting_beyond_the_limit(on: client.Redis) -> None:
    url = f"http://127.0.0.1:{servers.free_port()}/"
    with keeper(on, [{"key": "k", "url": url}], WARM_LIMIT_S="2") as found:
        assert found.get("/ready").status in (200, 503)
        servers.until(lambda: found.get("/ready").status == 200)
        assert "ClientConnectorError" in found.judged("warm").detail


def test_the_hit_ratio_moves_under_load(on: client.Redis) -> None:
    def read(prefix: str) -> None:
        own = client.Redis(port=on.get_connection_kwargs()["port"], password=SECRET)
        for number in range(500):
            own.get(f"{prefix}:{number % 50}")

    def load(prefix: str) -> None:
        threads = [threading.Thread(target=read, args=(prefix,)) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    on.mset({f"hot:{number}": "x" for number in range(50)})
    with keeper(on, []) as found:
        servers.until(lambda: found.get("/ready").status == 200)
        found.get("/state")
        load("cold")
        cold = found.judged("hits")
        load("hot")
        warm = found.judged("hits", least=10)
        assert cold.value is not None
        assert warm.value is not None
        assert cold.value < 10 < 40 < warm.value
        assert found.judged("hits", least=99).ok is False
        document = found.get("/state").document
        assert document["hits"] >= 2000
        assert document["misses"] >= 2000
        metrics = found.get("/metrics").text
        assert "cache_hits_total 2" in metrics
        assert "cache_up 1.0" in metrics


def test_what_the_keeper_itself_asks_is_no_hit_of_anybody(on: client.Redis) -> None:
    with servers.web() as front:
        warm: list[dict[str, Any]] = [{"key": f"page:{n}", "url": f"http://127.0.0.1:{front}/200/0"} for n in range(20)]
        with keeper(on, warm) as found:
            servers.until(lambda: found.get("/ready").status == 200)
            for _ in range(3):
                assert found.judged("warm").value == 20.0
            asked = found.get("/state").document
            assert (asked["hits"], asked["misses"], asked["hit_ratio"]) == (0, 0, None)
            for n in range(10):
                on.get(f"cold:{n}")
            on.get("page:1")
            asked = found.get("/state").document
            assert (asked["hits"], asked["misses"]) == (1, 10)
            assert asked["hit_ratio"] == pytest.approx(1 / 11)


def test_a_cache_that_is_away_is_said_and_found_again(tmp_path: Path) -> None:
    with ExitStack() as held:
        with cache(tmp_path) as first:
            port = first.get_connection_kwargs()["port"]
            found = held.enter_context(keeper(first, []))
            servers.until(lambda: found.get("/ready").status == 200)
        assert found.judged("hits").ok is False
        assert "cache_up 0.0" in found.get("/metrics").text
        with servers.running(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET], port, cwd=tmp_path):  # fmt: skip
            servers.until(lambda: found.get("/state").status == 200)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"CACHE_URL": "http://x"}, "CACHE_URL must be redis://HOST:PORT/NUMBER"),
        ({"WARM": "{"}, "WARM is no JSON"),
        ({"WARM": '[{"key": "a"}]'}, "entry 1 of WARM needs a url or a query"),
        ({"WARM": '[{"query": "select 1", "from": "db"}]'}, "asks db, which has no DATABASE_ variable"),
        ({"WARM_LIMIT_S": "soon"}, "WARM_LIMIT_S must be a number of seconds"),
    ],
)
def test_bad_variables_end_it_with_one_line(given: dict[str, str], line: str) -> None:
    own = {"PATH": os.environ["PATH"], "CACHE_URL": "redis://127.0.0.1:1/0", **given}
    ran = subprocess.run([sys.executable, "-m", "services.cache"], env=own, cwd=servers.ROOT, capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.strip() == f"cache-keeper: {line}" or line in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_redis_judges_its_settings_before_anything_is_written(tmp_path: Path) -> None:
    def tried(**more: Any) -> subprocess.CompletedProcess[str]:
        _, flag, program, name, *words = cache_services.tried({**SETTINGS, **more})
        return subprocess.run(["sh", flag, program.replace("/tmp", str(tmp_path)), name, *words], capture_output=True, text=True, check=False, timeout=60)  # fmt: skip

    assert tried().returncode == 0
    wrong = tried(cache_events="K!")
    assert wrong.returncode != 0
    assert wrong.stdout
