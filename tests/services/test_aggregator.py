"""The health aggregator as a program, on loopback, before real services: what it answers when they are well and not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checks.model import Probe
from checks.probes import aggregator as kind
from checks.probes.kind import Answer
from lab import browser
from tests.services import servers
from tests.services.servers import Aggregator

SECRET = "ge/h@im:%41"
pytestmark = pytest.mark.slow
needs_servers = pytest.mark.skipif(
    not servers.INITDB or not shutil.which("redis-server") or os.getuid() != 0,
    reason="no PostgreSQL and Redis here, or not root",
)


@dataclass(frozen=True)
class Stack:
    """Real services, and the variables that name them."""

    environment: dict[str, str]
    postgres: subprocess.Popen[bytes]
    redis: subprocess.Popen[bytes]
    web: int


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with ExitStack() as held:
        database, database_process = held.enter_context(servers.postgres(SECRET))
        cache, cache_process = held.enter_context(servers.redis(SECRET))
        front = held.enter_context(servers.web())
        yield Stack(
            {
                "CHECK_backend": f"http://127.0.0.1:{front}/200/0",
                "CHECK_postgres": f"postgresql://app@127.0.0.1:{database}/postgres",
                "PASSWORD_postgres": SECRET,
                "CHECK_redis": f"redis://127.0.0.1:{cache}/0",
                "PASSWORD_redis": SECRET,
                "CHECK_logstash": f"tcp://127.0.0.1:{front}",
                "OPTIONAL": "logstash",
                "LIMIT_S": "5",
            },
            database_process,
            cache_process,
            front,
        )  # fmt: skip


@pytest.fixture
def asked(stack: Stack, tmp_path: Path) -> Iterator[Aggregator]:
    with servers.aggregator(stack.environment, tmp_path) as found:
        yield found


@needs_servers
def test_its_answer_has_exactly_the_proposal_s_shape(asked: Aggregator) -> None:
    reply = asked.get("/health")
    assert reply.status == 200
    found = reply.document
    assert list(found) == ["status", "services", "timestamp"]
    assert found["status"] == "healthy"
    shapes = {name: {key: type(value) for key, value in entry.items()} for name, entry in found["services"].items()}
    assert shapes == {
        "backend": {"status": str, "latency": str},
        "postgres": {"status": str, "connections": int},
        "redis": {"status": str, "memory": str},
        "logstash": {"status": str, "latency": str},
    }
    assert found["services"]["backend"]["latency"].removesuffix("ms").isdigit()
    assert found["services"]["postgres"]["connections"] >= 1
    assert found["services"]["redis"]["memory"].removesuffix("MB").isdigit()
    at = datetime.fromisoformat(found["timestamp"])
    assert found["timestamp"].endswith("Z")
    assert abs((datetime.now(UTC) - at).total_seconds()) < 3600


@needs_servers
def test_a_service_that_is_needed_makes_it_503_and_an_optional_one_only_degraded(stack: Stack, tmp_path: Path) -> None:
    dead = f"tcp://127.0.0.1:{servers.free_port()}"
    with servers.aggregator({**stack.environment, "CHECK_logstash": dead}, tmp_path) as found:
        reply = found.get("/health")
        assert (reply.status, reply.document["status"]) == (200, "degraded")
        assert reply.document["services"]["logstash"]["status"] == "unhealthy"
        assert found.get("/health/logstash").status == 503
    failing = f"http://127.0.0.1:{stack.web}/500/0"
    with servers.aggregator({**stack.environment, "CHECK_backend": failing}, tmp_path) as found:
        reply = found.get("/health")
        assert (reply.status, reply.document["status"]) == (503, "unhealthy")
        assert reply.document["services"]["backend"] == {"status": "unhealthy", "reason": "status 500"}


@needs_servers
def test_one_service_can_be_asked_alone_and_an_unknown_one_is_404(asked: Aggregator) -> None:
    assert asked.get("/health/postgres").document["status"] == "healthy"
    assert asked.get("/health/nobody").status == 404
    assert [asked.get(f"/health/redis?{words}").status for words in ("failures=0", "pause=x", "pause=99")] == [400] * 3
    assert asked.get("/live").status == 200


def test_a_service_that_is_only_restarted_is_not_down_for_who_asks_for_failures_in_a_row(tmp_path: Path) -> None:
    port = servers.free_port()
    with servers.aggregator({"CHECK_web": f"tcp://127.0.0.1:{port}"}, tmp_path) as found:
        assert found.get("/health/web").status == 503
        assert found.get("/health/web?failures=3&pause=0.1").status == 503
        replies: list[int] = []
        asker = threading.Thread(target=lambda: replies.append(found.get("/health/web?failures=60&pause=1").status))
        asker.start()
        with servers.running([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], port):
            asker.join()
    assert replies == [200]


@needs_servers
def test_a_database_that_hangs_is_told_after_the_limit_and_its_login_never(stack: Stack, tmp_path: Path) -> None:
    """PostgreSQL stopped by SIGSTOP still accepts connections: only a query shows that it is dead."""
    with servers.aggregator({**stack.environment, "LIMIT_S": "0.5"}, tmp_path) as found:
        servers.freeze(stack.postgres)
        try:
            reply = found.get("/health")
        finally:
            servers.freeze(stack.postgres, on=False)
        assert reply.status == 503
        assert reply.document["services"]["postgres"] == {"status": "unhealthy", "reason": "no answer in 0.5 s"}
        assert reply.document["services"]["redis"]["status"] == "healthy"
        wrong = {**stack.environment, "PASSWORD_postgres": "wrong-one", "PASSWORD_redis": "wrong-two"}
    with servers.aggregator(wrong, tmp_path) as found:
        said = found.get("/health").text + found.get("/").text + found.get("/metrics").text + found.log.read_text()
        assert '"reason": "OperationalError at 127.0.0.1:' in said
        assert '"reason": "AuthenticationError at 127.0.0.1:' in said, said
        assert "wrong-" not in said
        assert SECRET not in said


@needs_servers
def test_all_services_are_asked_at_once_so_an_answer_takes_as_long_as_the_slowest(stack: Stack, tmp_path: Path) -> None:
    """By what the aggregator itself measured: its round against its slowest check, which a busy machine slows alike."""
    slow = {f"CHECK_web{number}": f"http://127.0.0.1:{stack.web}/200/1" for number in range(8)}
    with servers.aggregator({**stack.environment, **slow}, tmp_path) as found:
        lines = dict(line.rsplit(" ", 1) for line in found.get("/metrics").text.splitlines() if line[:1] != "#")
    slowest = max(float(value) for name, value in lines.items() if name.startswith("health_check_seconds"))
    assert slowest >= 1
    assert float(lines["health_round_seconds"]) <= 1.2 * slowest


@needs_servers
def test_many_who_ask_at_once_share_one_round(stack: Stack, tmp_path: Path) -> None:
    slow = {"CHECK_web": f"http://127.0.0.1:{stack.web}/200/2"}
    replies = []
    with servers.aggregator({**stack.environment, **slow}, tmp_path) as found:
        askers = [threading.Thread(target=lambda: replies.append(found.get("/metrics").text)) for _ in range(12)]
        for each in askers:
            each.start()
        for each in askers:
            each.join()
    rounds = {line for text in replies for line in text.splitlines() if line.startswith("health_round_seconds")}
    assert len(replies) == 12
    assert len(rounds) < 6


@needs_servers
def test_metrics_are_what_prometheus_reads(asked: Aggregator) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    families = {each.name: each for each in text_string_to_metric_families(asked.get("/metrics").text)}
    up = {sample.labels["service"]: sample.value for sample in families["health_service_up"].samples}
    assert up == {"backend": 1.0, "postgres": 1.0, "redis": 1.0, "logstash": 1.0}
    assert families["health_status"].samples[0].value == 1.0
    assert families["health_service_memory_bytes"].samples[0].value > 100_000


@needs_servers
@pytest.mark.skipif(browser.program() is None, reason="no browser here")
@pytest.mark.parametrize(("width", "dark"), [(360, False), (1200, True)])
def test_the_status_page_reads_well_in_a_browser_on_a_phone_and_a_screen(
    stack: Stack, tmp_path: Path, width: int, dark: bool
) -> None:
    dead = {"CHECK_web": f"tcp://127.0.0.1:{servers.free_port()}", "CHECK_" + "long-" * 20: "tcp://127.0.0.1:9"}
    with servers.aggregator({**stack.environment, **dead}, tmp_path) as found:
        (tmp_path / "page.html").write_text(found.get("/").text)
    laid = browser.measure(tmp_path / "page.html", width, dark=dark)
    assert laid["headings"] == ["Unhealthy"]
    assert laid["rows"] == 6
    assert laid["width"] <= width
    assert laid["beyond"] == []
    assert laid["fetched"] == []
    assert ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)") == laid["paper"]


@needs_servers
def test_a_page_s_words_are_escaped(stack: Stack, tmp_path: Path) -> None:
    with servers.aggregator({**stack.environment, "CHECK_<script>": "tcp://127.0.0.1:9"}, tmp_path) as found:
        assert "<script>" not in found.get("/").text


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, "nothing is to be checked: set CHECK_<service> to a URL"),
        ({"CHECK_web": "web:80"}, "CHECK_web begins with none of http://, https://, tcp://"),
        ({"CHECK_web": "http://"}, "CHECK_web names no host"),
        ({"CHECK_web": "tcp://web"}, "CHECK_web names no port"),
        ({"CHECK_db": "postgresql://app:geheim-x@db:port/x"}, "CHECK_db is no URL"),
        ({"CHECK_web": "tcp://web:1", "OPTIONAL": "wbe"}, "OPTIONAL names wbe, which has no CHECK_"),
        ({"CHECK_web": "tcp://web:1", "LIMIT_S": "soon"}, "LIMIT_S must be a number of seconds, at most 60"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_the_start_in_one_line(environment: dict[str, str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.aggregator"], cwd=servers.ROOT, capture_output=True, text=True, timeout=120,
        env={"PATH": os.environ["PATH"], **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "geheim-x" not in done.stderr


def test_the_probe_reads_what_the_aggregator_says_and_names_what_is_down(tmp_path: Path) -> None:
    probe = Probe("aggregator", "aggregator:health", "health")
    environment = {"CHECK_a": f"tcp://127.0.0.1:{servers.free_port()}", "CHECK_b": "tcp://127.0.0.1:9", "OPTIONAL": "b"}

    def judged(found: Aggregator) -> tuple[bool | None, str]:
        words = [sys.executable, "-c", kind.ASK, f"http://127.0.0.1:{found.port}/health"]
        said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        made = kind.judge(probe, Answer(said.returncode, said.stdout + said.stderr, 0.1))
        return made.ok, made.detail

    with servers.aggregator(environment, tmp_path) as found:
        ok, detail = judged(found)
        assert ok is False
        assert detail.startswith("unhealthy: a (ConnectionRefusedError at 127.0.0.1:")
        environment["CHECK_a"] = f"tcp://127.0.0.1:{found.port}"
        with servers.aggregator(environment, tmp_path) as other:
            assert judged(other) == (True, "degraded: b (ConnectionRefusedError at 127.0.0.1:9)")
    assert kind.judge(probe, Answer(0, "<html>", 0.1)).ok is None
    assert kind.judge(probe, Answer(1, "Traceback\nConnectionRefusedError: no", 0.1)).ok is False
