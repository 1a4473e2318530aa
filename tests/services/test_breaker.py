"""The step's own configuration in a real HAProxy, with the real aggregator behind it: what opens a breaker, and what closes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.measure import drills
from lab.measure.drills import Drill
from runbooks.steps import haproxy
from runbooks.steps.haproxy import Breaker, Numbers
from tests.services import servers
from tests.services.fronts import QUICK, front
from tests.services.servers import Aggregator

SECRET = "geheim"
pytestmark = pytest.mark.slow
needs_servers = pytest.mark.skipif(
    not servers.INITDB or not Path("/usr/sbin/haproxy").exists() or not shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or os.getuid() != 0,
    reason="no PostgreSQL, PgBouncer and HAProxy here, or not root",
)  # fmt: skip


def query(port: int, asked: str = "select 1") -> subprocess.Popen[bytes]:
    """A client of the database; it has no limit of its own."""
    words = ["psql", "-X", "-qtA", "-h", "127.0.0.1", "-p", str(port), "-U", "app", "-d", "postgres", "-c", asked]
    return subprocess.Popen(words, env={**os.environ, "PGPASSWORD": SECRET}, **servers.QUIET)


def served(port: int) -> bool:
    return query(port).wait(servers.LIMIT_S) == 0


def got(port: int, path: str = "/") -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=servers.LIMIT_S) as reply:
            return reply.status, reply.read().decode(), {name.lower(): value for name, value in reply.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}


@dataclass(frozen=True)
class Database:
    pooler: int
    process: subprocess.Popen[bytes]
    aggregator: Aggregator


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """PostgreSQL, PgBouncer before it, and an aggregator that asks through the pooler."""
    with ExitStack() as held:
        own, process = held.enter_context(servers.postgres(SECRET))
        pooler, _ = held.enter_context(servers.pgbouncer(own, SECRET))
        environment = {"CHECK_pooler": f"postgresql://app:{SECRET}@127.0.0.1:{pooler}/postgres", "LIMIT_S": "1"}
        (tmp_path / "a").mkdir()
        yield Database(pooler, process, held.enter_context(servers.aggregator(environment, tmp_path / "a")))


@needs_servers
def test_a_database_that_hangs_opens_the_breaker_although_its_pooler_accepts_and_clients_are_told_at_once(
    database: Database, tmp_path: Path
) -> None:
    with front(tmp_path, database.aggregator.port, {"pooler": database.pooler}, Breaker("pooler", 5432, 5432)) as found:
        servers.until(lambda: served(found.ports["pooler"]))
        assert found.asked(closed=True) == replace(found.asked(), ok=True, latency_s=0.1)
        trips = found.asked().value
        servers.freeze(database.process)
        try:
            waiting = query(found.ports["pooler"])  # it stands in the pooler's queue when the breaker opens
            servers.until(lambda: found.asked().detail == "open: pooler/pooler")
            # Both end while the database still hangs: the one that waited is cut off, a new one is refused.
            assert waiting.wait(servers.LIMIT_S) != 0
            assert not served(found.ports["pooler"])
            assert found.asked(closed=True).ok is False
            assert found.asked().value == (trips or 0) + 1
        finally:
            servers.freeze(database.process, on=False)
        servers.until(lambda: not found.asked().detail)
        assert servers.until(lambda: served(found.ports["pooler"]))


@needs_servers
@pytest.mark.parametrize("how", ["away", "hangs"])
def test_an_aggregator_that_is_away_or_hangs_opens_no_breaker(database: Database, tmp_path: Path, how: str) -> None:
    asked = servers.free_port() if how == "away" else database.aggregator.port
    numbers = replace(QUICK, failures=2)
    with front(tmp_path, asked, {"pooler": database.pooler}, Breaker("pooler", 5432, 5432), numbers=numbers) as found:

        def checked() -> dict[str, str]:
            """What HAProxy's statistics say of its checks of the pooler."""
            with urllib.request.urlopen(f"http://127.0.0.1:{found.stats}/stats;csv", timeout=60) as reply:
                heading, *lines = reply.read().decode().removeprefix("# ").splitlines()
            row = next(line.split(",") for line in lines if line.startswith("pooler,pooler,"))
            return dict(zip(heading.split(","), row, strict=False))

        servers.until(lambda: checked()["check_duration"])
        if how == "hangs":
            database.aggregator.process.send_signal(signal.SIGSTOP)
            # The answer is HAProxy's own, after all the time that five questions could have taken.
            servers.until(lambda: int(checked()["check_duration"] or 0) >= 1000 * numbers.slowest_s(1.0) - 500)
            assert checked()["check_code"] == "504"
        assert checked()["check_status"] == "L7OK"
        assert found.asked().detail == ""
        assert found.asked().value == 0
        assert served(found.ports["pooler"])


@needs_servers
def test_five_failing_answers_in_a_row_open_an_http_breaker_which_then_answers_itself(tmp_path: Path) -> None:
    with servers.web() as web:
        environment = {"CHECK_backend": f"http://127.0.0.1:{web}/200/0"}
        (tmp_path / "a").mkdir()
        with (
            servers.aggregator(environment, tmp_path / "a") as aggregator,
            front(tmp_path, aggregator.port, {"backend": web}, Breaker("backend", 2000, 2000, http=True)) as found,
        ):
            port = found.ports["backend"]
            for _ in range(4):
                assert got(port, "/500/0")[0] == 500
            assert got(port, "/200/0")[0] == 200
            assert found.asked().detail == ""
            for _ in range(5):
                assert got(port, "/500/0")[0] == 500
            status, body, headers = got(port, "/200/0")
            assert (status, headers["x-circuit"], headers["retry-after"]) == (503, "open", "2")
            assert body == '{"status": "unavailable", "reason": "the circuit to backend is open"}'
            # Three good checks close it.
            servers.until(lambda: got(port, "/200/0")[0] == 200)
            assert found.asked().value == 1


@needs_servers
def test_an_http_service_that_is_slow_is_cut_off_and_opens_its_breaker_and_a_slow_query_opens_none(
    database: Database, tmp_path: Path
) -> None:
    with servers.web() as web:
        (tmp_path / "b").mkdir()
        environment = {"CHECK_backend": f"http://127.0.0.1:{web}/200/0"}
        slow = Breaker("backend", 2000, 2000, http=True, limit_s=0.3, status=200, body='{"stale": true}')
        with (
            servers.aggregator(environment, tmp_path / "b") as aggregator,
            front(tmp_path, aggregator.port, {"backend": web}, slow, numbers=replace(QUICK, open_s=60.0)) as found,
        ):
            for _ in range(5):
                assert got(found.ports["backend"], "/200/60")[0] == 504
            status, body, headers = got(found.ports["backend"], "/200/60")
            assert (status, body, headers["x-circuit"]) == (200, '{"stale": true}', "open")
            assert found.asked().value == 1
    with front(tmp_path, database.aggregator.port, {"pooler": database.pooler}, Breaker("pooler", 5432, 5432)) as found:
        assert query(found.ports["pooler"], "select pg_sleep(3)").wait(servers.LIMIT_S) == 0
        assert found.asked().value == 0


@needs_servers
def test_a_service_that_hangs_holds_its_callers_and_with_a_breaker_the_fallback_serves_them(tmp_path: Path) -> None:
    with servers.web() as web:
        (tmp_path / "a").mkdir()
        slow = Breaker("backend", 2000, 2000, http=True, limit_s=0.3, status=200, body='{"stale": true}')
        with (
            servers.aggregator({"CHECK_backend": f"http://127.0.0.1:{web}/200/0"}, tmp_path / "a") as aggregator,
            front(tmp_path, aggregator.port, {"backend": web}, slow, numbers=replace(QUICK, open_s=60.0)) as found,
        ):
            bare, broken = (drilled(port) for port in (web, found.ports["backend"]))
    assert (bare.served, bare.fallback, bare.hung, bare.lost) == (0, 0, 2, 38)
    assert broken.fallback == broken.served > 0
    assert broken.own == 0
    # The five failures that open it, and those that are under way then: each ends after the limit.
    assert broken.lost < bare.lost


def drilled(port: int) -> Drill:
    """What two callers get in 4 seconds from a service that answers after 5."""
    words = [sys.executable, str(drills.PROGRAM), f"http://127.0.0.1:{port}/200/5", "2", "0.2", "4"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=servers.LIMIT_S)
    return drills.figures("hangs", json.loads(said.stdout), 0.0, time.time(), 40)


@needs_servers
def test_a_fallback_serves_while_the_breaker_is_open(tmp_path: Path) -> None:
    with servers.web() as web, servers.web() as other:
        (tmp_path / "a").mkdir()
        environment = {"CHECK_backend": f"tcp://127.0.0.1:{servers.free_port()}"}
        with (
            servers.aggregator(environment, tmp_path / "a") as aggregator,
            front(
                tmp_path, aggregator.port, {"backend": web},
                Breaker("backend", 2000, 2000, http=True, fallback=f"127.0.0.1:{other}"),
            ) as found,
        ):  # fmt: skip
            servers.until(lambda: found.asked().detail == "open: backend/backend")
            assert got(found.ports["backend"], "/202/0")[0] == 202


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="no HAProxy here")
@pytest.mark.parametrize("body", ["it's 'quoted'", 'a "b" %[src] \\ # c', '{"status": "café"}'])
def test_haproxy_itself_finds_nothing_wrong_with_the_file_whatever_the_answer_says(tmp_path: Path, body: str) -> None:
    text = haproxy.configuration(
        [Breaker("db", 5432, 5432, fallback="replica:5432"), Breaker("web", 80, 8080, http=True, status=200, body=body)],
        Numbers(), "health-aggregator", 8080, 3.0,
    )  # fmt: skip
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run(["/usr/sbin/haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not re.search(r"could not resolve address '(?!db|web|replica|health-aggregator)", done.stderr)
